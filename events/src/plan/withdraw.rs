//! Takes tasks out of DNS before they stop: as soon as every ready node attached to their networks has said that it
//! answers without them, or when the grace is over.

use std::collections::BTreeSet;

use imbl::OrdMap;

use crate::command::Command;
use crate::envelope::Planner;
use crate::id::{NodeId, ObjectId};
use crate::node::NodeState;
use crate::record::Position;
use crate::state::State;
use crate::state::index::WITHDRAW_GRACE;
use crate::state::touched::Touched;
use crate::task::Task;
use crate::time::Time;

use super::{Plan, Proposal, TASKS_PER_PLAN};

pub(super) fn plan(state: &State, touched: &Touched, now: Time, plan: &mut Plan) {
    let late =
        |task: &&Task| task.stopping_since.is_some_and(|since| since.after(WITHDRAW_GRACE) <= now);
    let stopping: Vec<&Task> = match touched {
        Touched::Everything => {
            state.index.stopping.iter().filter_map(|t| state.tasks.get(t)).collect()
        }
        Touched::Objects(objects) => objects
            .iter()
            .filter_map(|o| if let ObjectId::Task(id) = o { Some(id) } else { None })
            .filter(|id| state.index.stopping.contains(*id))
            .filter_map(|id| state.tasks.get(id))
            .collect(),
        Touched::Ignored => Vec::new(),
    }
    .into_iter()
    .map(|t| &**t)
    .filter(late)
    .collect();
    plan.more |= stopping.len() > TASKS_PER_PLAN;
    plan.proposals.extend(propose(stopping.into_iter()));
}

fn propose<'a>(tasks: impl Iterator<Item = &'a Task>) -> Option<Proposal> {
    let (mut ids, mut cause) = (Vec::new(), None);
    for task in tasks.take(TASKS_PER_PLAN) {
        cause = cause.max(task.unnamed_from);
        ids.push((task.id, Vec::new()));
    }
    let command = Command::Withdraw { tasks: ids };
    cause.map(|cause| Proposal { planner: Planner::Withdraw, cause: Some(cause), command })
}

/// Tasks that every reader has let go of, given what sessions have confirmed.
pub fn acknowledged(state: &State, acked: &OrdMap<NodeId, Position>) -> Option<Proposal> {
    let tasks = state.index.stopping.iter().filter_map(|id| state.tasks.get(id)).map(|t| &**t);
    propose(tasks.filter(|t| unconfirmed(state, t, acked).is_empty()))
}

/// Ready nodes on one of the task's networks that have not confirmed to answer without it.
pub fn unconfirmed(state: &State, task: &Task, acked: &OrdMap<NodeId, Position>) -> Vec<NodeId> {
    let Some(from) = task.unnamed_from else { return Vec::new() };
    let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
    for leg in &task.legs {
        nodes.extend(state.index.attached_to(leg.network).map(|(node, _)| node));
    }
    nodes
        .into_iter()
        .filter(|id| state.nodes.get(id).is_some_and(|n| n.state == NodeState::Ready))
        .filter(|id| acked.get(id).is_none_or(|p| *p < from))
        .collect()
}
