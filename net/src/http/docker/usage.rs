//! `system df`: what images, containers and volumes take on this machine's disk.
//! Apart from the images, because it speaks of several nouns at once.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use skein_events::id::TaskId;

use crate::backend::{ContainerUsage, DiskUsage, ImageSummary, KeptLog};
use crate::http::error::ApiError;
use crate::http::moment::Present;
use crate::http::{App, json as answer};

use super::{container, image, signed, volume};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/system/df", get(usage)).route("/build/prune", post(no_cache))
}

async fn usage(State(app): State<App>, _: Present) -> Result<Response, ApiError> {
    let usage = app.backend.disk_usage().await?;
    // Without a swarm there are no tasks, and so no names for containers.
    let state = app.backend.state().ok();
    let now = app.backend.wall();
    let known = |task: &TaskId| {
        let state = state.as_ref()?;
        let task = state.tasks.get(task)?;
        Some(json!(container::summary_model(state, task, None, now, None)))
    };
    let there = usage.containers.iter().map(|used| sized(known(&used.task), used, &usage.images));
    // What ended containers said has no field of its own either; Docker's client counts and prunes it as the containers.
    let ended = usage.logs.iter().map(|log| kept(known(&log.task), log));
    let containers: Vec<Value> = there.chain(ended).collect();
    let total: u64 = usage.layers.values().sum();
    let body = json!({
        // Docker has no field for downloads that did not end. A prune of images frees them, so its client finds them there.
        "LayersSize": signed(total + usage.partial),
        "PartialSize": signed(usage.partial),
        "Images": images(&usage),
        "Containers": containers,
        "Volumes": usage.volumes.iter().map(|(v, bytes)| volume::shape(v, Some(*bytes))).collect::<Vec<_>>(),
        "BuildCache": [],
        "BuilderSize": 0,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// Nothing is built here, so there is no cache to remove. `docker system prune` asks nevertheless.
async fn no_cache() -> Response {
    answer(StatusCode::OK, &json!({ "CachesDeleted": [], "SpaceReclaimed": 0 }))
}

/// Each image with the bytes it has in common with others, and its containers.
fn images(usage: &DiskUsage) -> Vec<Value> {
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    for layer in usage.images.iter().flat_map(|image| &image.layers) {
        *users.entry(layer).or_default() += 1;
    }
    let of_image = |image: &ImageSummary| {
        let common = |layer: &&String| users.get(layer.as_str()).is_some_and(|n| *n > 1);
        let bytes = |layer: &String| usage.layers.get(layer).copied().unwrap_or(0);
        let shared = image.layers.iter().filter(common).map(bytes).sum();
        let made_of_it = |c: &&ContainerUsage| c.image.as_deref() == Some(&image.id);
        let containers = usage.containers.iter().filter(made_of_it).count();
        image::summary(image, Some(shared), Some(containers))
    };
    usage.images.iter().map(of_image).collect()
}

/// A container that the swarm does not know any more.
fn unknown(task: &TaskId, container: &str, image: Option<&String>, running: bool) -> Value {
    let state = if running { "running" } else { "exited" };
    json!({
        "Id": container, "Names": [format!("/{task}")], "Image": image, "State": state,
        "Status": state, "Labels": {}, "Ports": [], "Mounts": [],
    })
}

/// What is left of an ended container: what it said.
fn kept(known: Option<Value>, log: &KeptLog) -> Value {
    let KeptLog { task, container, bytes, last: _ } = log;
    let mut out = known.unwrap_or_else(|| unknown(task, container, None, false));
    out["State"] = json!("exited");
    out["SizeRw"] = json!(signed(*bytes));
    out["SizeRootFs"] = json!(0);
    out["OnlyLog"] = json!(true);
    out
}

/// A container as lists have it, with its bytes.
fn sized(known: Option<Value>, used: &ContainerUsage, images: &[ImageSummary]) -> Value {
    let ContainerUsage { task, container, image, written, running } = used;
    let mut out = known.unwrap_or_else(|| unknown(task, container, image.as_ref(), *running));
    let of_it = images.iter().find(|i| Some(&i.id) == image.as_ref());
    out["ImageID"] = json!(image);
    out["SizeRw"] = json!(signed(*written));
    out["SizeRootFs"] = json!(signed(written + of_it.map_or(0, |i| i.size)));
    out
}
