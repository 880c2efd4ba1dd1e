//! `docker ps`: which containers are meant, newest first, and with `-s` what they take on the disk.
//! Apart from a container's own shape, because filters look at everything there is to know about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bollard_stubs::models;

use skein_events::id::TaskId;
use skein_events::reference::Reference;
use skein_events::state;
use skein_events::task::Task;
use skein_events::view::summary;

use crate::backend::{ContainerUsage, ImageDetails, Wellness};
use crate::http::error::ApiError;
use crate::http::filters::{Filters, ListQuery, Patterns, truthy};
use crate::http::moment::{At, MaybeMoment, time_of};
use crate::http::{App, Query, json};

use super::super::signed;
use super::details::mounts;
use super::{Life, find, full_name, labels, of_node, summary_model, wellness};

/// Docker's, but for `expose` and `isolation`, which mean nothing here.
const FILTERS: [&str; 13] = [
    "ancestor", "before", "exited", "health", "id", "is-task", "label", "name", "network",
    "publish", "since", "status", "volume",
];
const STATES: [&str; 7] =
    ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// What a list of containers takes beside filters.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Extent {
    /// At most so many of the newest, ended ones among them; 0 or less is no limit.
    limit: Option<i64>,
    /// Whether their sizes are asked for.
    size: Option<String>,
}

/// Images by the name a service has for them; none if it is not here any more.
type Images = BTreeMap<String, Option<ImageDetails>>;

pub(super) async fn list(
    State(app): State<App>,
    At(state): At,
    MaybeMoment(moment): MaybeMoment,
    Query(query): Query<ListQuery>,
    Query(extent): Query<Extent>,
) -> Result<Response, ApiError> {
    let filters = query.filters(&FILTERS)?;
    let here = app.backend.local().node;
    let wanted = Wanted::of(&app, &state, &filters).await?;
    let most = extent.limit.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    // Whoever asks for a state or an exit code means those that ended, too.
    let told = |key| !filters.get(key).is_empty();
    let all = truthy(query.all.as_deref()) || told("status") || told("exited") || most.is_some();
    let mut tasks: Vec<&Arc<Task>> = here.into_iter().flat_map(|n| of_node(&state, n)).collect();
    tasks.retain(|task| all || Life::of(task) == Life::Running);
    tasks.sort_by_key(|task| std::cmp::Reverse((task.created, task.id)));
    let images = images(&app, &state, &tasks).await?;
    let now = time_of(moment.as_ref(), &state, app.backend.wall());
    let fits = |task: &&&Arc<Task>| {
        wanted.has(
            &state,
            task,
            image(&images, &state, task),
            wellness(&app, moment.as_ref(), task),
        )
    };
    let tasks: Vec<&Arc<Task>> =
        tasks.iter().filter(fits).copied().take(most.unwrap_or(usize::MAX)).collect();
    // Of the past nobody knows what was written.
    let sized = truthy(extent.size.as_deref()) && moment.is_none() && !tasks.is_empty();
    let sizes: BTreeMap<TaskId, ContainerUsage> = match sized {
        true => {
            app.backend.disk_usage().await?.containers.into_iter().map(|c| (c.task, c)).collect()
        }
        false => BTreeMap::new(),
    };
    let shown = |task: &Arc<Task>| {
        let image = image(&images, &state, task);
        let mut model =
            summary_model(&state, task, image, now, wellness(&app, moment.as_ref(), task));
        if let Some(written) = sizes.get(&task.id).map(|used| used.written) {
            model.size_rw = Some(signed(written));
            model.size_root_fs = Some(signed(written + image.map_or(0, |i| i.summary.size)));
        }
        model
    };
    let containers: Vec<models::ContainerSummary> = tasks.into_iter().map(shown).collect();
    Ok(json(StatusCode::OK, &containers))
}

/// The images of these tasks, each looked for once.
async fn images(app: &App, state: &state::State, tasks: &[&Arc<Task>]) -> Result<Images, ApiError> {
    let mut images = Images::new();
    for task in tasks {
        let name = &state.version_of(task).task.container.image;
        if !images.contains_key(name) {
            images.insert(name.clone(), app.backend.image(name.clone()).await?);
        }
    }
    Ok(images)
}

fn image<'a>(images: &'a Images, state: &state::State, task: &Task) -> Option<&'a ImageDetails> {
    images.get(&state.version_of(task).task.container.image)?.as_ref()
}

/// Filters whose values were understood.
struct Wanted<'a> {
    filters: &'a Filters,
    names: Patterns<'a>,
    exited: Vec<i32>,
    ancestors: Vec<Ancestor>,
    /// Containers made after these, and before those.
    since: Vec<TaskId>,
    before: Vec<TaskId>,
}

/// An image that containers are of, or of one made from it.
enum Ancestor {
    /// It is here.
    Image { id: String, layers: Vec<String> },
    /// It is not, but a service may still name it so.
    Named(Reference),
    /// No image at all.
    Nothing,
}

impl<'a> Wanted<'a> {
    async fn of(app: &App, state: &state::State, filters: &'a Filters) -> Result<Self, ApiError> {
        filters.one_of("status", &STATES)?;
        filters.one_of("health", &HEALTH)?;
        let exited = filters.get("exited").iter().map(|code| {
            let bad = |_| {
                ApiError::invalid(format!("Invalid filter 'exited={code}': it is an exit code"))
            };
            code.parse().map_err(bad)
        });
        let here = app.backend.local().node;
        let container = |name: &String| find(state, here, name).map(|task| task.id);
        let mut ancestors = Vec::new();
        for name in filters.get("ancestor") {
            ancestors.push(match app.backend.image(name.clone()).await? {
                Some(ImageDetails { summary, .. }) => {
                    Ancestor::Image { id: summary.id, layers: summary.layers }
                }
                None => name.parse().map_or(Ancestor::Nothing, Ancestor::Named),
            });
        }
        Ok(Self {
            filters,
            names: filters.patterns("name")?,
            exited: exited.collect::<Result<_, _>>()?,
            ancestors,
            since: filters.get("since").iter().map(container).collect::<Result<_, _>>()?,
            before: filters.get("before").iter().map(container).collect::<Result<_, _>>()?,
        })
    }

    fn has(
        &self,
        state: &state::State,
        task: &Task,
        image: Option<&ImageDetails>,
        wellness: Option<Wellness>,
    ) -> bool {
        let Self { filters, names, exited, ancestors, since, before } = self;
        let name = full_name(state, task);
        let life = Life::of(task);
        let made = |id: &TaskId| state.tasks.get(id).map(|task| (task.created, task.id));
        let code = || life == Life::Exited && exited.contains(&task.status.exit_code.unwrap_or(0));
        filters.id(task.status.container.as_deref().unwrap_or_default())
            && (names.fit(&name) || names.fit(&format!("/{name}")))
            && filters.exact("status", life.word())
            && filters.exact("health", health_word(wellness))
            && filters.labels(&labels(state, task))
            && filters.get("is-task").iter().all(|yes| truthy(Some(yes)))
            // Nothing is published yet.
            && filters.get("publish").is_empty()
            && (exited.is_empty() || code())
            && on_network(filters, state, task)
            && with_volume(filters, state, task)
            && (ancestors.is_empty() || ancestors.iter().any(|a| a.is_of(state, task, image)))
            && since.iter().filter_map(made).all(|other| (task.created, task.id) > other)
            && before.iter().filter_map(made).all(|other| (task.created, task.id) < other)
    }
}

impl Ancestor {
    fn is_of(&self, state: &state::State, task: &Task, image: Option<&ImageDetails>) -> bool {
        match (self, image) {
            (Self::Image { id, layers }, Some(ImageDetails { summary, .. })) => {
                summary.id == *id || (!layers.is_empty() && summary.layers.starts_with(layers))
            }
            (Self::Named(wanted), _) => {
                let name = state.version_of(task).task.container.image.parse::<Reference>();
                name.is_ok_and(|own| {
                    own == *wanted
                        || (own.same_repository(wanted)
                            && own.tag() == wanted.tag()
                            && wanted.digest().is_none())
                })
            }
            (Self::Image { .. }, None) | (Self::Nothing, _) => false,
        }
    }
}

fn health_word(wellness: Option<Wellness>) -> &'static str {
    match wellness {
        None => "none",
        Some(Wellness::Starting) => "starting",
        Some(Wellness::Well) => "healthy",
        Some(Wellness::Unwell) => "unhealthy",
    }
}

fn on_network(filters: &Filters, state: &state::State, task: &Task) -> bool {
    let wanted = filters.get("network");
    let meant = |w: &String| summary::network(state, w).ok();
    let on = |id| task.legs.iter().any(|leg| leg.network == id);
    wanted.is_empty() || wanted.iter().filter_map(meant).any(on)
}

/// A volume by its name, or any mount by where it is.
fn with_volume(filters: &Filters, state: &state::State, task: &Task) -> bool {
    let wanted = filters.get("volume");
    let there = |w: &String, mount: &models::MountPoint| {
        mount.name.as_ref() == Some(w) || mount.destination.as_ref() == Some(w)
    };
    wanted.is_empty() || {
        let mounts = mounts(state, task);
        wanted.iter().any(|w| mounts.iter().any(|mount| there(w, mount)))
    }
}
