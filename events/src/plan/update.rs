//! Leads the tasks of a service to what is asked for now: so many slots at once, watched, and back if too many fail.
//! Keeps nothing: whether a slot is to be updated is told by its head's version, how far it came by the head itself, and
//! what is waited for is written down, so a new leader goes on where the last one was.

use std::sync::Arc;

use crate::command::{Command, NewTask};
use crate::decide::on_lost_node;
use crate::envelope::Planner;
use crate::record::Position;
use crate::service::Service;
use crate::service::update::{FailureAction, Update, UpdateOrder, UpdateState};
use crate::state::State;
use crate::task::spec::TaskSpec;
use crate::task::{Task, TaskState};
use crate::time::{Span, Time};

use super::schedule::constraint;
use super::{Plan, Proposal, global};

/// Whether a task runs something else than its service asks for.
pub fn is_dirty(state: &State, service: &Service, task: &Task) -> bool {
    let version = state.versions.get(&(service.id, service.version));
    let env = version.and_then(|version| state.environment(version));
    is_dirty_at(state, task, service.version, &service.spec.task, env)
}

/// Whether a task would run something else than this version, which may not be written yet; `env` are its values, `None`
/// if they are not there any more. Where only the node has to be different, it is enough that the task's node is so.
pub(crate) fn is_dirty_at(
    state: &State,
    task: &Task,
    version: u64,
    asked: &TaskSpec,
    env: Option<&[String]>,
) -> bool {
    if task.version == version {
        return false;
    }
    let has = state.version_of(task);
    let same_values = env.is_some() && state.environment(has) == env;
    let mut moved = has.task.clone();
    moved.placement.constraints.clone_from(&asked.placement.constraints);
    let node = task.node.and_then(|id| state.nodes.get(&id));
    let stays = |node: &Arc<crate::node::Node>| {
        constraint::unmet(&asked.placement.constraints, node).is_none()
    };
    !(same_values && moved == *asked && node.is_some_and(stays))
}

/// Whether a slot with this head takes part in updates: it is in use, and may get a task now.
pub(crate) fn is_in_play(state: &State, service: &Service, head: &Task) -> bool {
    head.desired < TaskState::Remove && global::may_fill(state, service, head.slot)
}

/// Tasks of a slot with two that are to run which the slot does not need: once the new one runs, the old; once the
/// old one is what is asked for again, the new.
pub(super) fn surplus<'a>(state: &'a State, service: &Service, slot: u64) -> Vec<&'a Task> {
    let wanted = |t: &&Arc<Task>| t.desired <= TaskState::Running;
    let mut tasks: Vec<&Task> =
        state.tasks_of_slot(service.id, slot).filter(wanted).map(|t| &**t).collect();
    if tasks.len() < 2 {
        return Vec::new();
    }
    tasks.sort_by_key(|t| t.born);
    let clean = |t: &&&Task| !is_dirty(state, service, t);
    let running = |t: &&&Task| state.is_named(t);
    let newest_clean = tasks.iter().rev().find(clean).map(|t| t.id);
    let clean_running = tasks.iter().rev().filter(clean).find(running).map(|t| t.id);
    let old_running = tasks.iter().find(running).map(|t| t.id);
    tasks.retain(|task| match clean_running {
        Some(keep) => task.id != keep,
        None if Some(task.id) == newest_clean => false,
        // One old task serves on, if it can.
        None => Some(task.id) != old_running,
    });
    tasks
}

/// What an update does next.
pub(super) fn plan(state: &State, service: &Service, now: Time, plan: &mut Plan, room: &mut usize) {
    let goes_on =
        |u: &&Update| u.state.is_active() || mutated!(NotPaused) && !u.state.is_complete();
    let Some(update) = service.update.as_ref().filter(goes_on) else { return };
    let mut propose = |command| {
        let cause = Some(service.changed);
        plan.proposals.push(Proposal { planner: Planner::Update, cause, command });
    };
    if let Some(command) = too_many_failed(service, update) {
        return propose(command);
    }
    let Progress { mut dirty, busy, cooling, last } = Progress::of(state, service, update);
    let config = service.config();
    let parallelism = match usize::try_from(config.parallelism) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(n) => n,
    };
    let cooling: Vec<Time> =
        cooling.into_iter().map(|at| at.after(config.delay)).filter(|at| *at > now).collect();
    let waits = if mutated!(Hasty) { 0 } else { cooling.len() };
    let taken = if mutated!(Broad) { 0 } else { busy + waits };
    let free = parallelism.saturating_sub(taken).min(dirty.len());
    if free > *room {
        plan.more = true;
    }
    let free = free.min(*room);
    *room -= free;
    // Those that serve nobody come first.
    dirty.sort_by_key(|t| (state.is_named(t), t.slot));
    for task in dirty.iter().take(free) {
        replace(state, service, task, &mut propose);
    }
    let until = match (dirty.len(), busy) {
        (0, 0) => {
            let end = last.after(config.monitor);
            if end <= now {
                return propose(complete(service, update));
            }
            Some(end)
        }
        (0, _) => None,
        (_, _) => cooling.into_iter().min(),
    };
    if free == 0 && until != update.until && *room > 0 {
        *room -= 1;
        propose(Command::DelayUpdate { id: service.id, began: update.began, until });
    }
}

/// Where the slots of a service are.
struct Progress<'a> {
    /// Heads that are to be replaced.
    dirty: Vec<&'a Task>,
    /// New tasks on their way up.
    busy: usize,
    /// When the others came to run, or ended.
    cooling: Vec<Time>,
    /// The last of those, or when the update began.
    last: Time,
}

impl<'a> Progress<'a> {
    fn of(state: &'a State, service: &Service, update: &Update) -> Self {
        let (mut dirty, mut busy, mut cooling) = (Vec::new(), 0, Vec::new());
        for head in state.heads_of(service.id) {
            if is_in_play(state, service, head) && is_dirty(state, service, head) {
                dirty.push(&**head);
            }
        }
        // All of them and not heads only: one that failed is followed by its delay also if it has been replaced already,
        // and one on a node that was paused meanwhile is still on its way.
        for task in state.tasks_of(service.id) {
            let made = task.by_update && task.born > update.began;
            if !made || task.desired >= TaskState::Remove {
                continue;
            }
            match task.ran.or_else(|| task.ended_at()) {
                Some(at) => cooling.push(at),
                None => busy += usize::from(task.desired <= TaskState::Running),
            }
        }
        let last = cooling.iter().copied().chain([update.started]).max().unwrap_or(update.started);
        Self { dirty, busy, cooling, last }
    }
}

/// The new task in the place of an old one.
fn replace(state: &State, service: &Service, old: &Task, propose: &mut impl FnMut(Command)) {
    let serves = old.is_live() && !on_lost_node(state, old);
    let beside = serves && service.config().order == UpdateOrder::StartFirst;
    if (!beside || mutated!(EndedFirst)) && old.desired <= TaskState::Running {
        let (seen, tasks) = (state.position, vec![(old.id, TaskState::Shutdown)]);
        propose(Command::SetDesired { seen, tasks });
    }
    let new = NewTask { slot: old.slot, replaces: Some(old.id), delay: Span(0), beside };
    propose(Command::CreateTasks { service: service.id, tasks: vec![new] });
}

/// What is done when more failed than may.
fn too_many_failed(service: &Service, update: &Update) -> Option<Command> {
    let config = service.config();
    let failed = update.last_failed.filter(|_| update.state.is_active() && !mutated!(Forgiving))?;
    let share = u128::from(update.failed) * 1_000_000;
    if share <= u128::from(config.max_failure_ratio.0) * u128::from(update.slots) {
        return None;
    }
    let (id, began) = (service.id, update.began);
    let back =
        || Command::RollbackService { id, if_changed: Some(service.changed), failed: Some(failed) };
    let pause = || {
        let message = format!("update paused due to failure or early termination of task {failed}");
        let state = match update.state {
            UpdateState::RollbackStarted => UpdateState::RollbackPaused,
            UpdateState::Updating
            | UpdateState::Paused
            | UpdateState::Completed
            | UpdateState::RollbackPaused
            | UpdateState::RollbackCompleted => UpdateState::Paused,
        };
        Command::SetUpdateState { id, began, state, message }
    };
    match config.failure_action {
        FailureAction::Continue => None,
        FailureAction::Rollback if !service.backwards && service.previous.is_some() => Some(back()),
        FailureAction::Rollback | FailureAction::Pause => Some(pause()),
    }
}

fn complete(service: &Service, update: &Update) -> Command {
    let (state, message) = match update.state {
        UpdateState::RollbackStarted => (UpdateState::RollbackCompleted, "rollback completed"),
        UpdateState::Updating
        | UpdateState::Paused
        | UpdateState::Completed
        | UpdateState::RollbackPaused
        | UpdateState::RollbackCompleted => (UpdateState::Completed, "update completed"),
    };
    let (id, began) = (service.id, update.began);
    Command::SetUpdateState { id, began, state, message: message.to_owned() }
}

/// The record behind the end of a task that a slot does not need any more: the one that keeps the slot.
pub(super) fn instead_of(state: &State, task: &Task) -> Position {
    state.head_of_slot(task.service, task.slot).map_or(task.last, |head| head.last.max(task.last))
}
