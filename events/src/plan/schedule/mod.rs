//! Finds a node for each pending task.
//! Pure: reads State and returns commands; never assigns by itself, because only `decide` may write history.
//! Invariant: equal inputs give equal plans, so a new leader repeats no work and undoes none.

pub mod explain;
pub mod filter;
pub mod spread;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::{Command, Placement};
use crate::envelope::Planner;
use crate::id::{ObjectId, ServiceId, TaskId};
use crate::record::Position;
use crate::state::State;
use crate::state::touched::Touched;
use crate::task::Task;

use super::{Plan, Proposal, TASKS_PER_PLAN};

pub(super) fn plan(state: &State, touched: &Touched, plan: &mut Plan) {
    let mut groups: BTreeMap<(ServiceId, u64), Vec<&Arc<Task>>> = BTreeMap::new();
    for task in candidates(state, touched, plan) {
        groups.entry((task.service, task.version)).or_default().push(task);
    }
    let mut ledger = spread::Ledger::default();
    for tasks in groups.into_values() {
        plan.proposals.extend(place(state, &tasks, &mut ledger));
    }
}

/// Pending tasks to look at. News of nodes or networks may help any pending task.
fn candidates<'a>(state: &'a State, touched: &Touched, plan: &mut Plan) -> Vec<&'a Arc<Task>> {
    let find = |id: &TaskId| state.tasks.get(id);
    let all = match touched {
        Touched::Everything => true,
        Touched::Objects(objects) => objects.iter().any(|o| match o {
            ObjectId::Node(_) | ObjectId::Network(_) => true,
            // A task that ended or went leaves room behind.
            ObjectId::Task(id) => find(id).is_none_or(|t| t.status.state.is_terminal()),
            ObjectId::Cluster(_) | ObjectId::Service(_) => false,
        }),
        Touched::Ignored => false,
    };
    let mut tasks: Vec<_> = match touched {
        Touched::Objects(objects) if !all => objects
            .iter()
            .filter_map(|o| if let ObjectId::Task(id) = o { Some(id) } else { None })
            .filter(|id| state.index.pending.contains(*id))
            .filter_map(find)
            .collect(),
        Touched::Objects(_) | Touched::Everything => {
            state.index.pending.iter().filter_map(find).collect()
        }
        Touched::Ignored => Vec::new(),
    };
    tasks.sort_by_key(|t| t.born);
    plan.more |= tasks.len() > TASKS_PER_PLAN;
    tasks.truncate(TASKS_PER_PLAN);
    tasks
}

/// Places tasks of one spec: one look at the nodes serves them all.
fn place(state: &State, tasks: &[&Arc<Task>], ledger: &mut spread::Ledger) -> Option<Proposal> {
    let first = tasks.first()?;
    let version = state.version_of(first);
    let cause: Option<Position> = tasks.iter().map(|t| t.born).max();
    let lost = version.detached.is_some_and(|c| !state.detached.contains_key(&c));
    let mut queue = spread::Queue::new(state, first.service, version.task.reservations, ledger);
    let (mut placements, mut obstacles) = (Vec::new(), Vec::new());
    for task in tasks {
        let obstacle = if lost {
            Some("a value it needs was redacted from the log: create the service anew".to_owned())
        } else {
            match queue.next(ledger) {
                Some((node, explanation)) => {
                    placements.push(Placement { task: task.id, node, explanation });
                    None
                }
                None => Some(queue.obstacle()),
            }
        };
        if let Some(obstacle) = obstacle.filter(|o| task.obstacle.as_ref() != Some(o)) {
            obstacles.push((task.id, obstacle));
        }
    }
    if placements.is_empty() && obstacles.is_empty() {
        return None;
    }
    let command = Command::Schedule { placements, obstacles };
    Some(Proposal { planner: Planner::Scheduler, cause, command })
}
