//! Keeps as many tasks as each service asks for: fills the lowest free slots, replaces what ended, ends what is too many.
//! Everything is read from State anew each time: a slot's newest task tells what the slot needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::{Command, NewTask};
use crate::decide::on_lost_node;
use crate::envelope::Planner;
use crate::id::{NodeId, ObjectId, ServiceId};
use crate::record::Position;
use crate::service::Service;
use crate::state::State;
use crate::state::touched::Touched;
use crate::task::{Task, TaskState};
use crate::time::{Span, Time};

use super::{Plan, Proposal, TASKS_PER_PLAN, restart};

/// What a slot needs.
enum Need {
    /// Nothing: its task runs or may yet.
    Nothing,
    /// A replacement of its newest task, after so long.
    Replacement(Span),
    /// Nothing any more: its task ended and is not to be replaced.
    Done,
    /// A task: its last one was told to go.
    Task,
}

pub(super) fn plan(state: &State, touched: &Touched, now: Time, plan: &mut Plan) {
    let mut room = TASKS_PER_PLAN;
    for id in services(state, touched) {
        if room == 0 {
            plan.more = true;
            return;
        }
        match state.services.get(&id) {
            Some(service) => plan_service(state, service, now, plan, &mut room),
            None => end_all(state, id, plan, &mut room),
        }
    }
}

fn services(state: &State, touched: &Touched) -> BTreeSet<ServiceId> {
    match touched {
        Touched::Everything => {
            let orphans = state.tasks.values().map(|t| t.service);
            state.services.keys().copied().chain(orphans).collect()
        }
        Touched::Objects(objects) => {
            let mut out = BTreeSet::new();
            for object in objects {
                match object {
                    ObjectId::Service(id) => {
                        out.insert(*id);
                    }
                    ObjectId::Node(id) => out.extend(state.tasks_on(*id).map(|t| t.service)),
                    ObjectId::Task(_) | ObjectId::Network(_) | ObjectId::Cluster(_) => {}
                }
            }
            out
        }
        Touched::Ignored => BTreeSet::new(),
    }
}

fn propose(plan: &mut Plan, cause: Option<Position>, command: Command) {
    plan.proposals.push(Proposal { planner: Planner::Replicated, cause, command });
}

/// A removed service's tasks end and are forgotten.
fn end_all(state: &State, id: ServiceId, plan: &mut Plan, room: &mut usize) {
    let all: Vec<_> = state.tasks_of(id).filter(|t| t.desired < TaskState::Remove).collect();
    let part: Vec<_> = all.iter().take(*room).map(|t| (t.id, TaskState::Remove)).collect();
    plan.more |= part.len() < all.len();
    *room -= part.len();
    if !part.is_empty() {
        // The removal itself left no noun behind; it is the newest record about the service.
        propose(plan, None, Command::SetDesired { tasks: part });
    }
}

fn plan_service(state: &State, service: &Service, now: Time, plan: &mut Plan, room: &mut usize) {
    let mut slots: BTreeMap<u64, &Arc<Task>> = BTreeMap::new();
    for task in state.tasks_of(service.id) {
        let newest = slots.entry(task.slot).or_insert(task);
        if task.born > newest.born {
            *newest = task;
        }
    }
    let mut endings: Vec<(&Task, TaskState)> = Vec::new();
    let mut replacements: BTreeMap<u64, (NewTask, Position)> = BTreeMap::new();
    let mut used: BTreeMap<u64, &Task> = BTreeMap::new();
    for (&slot, task) in &slots {
        let need = need(state, task, now);
        let superseded =
            matches!(need, Need::Replacement(_) | Need::Done) && task.desired <= TaskState::Running;
        if superseded {
            endings.push((task, TaskState::Shutdown));
        }
        match need {
            Need::Nothing | Need::Done => {
                used.insert(slot, task);
            }
            Need::Replacement(delay) => {
                used.insert(slot, task);
                let new = NewTask { slot, replaces: Some(task.id), delay };
                replacements.insert(slot, (new, task.last));
            }
            Need::Task => {}
        }
    }
    let wanted = usize::try_from(service.replicas()).unwrap_or(usize::MAX);
    for task in too_many(state, &used, wanted) {
        replacements.remove(&task.slot);
        endings.retain(|(t, _)| t.id != task.id);
        if task.desired < TaskState::Remove {
            endings.push((task, TaskState::Remove));
        }
    }
    let free = (1u64..).filter(|slot| !used.contains_key(slot));
    let missing = wanted.saturating_sub(used.len());
    let fresh: Vec<NewTask> = free
        .take(missing.min(*room + 1))
        .map(|slot| NewTask { slot, replaces: None, delay: Span(0) })
        .collect();

    let starts = due_starts(state, service.id, now);
    end(plan, endings, starts, service, room);
    for (new, cause) in replacements.into_values() {
        if *room == 0 {
            plan.more = true;
            return;
        }
        *room -= 1;
        propose(plan, Some(cause), Command::CreateTasks { service: service.id, tasks: vec![new] });
    }
    let part: Vec<NewTask> = fresh.iter().take(*room).cloned().collect();
    plan.more |= part.len() < missing;
    *room -= part.len();
    if !part.is_empty() {
        let command = Command::CreateTasks { service: service.id, tasks: part };
        propose(plan, Some(service.changed), command);
    }
}

/// Tasks whose restart delay is over.
fn due_starts(state: &State, service: ServiceId, now: Time) -> Vec<&Task> {
    state
        .tasks_of(service)
        .filter(|t| t.desired == TaskState::Ready && !t.status.state.is_terminal())
        .filter(|t| t.start_at.is_some_and(|at| at <= now))
        .map(|t| &**t)
        .collect()
}

fn end(
    plan: &mut Plan,
    endings: Vec<(&Task, TaskState)>,
    starts: Vec<&Task>,
    service: &Service,
    room: &mut usize,
) {
    let mut scaled_away = Vec::new();
    for (task, to) in endings {
        if *room == 0 {
            plan.more = true;
            break;
        }
        *room -= 1;
        if to == TaskState::Remove {
            scaled_away.push((task.id, to));
        } else {
            propose(plan, Some(task.last), Command::SetDesired { tasks: vec![(task.id, to)] });
        }
    }
    if !scaled_away.is_empty() {
        propose(plan, Some(service.changed), Command::SetDesired { tasks: scaled_away });
    }
    for task in starts {
        let tasks = vec![(task.id, TaskState::Running)];
        propose(plan, Some(task.born), Command::SetDesired { tasks });
    }
}

fn need(state: &State, task: &Task, now: Time) -> Need {
    let lost = on_lost_node(state, task);
    let ended = task.status.state.is_terminal();
    if task.is_live() && !lost {
        return Need::Nothing;
    }
    if task.desired == TaskState::Remove {
        return Need::Task;
    }
    if !ended && !lost {
        return Need::Nothing; // on its way out, not ended yet: its slot is not free
    }
    match restart::delay(state, task, now, lost && !ended) {
        Some(delay) => Need::Replacement(delay),
        None => Need::Done,
    }
}

/// Which tasks end when there are more slots than wanted: those on the fullest nodes first, then those not running,
/// then the highest slots (Swarm's order).
fn too_many<'a>(state: &State, used: &BTreeMap<u64, &'a Task>, wanted: usize) -> Vec<&'a Task> {
    if used.len() <= wanted {
        return Vec::new();
    }
    let mut order: Vec<&Task> = used.values().copied().collect();
    order.sort_by_key(|t| (!state.is_named(t), t.slot));
    let mut copies: BTreeMap<Option<NodeId>, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, &Task)> = order
        .into_iter()
        .map(|task| {
            let nth = copies.entry(task.node).or_default();
            *nth += 1;
            (*nth, task)
        })
        .collect();
    ranked.sort_by_key(|(nth, task)| (*nth, !state.is_named(task), task.slot));
    ranked.into_iter().skip(wanted).map(|(_, task)| task).collect()
}
