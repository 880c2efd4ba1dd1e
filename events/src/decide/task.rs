//! Decisions about tasks: planners' wishes, checked again at their own position, and what nodes saw.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::NewEvent;
use crate::command::{NewTask, Placement, Sighting};
use crate::id::{NodeId, ServiceId, TaskId};
use crate::node::{Availability, Node, NodeState};
use crate::plan::allocate;
use crate::plan::global;
use crate::plan::schedule::filter::{self, Has};
use crate::plan::schedule::{constraint, only};
use crate::plan::update;
use crate::plan::withdraw;
use crate::record::Position;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::service::update::UpdateOrder;
use crate::state::State;
use crate::state::index::Load;
use crate::task::event::{
    TaskAssigned, TaskCreated, TaskDesiredChanged, TaskExecStarted, TaskGone, TaskObstructed,
    TaskRemoved, TaskStatusChanged, TaskWithdrawn,
};
use crate::task::spec::TaskSpec;
use crate::task::{Task, TaskLeg, TaskState, TaskStatus};
use crate::unit::Mac;

use super::{Context, check};

/// Characters kept of each text of a status: enough to say what went wrong, too little to fill a batch.
const STATUS_TEXT_MAX: usize = 1_024;

fn some(events: Vec<NewEvent>, what: &str) -> Result<Vec<NewEvent>, Refusal> {
    if events.is_empty() { Err(Refusal::Stale(what.to_owned())) } else { Ok(events) }
}

pub(super) fn create(
    state: &State,
    id: ServiceId,
    tasks: &[NewTask],
    context: &mut Context,
) -> Result<Vec<NewEvent>, Refusal> {
    let service = check::service(state, id)?;
    let mut filled = BTreeSet::new();
    let mut events = Vec::with_capacity(tasks.len());
    for new in tasks {
        let may = global::may_fill(state, service, new.slot);
        if !may || !is_free(state, service, new) || !filled.insert(new.slot) {
            continue; // a slot is never filled twice
        }
        // In the place of one that has yet to stop, it gets ready and waits for that.
        let follows = new.replaces.and_then(|old| state.tasks.get(&old));
        let follows = !new.beside && follows.is_some_and(|old| may_run(state, old));
        let delayed = new.delay.0 > 0;
        events.push(
            TaskCreated {
                id: TaskId::from_random(context.ids.bytes16()),
                service: id,
                version: service.version,
                slot: new.slot,
                desired: if delayed || follows { TaskState::Ready } else { TaskState::Running },
                start_at: delayed.then(|| context.now.after(new.delay)),
                replaces: new.replaces,
            }
            .into(),
        );
    }
    some(events, "the slots are filled")
}

/// Whether a slot may get this task: its newest one was told to end, and the new one knows which that is. While an
/// update starts tasks first, the slot's old one may be running yet.
fn is_free(state: &State, service: &Service, new: &NewTask) -> bool {
    let Some(newest) = state.newest_of_slot(service.id, new.slot) else {
        return new.replaces.is_none();
    };
    let of_slot = || state.tasks_of_slot(service.id, new.slot);
    let mut wanted = of_slot().filter(|t| t.desired <= TaskState::Running);
    let (runs, another) = (wanted.next(), wanted.next());
    let Some(id) = new.replaces else {
        return newest.desired == TaskState::Remove && runs.is_none();
    };
    let Some(old) = of_slot().find(|t| t.id == id) else { return false };
    let dirty = |task| update::is_dirty(state, service, task);
    let left = (TaskState::Shutdown..TaskState::Remove).contains(&old.desired)
        && (old.has_ended() || old.is_over() || must_leave(state, old) || dirty(old));
    match (runs, another) {
        (None, _) => old.id == newest.id && left,
        (Some(runs), None) => {
            let starts_first = service.config().order == UpdateOrder::StartFirst && dirty(runs);
            let beside = new.beside && runs.id == old.id;
            let again = old.id == newest.id && left && !dirty(old);
            starts_first && (beside || again)
        }
        (Some(_), Some(_)) => false,
    }
}

/// Whether something of a task may run: it has a node, that is not lost, and did not end.
pub(crate) fn may_run(state: &State, task: &Task) -> bool {
    task.node.is_some() && !task.has_ended() && !on_lost_node(state, task)
}

/// Whether a task is on a node that is down.
pub(crate) fn on_lost_node(state: &State, task: &Task) -> bool {
    task.node.is_some_and(|id| state.nodes.get(&id).is_none_or(|n| n.state == NodeState::Down))
}

/// Whether a task may not stay where it is: its node is down, was drained, or is not any more what the task asks for.
/// While an update is under way, what the service asks for now is the update's to follow.
pub(crate) fn must_leave(state: &State, task: &Task) -> bool {
    let Some(node) = task.node.and_then(|id| state.nodes.get(&id)) else {
        return on_lost_node(state, task);
    };
    if node.state == NodeState::Down || node.availability == Availability::Drain {
        return true;
    }
    let asks = |spec: &TaskSpec| constraint::unmet(&spec.placement.constraints, node).is_some();
    let settled = |s: &&std::sync::Arc<Service>| {
        s.version != task.version && s.update.as_ref().is_none_or(|u| u.state.is_complete())
    };
    asks(&state.version_of(task).task)
        || state.services.get(&task.service).filter(settled).is_some_and(|s| asks(&s.spec.task))
}

pub(super) fn set_desired(
    state: &State,
    seen: Position,
    tasks: &[(TaskId, TaskState)],
) -> Result<Vec<NewEvent>, Refusal> {
    let mut reached: BTreeMap<TaskId, TaskState> = BTreeMap::new();
    let mut events: Vec<NewEvent> = Vec::with_capacity(tasks.len());
    for (id, to) in tasks {
        let Some(task) = state.tasks.get(id) else { continue };
        if is_news(state, task, seen) {
            continue; // planned again from what happened
        }
        let before = reached.get(id).copied().unwrap_or(task.desired);
        let starts = *to <= TaskState::Running;
        if before < *to && !(starts && task.has_ended()) {
            reached.insert(*id, *to);
            events.push(TaskDesiredChanged { id: *id, desired: *to }.into());
        }
    }
    some(events, "the tasks are desired so already, or something happened to them meanwhile")
}

/// Whether something happened after `seen` to what a wish about a task was made of. An update of the service may mean
/// that the task stays, and so may the end of another one of its slot.
fn is_news(state: &State, task: &Task, seen: Position) -> bool {
    let of_service = state.services.get(&task.service).map(|service| service.changed);
    let of_node = task.node.and_then(|id| state.nodes.get(&id));
    let of_node = of_node.map(|node| node.changed.max(node.state_at));
    let of_slot = state.tasks_of_slot(task.service, task.slot).map(|task| task.last);
    of_slot.chain(of_service).chain(of_node).any(|last| last > seen)
}

pub(super) fn schedule(
    state: &State,
    placements: &[Placement],
    obstacles: &[(TaskId, String)],
    context: &mut Context,
) -> Result<Vec<NewEvent>, Refusal> {
    let mut given = Given::default();
    let mut seen: BTreeSet<TaskId> = BTreeSet::new();
    let mut events: Vec<NewEvent> = Vec::with_capacity(placements.len());
    for placement in placements {
        let Some(task) = state.tasks.get(&placement.task).filter(|t| is_pending(t)) else {
            continue;
        };
        let Some(node) = state.nodes.get(&placement.node) else { continue };
        if !seen.insert(task.id) {
            continue; // a task is put on one node
        }
        let spec = &state.version_of(task).task;
        let mut has = given.has(state, task.service, node);
        let need = filter::Need { spec, only: only(state, task) };
        if filter::ruled_out(node, has, need).is_some() {
            continue; // planned again from the state that made it stale
        }
        match given.legs(state, task, context) {
            Ok(legs) => {
                has.carry(spec.reservations);
                given.loads.insert(placement.node, has.load);
                given.of_service.insert((task.service, placement.node), has.of_service);
                events.push(
                    TaskAssigned {
                        id: task.id,
                        node: placement.node,
                        legs,
                        explanation: placement.explanation.clone(),
                    }
                    .into(),
                );
            }
            Err(obstacle) => obstruct(task, obstacle, &mut events),
        }
    }
    for (id, obstacle) in obstacles {
        let pending = state.tasks.get(id).filter(|t| is_pending(t));
        if let Some(task) = pending.filter(|_| seen.insert(*id)) {
            obstruct(task, obstacle.clone(), &mut events);
        }
    }
    some(events, "the tasks have nodes")
}

fn is_pending(task: &Task) -> bool {
    task.node.is_none() && task.desired <= TaskState::Running
}

fn obstruct(task: &Task, obstacle: String, events: &mut Vec<NewEvent>) {
    if task.obstacle.as_ref() != Some(&obstacle) {
        events.push(TaskObstructed { id: task.id, obstacle }.into());
    }
}

/// What one command has handed out so far.
#[derive(Default)]
struct Given {
    loads: BTreeMap<NodeId, Load>,
    of_service: BTreeMap<(ServiceId, NodeId), u32>,
    addresses: BTreeMap<crate::id::NetworkId, (u64, BTreeSet<std::net::Ipv4Addr>)>,
}

impl Given {
    fn has(&self, state: &State, service: ServiceId, node: &Node) -> Has {
        let before = Has::of(state, service, node);
        let of_service = self.of_service.get(&(service, node.id)).copied();
        Has {
            load: self.loads.get(&node.id).copied().unwrap_or(before.load),
            of_service: of_service.unwrap_or(before.of_service),
        }
    }

    fn legs(
        &mut self,
        state: &State,
        task: &Task,
        context: &mut Context,
    ) -> Result<Vec<TaskLeg>, String> {
        let mut legs = Vec::new();
        for attachment in &state.version_of(task).task.networks {
            let Some(network) = state.networks.get(&attachment.network) else {
                return Err(format!("network {} does not exist any more", attachment.network));
            };
            let (next_host, taken) = self
                .addresses
                .entry(network.id)
                .or_insert_with(|| (network.next_host, BTreeSet::new()));
            let Some(ip) = allocate::address::free(state, network, *next_host, taken) else {
                return Err(allocate::address::exhausted(network));
            };
            taken.insert(ip);
            *next_host = u64::from(ip.to_bits() - network.subnet.base().to_bits()) + 1;
            let [a, b, c, d, e, f, ..] = context.ids.bytes16();
            legs.push(TaskLeg {
                network: network.id,
                ip,
                mac: Mac::from_random([a, b, c, d, e, f]),
            });
        }
        Ok(legs)
    }
}

pub(super) fn report(
    state: &State,
    node: NodeId,
    sightings: &[(TaskId, Sighting)],
) -> Result<Vec<NewEvent>, Refusal> {
    let mut reached: BTreeMap<TaskId, TaskState> = BTreeMap::new();
    let mut gone: BTreeSet<TaskId> = BTreeSet::new();
    let mut events: Vec<NewEvent> = Vec::new();
    for (id, sighting) in sightings {
        // A node speaks only for its own tasks, and a task that is gone is not spoken of again.
        let Some(task) = state.tasks.get(id).filter(|t| t.node == Some(node) && !t.gone) else {
            continue;
        };
        if gone.contains(id) {
            continue;
        }
        match sighting {
            Sighting::Status(status) => {
                let before = reached.get(id).copied().unwrap_or(task.status.state);
                // One that runs may yet be found unwell, once; one that never was well never ran, and just fails.
                let news = if status.is_unwell() {
                    before == TaskState::Running && task.status.error.is_none()
                } else {
                    status.state > before
                };
                if news && may_report(status.state) {
                    reached.insert(*id, status.state);
                    events.push(TaskStatusChanged { id: *id, status: trimmed(status) }.into());
                }
            }
            Sighting::Gone => {
                gone.insert(*id);
                events.push(TaskGone { id: *id }.into());
            }
        }
    }
    some(events, "nothing new was seen")
}

/// States that only a node can know; the others are the managers' to say.
fn may_report(state: TaskState) -> bool {
    match state {
        TaskState::Accepted
        | TaskState::Preparing
        | TaskState::Ready
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Complete
        | TaskState::Shutdown
        | TaskState::Failed
        | TaskState::Rejected => true,
        TaskState::Pending | TaskState::Assigned | TaskState::Remove | TaskState::Orphaned => false,
    }
}

/// A node's words, as far as they are kept.
fn trimmed(status: &TaskStatus) -> TaskStatus {
    let text = |text: &String| text.chars().take(STATUS_TEXT_MAX).collect();
    TaskStatus {
        state: status.state,
        message: text(&status.message),
        error: status.error.as_ref().map(text),
        container: status.container.as_ref().map(text),
        pid: status.pid,
        exit_code: status.exit_code,
    }
}

pub(super) fn withdraw(
    state: &State,
    tasks: &[(TaskId, Vec<NodeId>)],
    context: &Context,
) -> Result<Vec<NewEvent>, Refusal> {
    let waiting = tasks
        .iter()
        .map(|(id, _)| *id)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|id| state.index.stopping.contains(id))
        .filter_map(|id| state.tasks.get(&id))
        .map(|task| {
            let not_waited_for = withdraw::unconfirmed(state, task, &context.acked);
            TaskWithdrawn { id: task.id, not_waited_for }.into()
        })
        .collect();
    some(waiting, "the tasks answer to no name already")
}

pub(super) fn remove(state: &State, tasks: &[TaskId]) -> Result<Vec<NewEvent>, Refusal> {
    let over = tasks
        .iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|id| state.tasks.get(id).is_some_and(|t| t.is_over()))
        .map(|id| TaskRemoved { id }.into())
        .collect();
    some(over, "the tasks are not over")
}

pub(super) fn start_exec(
    state: &State,
    id: TaskId,
    program: &str,
) -> Result<Vec<NewEvent>, Refusal> {
    let task = check::task(state, id)?;
    // One that is not healthy yet is looked into, too.
    let runs = matches!(task.status.state, TaskState::Starting | TaskState::Running);
    if !runs || task.gone {
        return Err(Refusal::Invalid(format!(
            "task {} is not running: it is {}",
            state.task_name(task),
            task.status.state.as_str()
        )));
    }
    let program = program.chars().take(256).collect();
    Ok(vec![TaskExecStarted { id, program }.into()])
}
