//! Decisions about changes of services: what is asked for anew, the way back, and how far the tasks have followed.

use std::sync::Arc;

use crate::codec::NewEvent;
use crate::envelope::Detached;
use crate::id::{ServiceId, TaskId};
use crate::plan::update::{is_dirty_at, is_in_play};
use crate::record::Position;
use crate::refusal::Refusal;
use crate::service::event::{ServiceUpdateChanged, ServiceUpdateDelayed, ServiceUpdated};
use crate::service::update::{Update, UpdateState, Way};
use crate::service::{Mode, Service, ServiceSpec};
use crate::state::State;
use crate::task::Task;
use crate::time::Time;

use super::{check, spec};

pub(super) fn update(
    state: &State,
    id: ServiceId,
    asked: &ServiceSpec,
    env: &[String],
    if_changed: Option<Position>,
) -> Result<Vec<NewEvent>, Refusal> {
    let service = in_sequence(state, id, if_changed)?;
    if asked.name != service.spec.name {
        return Err(Refusal::Unsupported("renaming services is not supported".to_owned()));
    }
    match (service.spec.mode, asked.mode) {
        (Mode::Replicated { .. }, Mode::Replicated { .. }) | (Mode::Global, Mode::Global) => {}
        (Mode::Replicated { .. }, Mode::Global) | (Mode::Global, Mode::Replicated { .. }) => {
            return Err(Refusal::Unsupported("service mode change is not allowed".to_owned()));
        }
    }
    spec::check(state, asked)?;
    check::environment(env)?;
    let (version, new) = match known_version(state, id, asked, env) {
        Some(version) => (version, &[][..]),
        None => (next_version(state, id), env),
    };
    let count = u32::try_from(new.len()).expect("check::environment bounds it");
    let way = Way::Forward;
    let event = ServiceUpdated { id, spec: asked.clone(), version, env: count, way };
    let detached = Detached { reason: None, env: new.to_vec() };
    let mut events = vec![NewEvent { event: event.into(), detached }];
    let slots = dirty_slots(state, service, version, asked, Some(env));
    if slots > 0 {
        let message = "update in progress".to_owned();
        let state = UpdateState::Updating;
        events.push(ServiceUpdateChanged { id, state, message, slots }.into());
    }
    Ok(events)
}

pub(super) fn roll_back(
    state: &State,
    id: ServiceId,
    if_changed: Option<Position>,
    failed: Option<TaskId>,
) -> Result<Vec<NewEvent>, Refusal> {
    let service = in_sequence(state, id, if_changed)?;
    let Some(previous) = &service.previous else {
        return Err(Refusal::Invalid(format!("service {id} does not have a previous spec")));
    };
    let (mut asked, version) = (previous.spec.clone(), previous.version);
    if mutated!(NoWayBack) {
        asked = service.spec.clone();
    }
    spec::check(state, &asked)?;
    let slots = dirty_slots(state, service, version, &asked, environment(state, id, version));
    let (way, message) = match failed {
        None => (Way::Back, "manually requested rollback".to_owned()),
        Some(task) => (
            Way::Fallback,
            format!("update rolled back due to failure or early termination of task {task}"),
        ),
    };
    let (state, message) = if slots > 0 {
        (UpdateState::RollbackStarted, message)
    } else {
        (UpdateState::RollbackCompleted, "rollback completed".to_owned())
    };
    Ok(vec![
        ServiceUpdated { id, spec: asked, version, env: 0, way }.into(),
        ServiceUpdateChanged { id, state, message, slots }.into(),
    ])
}

fn in_sequence(
    state: &State,
    id: ServiceId,
    if_changed: Option<Position>,
) -> Result<&Service, Refusal> {
    let service = check::service(state, id)?;
    if if_changed.is_some_and(|position| position != service.changed) {
        return Err(Refusal::OutOfSequence);
    }
    Ok(service)
}

/// A version that is kept and is the same in every value: its tasks run what is asked for.
fn known_version(state: &State, id: ServiceId, asked: &ServiceSpec, env: &[String]) -> Option<u64> {
    let all = (id, 0)..=(id, u64::MAX);
    let same = state
        .versions
        .range(all)
        .find(|(_, version)| version.task == asked.task && state.environment(version) == Some(env));
    same.map(|((_, number), _)| *number)
}

fn next_version(state: &State, id: ServiceId) -> u64 {
    let all = (id, 0)..=(id, u64::MAX);
    state.versions.range(all).next_back().map_or(0, |((_, number), _)| *number) + 1
}

/// The values of a version that is kept.
fn environment(state: &State, id: ServiceId, version: u64) -> Option<&[String]> {
    state.versions.get(&(id, version)).and_then(|version| state.environment(version))
}

/// How many slots have to follow a change to this version, which has these values.
fn dirty_slots(
    state: &State,
    service: &Service,
    version: u64,
    asked: &ServiceSpec,
    env: Option<&[String]>,
) -> u64 {
    let dirty = |task: &&&Arc<Task>| {
        is_in_play(state, service, task) && is_dirty_at(state, task, version, &asked.task, env)
    };
    state.heads_of(service.id).iter().filter(dirty).count() as u64
}

fn under_way(
    state: &State,
    id: ServiceId,
    began: Position,
) -> Result<(&Service, &Update), Refusal> {
    let service = check::service(state, id)?;
    let update = service.updating().filter(|update| update.began == began);
    let stale = || Refusal::Stale(format!("service {} is not updated so", service.spec.name));
    update.map(|update| (service, update)).ok_or_else(stale)
}

pub(super) fn set_state(
    state: &State,
    id: ServiceId,
    began: Position,
    to: UpdateState,
    message: &str,
) -> Result<Vec<NewEvent>, Refusal> {
    let (service, update) = under_way(state, id, began)?;
    let allowed = match (update.state, to) {
        (UpdateState::Updating, UpdateState::Paused)
        | (UpdateState::RollbackStarted, UpdateState::RollbackPaused) => true,
        (UpdateState::Updating, UpdateState::Completed)
        | (UpdateState::RollbackStarted, UpdateState::RollbackCompleted) => {
            let env = environment(state, id, service.version);
            dirty_slots(state, service, service.version, &service.spec, env) == 0
        }
        _ => false,
    };
    if !allowed {
        return Err(Refusal::Stale(format!("service {} is not updated so", service.spec.name)));
    }
    let (message, slots) = (message.to_owned(), update.slots);
    Ok(vec![ServiceUpdateChanged { id, state: to, message, slots }.into()])
}

pub(super) fn delay(
    state: &State,
    id: ServiceId,
    began: Position,
    until: Option<Time>,
) -> Result<Vec<NewEvent>, Refusal> {
    let (service, update) = under_way(state, id, began)?;
    if update.until == until {
        let name = &service.spec.name;
        return Err(Refusal::Stale(format!("the update of service {name} waits so already")));
    }
    Ok(vec![ServiceUpdateDelayed { id, until }.into()])
}
