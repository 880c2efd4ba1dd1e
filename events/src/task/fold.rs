//! How State changes by what happens to tasks.

use std::sync::Arc;

use crate::event::TaskEvent;
use crate::id::ObjectId;
use crate::state::touched::Touched;
use crate::state::{Record, State};

use super::event::TaskCreated;
use super::{Task, TaskState, TaskStatus};

/// At most so many restarts of a slot are remembered; a policy cannot count further.
pub(crate) const RESTARTS_MAX: usize = 1_000;

pub(crate) fn apply(
    state: &mut State,
    record: Record<'_>,
    event: TaskEvent<'_>,
    touched: &mut Touched,
) {
    let (at, position) = (state.at, record.position);
    match event {
        TaskEvent::TaskCreated(event) => create(state, event, record, touched),
        TaskEvent::TaskAssigned(event) => {
            for leg in &event.legs {
                let network = state.networks.get_mut(&leg.network).expect("a leg's network exists");
                let host = u64::from(leg.ip.to_bits() - network.subnet.base().to_bits());
                Arc::make_mut(network).next_host = host + 1;
                state.mark_dirty(ObjectId::Network(leg.network));
            }
            change(state, event.id, touched, |task| {
                task.node = Some(event.node);
                task.legs.clone_from(&event.legs);
                task.obstacle = None;
                task.status = TaskStatus::new(TaskState::Assigned, "assigned to a node");
                task.status_at = at;
                (task.updated, task.last) = (at, position);
            });
        }
        TaskEvent::TaskObstructed(event) => change(state, event.id, touched, |task| {
            task.obstacle = Some(event.obstacle.clone());
            (task.updated, task.last) = (at, position);
        }),
        TaskEvent::TaskStatusChanged(event) => {
            if event.status.state.is_terminal() {
                note_failure(state, event.id);
            }
            change(state, event.id, touched, |task| {
                task.status = event.status.clone();
                task.status_at = at;
                if event.status.state == TaskState::Running {
                    task.ran.get_or_insert(at);
                }
                (task.updated, task.last) = (at, position);
            });
        }
        TaskEvent::TaskDesiredChanged(event) => {
            let task = state.tasks.get(&event.id).expect("events name tasks that exist");
            let named = state.is_named(task);
            let fenced = task.node.and_then(|id| state.nodes.get(&id)).is_some_and(|n| n.fenced);
            let ends = task.desired <= TaskState::Running && event.desired > TaskState::Running;
            change(state, event.id, touched, |task| {
                task.desired = event.desired;
                if ends {
                    task.stopping_since = Some(at);
                    task.unnamed_from = Some(position);
                    task.withdrawn = !named;
                    // Its node was fenced before the task was given up: it holds nothing now.
                    task.gone |= fenced;
                }
                (task.updated, task.last) = (at, position);
            });
            if ends && fenced {
                touch_networks(state, event.id, touched);
            }
        }
        TaskEvent::TaskWithdrawn(event) => change(state, event.id, touched, |task| {
            task.withdrawn = true;
            (task.updated, task.last) = (at, position);
        }),
        TaskEvent::TaskGone(event) => {
            note_failure(state, event.id);
            change(state, event.id, touched, |task| {
                task.gone = true;
                (task.updated, task.last) = (at, position);
            });
            touch_networks(state, event.id, touched);
        }
        TaskEvent::TaskRemoved(event) => {
            touch_networks(state, event.id, touched);
            remove(state, event.id, touched);
        }
        TaskEvent::TaskExecStarted(event) => change(state, event.id, touched, |task| {
            (task.updated, task.last) = (at, position);
        }),
    }
}

/// Counts a task against the update that made it, if it ends by itself before it ran, or soon after.
fn note_failure(state: &mut State, id: crate::id::TaskId) {
    let at = state.at;
    let task = state.tasks.get(&id).expect("events name tasks that exist");
    if !task.by_update || !task.is_live() {
        return;
    }
    let Some(service) = state.services.get(&task.service) else { return };
    let watched = task.ran.is_none_or(|ran| at.since(ran) < service.config().monitor);
    let of_update = service.updating().is_some_and(|update| task.born > update.began);
    if watched && of_update {
        let service = service.id;
        state.update_service(service, |service| {
            if let Some(update) = &mut service.update {
                update.failed += 1;
                update.last_failed = Some(id);
            }
        });
    }
}

fn change(
    state: &mut State,
    id: crate::id::TaskId,
    touched: &mut Touched,
    change: impl FnOnce(&mut Task),
) {
    let service = state.update_task(id, change);
    touched.add(ObjectId::Task(id));
    touched.add(ObjectId::Service(service));
}

/// Addresses came free: tasks that wait for one on these networks are looked at again.
pub(crate) fn touch_networks(state: &State, id: crate::id::TaskId, touched: &mut Touched) {
    for leg in state.tasks.get(&id).iter().flat_map(|t| &t.legs) {
        touched.add(ObjectId::Network(leg.network));
    }
}

fn create(state: &mut State, event: &TaskCreated, record: Record<'_>, touched: &mut Touched) {
    let at = state.at;
    let old = event.replaces.and_then(|old| state.tasks.get(&old));
    let anew = old.is_some_and(|old| old.version != event.version);
    let by_update =
        anew && state.services.get(&event.service).is_some_and(|s| s.updating().is_some());
    let task = Task {
        id: event.id,
        service: event.service,
        version: event.version,
        slot: event.slot,
        desired: event.desired,
        start_at: event.start_at,
        replaces: event.replaces,
        node: None,
        legs: Vec::new(),
        status: TaskStatus::new(TaskState::Pending, "pending task scheduling"),
        status_at: at,
        ran: None,
        by_update,
        obstacle: None,
        withdrawn: false,
        stopping_since: None,
        unnamed_from: None,
        gone: false,
        created: at,
        updated: at,
        born: record.position,
        last: record.position,
    };
    let key = (event.service, event.version);
    let version = Arc::make_mut(state.versions.get_mut(&key).expect("a task's version exists"));
    version.tasks += 1;
    let (reservations, restart) = (version.task.reservations, version.task.restart);
    if by_update {
        state.update_service(event.service, |service| {
            if let Some(update) = &mut service.update {
                update.until = None;
            }
        });
    }
    if anew {
        // Attempts are counted for what the task runs, and that is not what it was.
        state.restarts.remove(&(event.service, event.slot));
        state.mark_dirty(ObjectId::Service(event.service));
    } else if event.replaces.is_some() && restart.max_attempts > 0 {
        let times = Arc::make_mut(state.restarts.entry((event.service, event.slot)).or_default());
        times.push(at);
        if times.len() > RESTARTS_MAX {
            times.remove(0);
        }
        state.mark_dirty(ObjectId::Service(event.service));
    }
    state.index.insert(&task, reservations);
    state.tasks.insert(event.id, Arc::new(task));
    state.index.use_slot(event.service, event.slot, true);
    touched.add(ObjectId::Task(event.id));
    touched.add(ObjectId::Service(event.service));
}

fn remove(state: &mut State, id: crate::id::TaskId, touched: &mut Touched) {
    let task = state.tasks.get(&id).map(Arc::clone).expect("a removed task exists");
    let reservations = state.version_of(&task).task.reservations;
    state.index.remove(&task, reservations);
    state.tasks.remove(&id);
    state.recount_slot((task.service, task.slot));
    let key = task.version_key();
    let version = Arc::make_mut(state.versions.get_mut(&key).expect("a task's version exists"));
    version.tasks -= 1;
    crate::service::fold::forget_version_if_unused(state, key);
    touched.add(ObjectId::Task(id));
    touched.add(ObjectId::Service(task.service));
}
