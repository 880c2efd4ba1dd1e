//! Routes of Docker's that are not there yet, each with what to type instead; everything else is no page.
//! A list, so that a new route is a line taken out of it.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::json;

const SECRETS: &str = "secrets are not there yet: give the service its values with --env";
const CONFIGS: &str = "configs are not there yet: put the file into the image";
const CONTAINERS: &str = "containers outside a service are not there: use \"service create\"";
const CONTAINER: &str = "a container is its service's here: \"service scale\" and \"service rm\" end tasks, \"service update --force\" starts them anew, \"exec\" looks inside";
const BUILD: &str = "images are not built here: build elsewhere, then use \"image load -i FILE\"";
const SAVE: &str = "images are not saved here: keep the archive they were loaded from";
const REGISTRY: &str = "registries are only pulled from: push and search with another program";
const NODES: &str =
    "nodes cannot be removed yet: leave the swarm with \"swarm leave --force\" on that node";
const SWARM: &str = "a swarm of several machines is not there yet: this one is made by \"swarm init\" and ended by \"swarm leave --force\"";
const SETTINGS: &str =
    "the swarm's settings cannot be changed yet: they are those of \"swarm init\"";
const LOCK: &str = "the swarm's keys are not locked: there is nothing to unlock";
const CONNECT: &str =
    "containers cannot join a network later: name it when creating the service, with --network";
const EVENTS: &str =
    "docker's events are not there yet: use \"skein tail\" or GET /skein/v1/tail?follow=1";
const PLUGINS: &str = "plugins are not there";

pub(crate) async fn answer(request: Request) -> Response {
    let segments: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    match absent(request.method(), &segments) {
        Some(Absent::NotYet(sentence)) => ApiError::unsupported(sentence).into_response(),
        Some(Absent::Empty) => json(StatusCode::OK, &[(); 0]),
        Some(Absent::Nothing(message)) => ApiError::not_found(message).into_response(),
        None => ApiError::no_such_page().into_response(),
    }
}

enum Absent {
    /// A known route that does nothing yet.
    NotYet(&'static str),
    /// A look-up of a noun that has no objects yet.
    Nothing(String),
    /// A list of such a noun.
    Empty,
}

fn absent(method: &Method, segments: &[&str]) -> Option<Absent> {
    let (get, post, delete) =
        (*method == Method::GET, *method == Method::POST, *method == Method::DELETE);
    let nothing = |text: String| Some(Absent::Nothing(text));
    let sentence = match segments {
        // `docker inspect X` walks over the nouns until one answers other than 404.
        // `docker stack rm` and `stack ps` list them, and find none: what a compound command needs is answered.
        ["secrets" | "configs"] if get => return Some(Absent::Empty),
        ["secrets", name] if get => return nothing(format!("secret {name} not found")),
        ["configs", name] if get => return nothing(format!("config {name} not found")),
        ["plugins", name, "json"] if get => return nothing(format!("plugin {name} not found")),
        ["secrets", ..] => SECRETS,
        ["configs", ..] => CONFIGS,
        ["plugins", ..] => PLUGINS,
        ["swarm", "join"] if post => SWARM,
        ["swarm", "update"] if post => SETTINGS,
        ["swarm", "unlock"] if post => LOCK,
        ["swarm", "unlockkey"] if get => LOCK,
        ["nodes", _] if delete => NODES,
        ["networks", _, "connect" | "disconnect"] if post => CONNECT,
        ["containers", "create"] if post => CONTAINERS,
        [
            "containers",
            _,
            "start" | "stop" | "restart" | "kill" | "wait" | "attach" | "resize" | "update"
            | "rename" | "pause" | "unpause",
        ] if post => CONTAINER,
        ["containers", _, "top" | "stats" | "changes" | "export" | "archive"] => CONTAINER,
        ["containers", _] if delete => CONTAINER,
        ["images", "search"] => REGISTRY,
        ["images", "get"] if get => SAVE,
        ["images", .., "push"] if post => REGISTRY,
        ["images", .., "get"] if get => SAVE,
        ["build" | "commit", ..] if post => BUILD,
        ["events"] if get => EVENTS,
        _ => return None,
    };
    Some(Absent::NotYet(sentence))
}
