//! Forgets tasks: at once those that were to be removed, and all but the newest of a slot's history.

use std::collections::BTreeSet;

use crate::command::Command;
use crate::envelope::Planner;
use crate::id::{ObjectId, ServiceId, TaskId};
use crate::state::State;
use crate::state::touched::Touched;
use crate::task::{Task, TaskState};

use super::{Plan, Proposal, TASKS_PER_PLAN};

pub(super) fn plan(state: &State, touched: &Touched, plan: &mut Plan) {
    let slots: BTreeSet<(ServiceId, u64)> = match touched {
        Touched::Everything => state.tasks.values().map(|t| (t.service, t.slot)).collect(),
        Touched::Objects(objects) => objects
            .iter()
            .filter_map(|o| if let ObjectId::Task(id) = o { state.tasks.get(id) } else { None })
            .map(|t| (t.service, t.slot))
            .collect(),
        Touched::Ignored => BTreeSet::new(),
    };
    let limit = state.cluster.as_ref().map_or(0, |c| c.spec.task_history);
    let mut forget: Vec<TaskId> = Vec::new();
    for (service, slot) in slots {
        let over: Vec<&Task> =
            state.tasks_of_slot(service, slot).map(|t| &**t).filter(|t| t.is_over()).collect();
        let exists = state.services.contains_key(&service);
        let (now, mut history): (Vec<&Task>, Vec<&Task>) =
            over.into_iter().partition(|t| t.desired >= TaskState::Remove || !exists);
        forget.extend(now.iter().map(|t| t.id));
        // The newest ended task of a slot also tells whether the slot is to be filled: it stays in any case.
        history.sort_by_key(|t| std::cmp::Reverse(t.born));
        let keep = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        forget.extend(history.iter().skip(keep).map(|t| t.id));
    }
    if forget.len() > TASKS_PER_PLAN {
        plan.more = true;
        forget.truncate(TASKS_PER_PLAN);
    }
    if !forget.is_empty() {
        plan.proposals.push(Proposal {
            planner: Planner::Reaper,
            cause: None,
            command: Command::RemoveTasks { tasks: forget },
        });
    }
}
