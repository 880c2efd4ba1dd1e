//! Finds a node for each pending task.
//! Pure: reads State and returns commands; never assigns by itself, because only `decide` may write history.
//! Invariant: equal inputs give equal plans, so a new leader repeats no work and undoes none.

pub mod constraint;
pub mod explain;
pub mod filter;
pub mod spread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::{Command, Placement};
use crate::envelope::Planner;
use crate::id::{NetworkId, ObjectId, TaskId};
use crate::state::State;
use crate::state::touched::Touched;
use crate::task::Task;

use super::{Plan, Proposal, TASKS_PER_PLAN};

/// Plans tasks that became pending, and every pending one when there is news of a node.
pub(super) fn plan(state: &State, touched: &Touched, plan: &mut Plan) {
    let find = |id: &TaskId| state.tasks.get(id);
    let tasks = match touched {
        Touched::Objects(objects) if !makes_room(state, objects) => objects
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
    plan_tasks(state, tasks, plan);
}

/// Plans tasks that wait for an address on a network where one came free.
pub(super) fn plan_waiting(state: &State, touched: &Touched, plan: &mut Plan) {
    let Touched::Objects(objects) = touched else { return };
    let networks: Vec<NetworkId> = objects
        .iter()
        .filter_map(|o| if let ObjectId::Network(id) = o { Some(*id) } else { None })
        .collect();
    if networks.is_empty() {
        return;
    }
    let waits = |task: &&Arc<Task>| {
        let joins = &state.version_of(task).task.networks;
        task.obstacle.is_some() && joins.iter().any(|a| networks.contains(&a.network))
    };
    let pending = state.index.pending.iter().filter_map(|id| state.tasks.get(id));
    plan_tasks(state, pending.filter(waits).collect(), plan);
}

/// Whether the news may help any pending task: a node changed, or a task left room behind.
fn makes_room(state: &State, objects: &BTreeSet<ObjectId>) -> bool {
    objects.iter().any(|o| match o {
        ObjectId::Node(_) => true,
        ObjectId::Task(id) => state.tasks.get(id).is_none_or(|t| t.has_ended()),
        ObjectId::Network(_) | ObjectId::Cluster(_) | ObjectId::Service(_) => false,
    })
}

fn plan_tasks(state: &State, mut tasks: Vec<&Arc<Task>>, plan: &mut Plan) {
    tasks.sort_by_key(|t| t.born);
    #[cfg(feature = "mutants")]
    crate::mutant::hash_order(&mut tasks);
    let mut groups: BTreeMap<_, Vec<&Arc<Task>>> = BTreeMap::new();
    for task in tasks {
        let alike = (task.service, task.version, only(state, task));
        groups.entry(alike).or_default().push(task);
    }
    let mut ledger = spread::Ledger::default();
    let mut room = TASKS_PER_PLAN;
    for tasks in groups.into_values() {
        if room == 0 {
            plan.more = true;
            return;
        }
        let (proposal, cut) = place(state, &tasks, &mut ledger, &mut room);
        plan.proposals.extend(proposal);
        plan.more |= cut;
    }
}

/// The number of the only node a task may be on: that of a global service has the node's for its slot.
pub(crate) fn only(state: &State, task: &Task) -> Option<u64> {
    state.version_of(task).global.then_some(task.slot)
}

/// Places tasks of one spec: one look at the nodes serves them all. Also says whether it was cut short.
/// What counts against the room is what is proposed, so tasks that can go nowhere keep no others waiting.
fn place(
    state: &State,
    tasks: &[&Arc<Task>],
    ledger: &mut spread::Ledger,
    room: &mut usize,
) -> (Option<Proposal>, bool) {
    let Some(first) = tasks.first() else { return (None, false) };
    let version = state.version_of(first);
    let lost = version.detached.is_some_and(|c| !state.detached.contains_key(&c));
    let need = filter::Need { spec: &version.task, only: only(state, first) };
    let mut queue = spread::Queue::new(state, first.service, need, ledger);
    let (mut placements, mut obstacles) = (Vec::new(), Vec::new());
    let mut obstacle: Option<String> =
        lost.then(|| "a value it needs was redacted: create the service anew".to_owned());
    let (mut cause, mut cut) = (None, false);
    for task in tasks {
        if *room == 0 {
            cut = true;
            break;
        }
        if obstacle.is_none() && queue.is_empty() {
            obstacle = Some(queue.obstacle());
        }
        if obstacle.is_none() {
            obstacle = ledger.take_addresses(state, &version.task).err();
        }
        if obstacle.is_none()
            && let Some((node, explanation)) = queue.next(ledger)
        {
            placements.push(Placement { task: task.id, node, explanation });
            cause = cause.max(Some(task.born));
            *room -= 1;
            continue;
        }
        if let Some(new) = obstacle.as_ref().filter(|o| task.obstacle.as_ref() != Some(*o)) {
            obstacles.push((task.id, new.clone()));
            cause = cause.max(Some(task.born));
            *room -= 1;
        }
    }
    let command = Command::Schedule { placements, obstacles };
    let proposal =
        cause.map(|cause| Proposal { planner: Planner::Scheduler, cause: Some(cause), command });
    (proposal, cut)
}
