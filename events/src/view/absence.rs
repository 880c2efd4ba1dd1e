//! Why a service's tasks are not on a node: what the scheduler's filters say of that node now, and what it would prefer.
//! Asks the scheduler's own filters, so that the answer is what the next placement would find.

use std::collections::BTreeMap;

use crate::id::{NodeId, ServiceId};
use crate::node::Node;
use crate::plan::schedule::filter;
use crate::service::Service;
use crate::state::State;
use crate::task::explain::Finding;

/// How many other nodes are told.
const OTHERS_MAX: usize = 8;

/// Why a service's tasks are not on a node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Absence {
    /// The service.
    pub service: ServiceId,
    /// Its name.
    pub name: String,
    /// Its tasks on the node that run or may yet.
    pub here: u32,
    /// Its tasks in all that run or may yet.
    pub in_all: u32,
    /// What the filters say of the node.
    pub finding: Finding,
    /// The answer, a sentence a line.
    pub lines: Vec<String>,
}

/// Why a service's tasks are not on a node.
pub fn why_not(state: &State, service: &Service, node: &Node) -> Absence {
    let live: Vec<_> = state.tasks_of(service.id).filter(|t| t.is_live()).collect();
    let mut by_node: BTreeMap<NodeId, u32> = BTreeMap::new();
    for id in live.iter().filter_map(|t| t.node) {
        *by_node.entry(id).or_default() += 1;
    }
    let here = by_node.get(&node.id).copied().unwrap_or(0);
    let finding = filter::verdict(state, service, node);
    let mut lines = vec![match (&finding, here) {
        (Finding::Fit { .. } | Finding::Chosen { .. }, 0) => {
            format!("the node would do: {} in all there", tasks(in_all(state, node.id)))
        }
        (Finding::Fit { .. } | Finding::Chosen { .. }, _) => {
            format!("the node would do, and has {here} of them")
        }
        (out, 0) => out.to_string(),
        (out, _) => format!("{out}; {here} are there from before"),
    }];
    for task in live.iter().filter(|t| t.node.is_none()) {
        let name = state.task_name(task);
        let obstacle = task.obstacle.as_deref().unwrap_or("it will be placed in a moment");
        lines.push(format!("task {name} waits for a node: {obstacle}"));
    }
    let others = by_node.iter().filter(|(id, _)| **id != node.id);
    for (id, count) in others.clone().take(OTHERS_MAX) {
        let Some(other) = state.nodes.get(id) else { continue };
        let (host, all) = (&other.description.hostname, in_all(state, *id));
        lines.push(format!("node {host} has {count} of them, {} in all", tasks(all)));
    }
    if let Some(more @ 1..) = others.count().checked_sub(OTHERS_MAX) {
        lines.push(format!("{more} more nodes have some"));
    }
    if live.is_empty() {
        lines.push("the service wants no task at present".to_owned());
    } else if live.iter().all(|t| t.node.is_some()) {
        lines
            .push("none of its tasks waits for a node; a placed task stays where it is".to_owned());
    }
    let in_all = u32::try_from(live.len()).unwrap_or(u32::MAX);
    let name = service.spec.name.to_string();
    Absence { service: service.id, name, here, in_all, finding, lines }
}

fn tasks(count: u32) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

fn in_all(state: &State, node: NodeId) -> u32 {
    state.index.loads.get(&node).map_or(0, |load| load.tasks)
}
