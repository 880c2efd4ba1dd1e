//! Which of the nodes that fit is taken: evenly over the values of the preferences, then the fewest tasks of the service,
//! then the fewest in all, then by id.
//! Swarm's order, without its memory of failures.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NetworkId, NodeId, ServiceId};
use crate::network::Network;
use crate::node::Node;
use crate::plan::allocate::address;
use crate::state::State;
use crate::state::index::Load;
use crate::task::explain::{Explanation, Finding, VERDICTS_MAX, Verdict};
use crate::task::spec::TaskSpec;

use super::filter::{Has, Need};
use super::{constraint, explain, filter};

/// What this plan has handed out already, for services planned after one another.
#[derive(Default)]
pub(super) struct Ledger {
    loads: BTreeMap<NodeId, Load>,
    of_service: BTreeMap<(ServiceId, NodeId), u32>,
    addresses: BTreeMap<NetworkId, u64>,
}

impl Ledger {
    fn has(&self, state: &State, service: ServiceId, node: &Node) -> Has {
        let before = Has::of(state, service, node);
        let of_service = self.of_service.get(&(service, node.id)).copied();
        Has {
            load: self.loads.get(&node.id).copied().unwrap_or(before.load),
            of_service: of_service.unwrap_or(before.of_service),
        }
    }

    fn note(&mut self, service: ServiceId, node: NodeId, has: Has) {
        self.loads.insert(node, has.load);
        self.of_service.insert((service, node), has.of_service);
    }

    /// Why the next task has no address on one of its networks; if it has, it takes them.
    pub(super) fn take_addresses(&mut self, state: &State, spec: &TaskSpec) -> Result<(), String> {
        let networks: Vec<&Network> = spec
            .networks
            .iter()
            .filter_map(|a| state.networks.get(&a.network).map(|n| &**n))
            .collect();
        for network in &networks {
            let left = self.addresses.entry(network.id);
            if *left.or_insert_with(|| address::left(state, network)) == 0 {
                return Err(address::exhausted(network));
            }
        }
        for network in networks {
            self.addresses.entry(network.id).and_modify(|left| *left -= 1);
        }
        Ok(())
    }
}

/// How good a node is: how many tasks its branches have, the first preference first, then it itself, then all it carries.
type Rank = (Vec<u32>, u32, u32, NodeId);

/// Nodes for one group of tasks, the best first.
pub(super) struct Queue<'a> {
    state: &'a State,
    service: ServiceId,
    need: Need<'a>,
    evaluated: u32,
    best: BTreeSet<Rank>,
    /// Tasks of the service under each value of the preferences, from the first on.
    branches: BTreeMap<Vec<&'a str>, u32>,
    out: Vec<Verdict>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(
        state: &'a State,
        service: ServiceId,
        need: Need<'a>,
        ledger: &Ledger,
    ) -> Self {
        let mut queue = Self {
            state,
            service,
            need,
            evaluated: 0,
            best: BTreeSet::new(),
            branches: BTreeMap::new(),
            out: Vec::new(),
        };
        let nodes = || state.nodes.values().filter(|n| need.only.is_none_or(|o| o == n.number));
        for node in nodes() {
            let has = ledger.has(state, service, node);
            queue.count(node, has.of_service);
        }
        for node in nodes() {
            queue.evaluated += 1;
            let has = ledger.has(state, service, node);
            queue.offer(node, has);
        }
        queue
    }

    /// The values of the preferences on a node, from the first on; a node without the label is in a branch of its own.
    fn path(&self, node: &'a Node) -> Vec<&'a str> {
        let preferences = self.need.spec.placement.preferences.iter();
        preferences.map(|p| constraint::label(&p.over, node).unwrap_or("")).collect()
    }

    fn count(&mut self, node: &'a Node, tasks: u32) {
        let path = self.path(node);
        for depth in 1..=path.len() {
            *self.branches.entry(path[..depth].to_vec()).or_default() += tasks;
        }
    }

    fn offer(&mut self, node: &'a Node, has: Has) {
        match filter::ruled_out(node, has, self.need) {
            Some(finding) => self.out.push(Verdict { node: node.id, finding }),
            None => {
                let path = self.path(node);
                let counts = (1..=path.len())
                    .map(|depth| self.branches.get(&path[..depth]).copied().unwrap_or(0))
                    .collect();
                self.best.insert((counts, has.of_service, has.load.tasks, node.id));
            }
        }
    }

    /// Whether no node is left.
    pub(super) fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    /// Takes the best node for one task.
    pub(super) fn next(&mut self, ledger: &mut Ledger) -> Option<(NodeId, Explanation)> {
        let (_, of_service, in_all, id) = self.best.pop_first()?;
        let chosen = Verdict { node: id, finding: Finding::Chosen { of_service, in_all } };
        let others = self.best.iter().map(|&(_, of_service, in_all, node)| Verdict {
            node,
            finding: Finding::Fit { of_service, in_all },
        });
        let verdicts = std::iter::once(chosen)
            .chain(others)
            .chain(self.out.iter().cloned())
            .take(VERDICTS_MAX)
            .collect();
        let explanation = Explanation { evaluated: self.evaluated, verdicts };

        let node = self.state.nodes.get(&id).expect("the queue holds nodes of the state");
        let mut has = ledger.has(self.state, self.service, node);
        has.carry(self.need.spec.reservations);
        ledger.note(self.service, id, has);
        self.count(node, 1);
        self.offer(node, has);
        if !self.need.spec.placement.preferences.is_empty() {
            self.rank_anew(ledger);
        }
        Some((id, explanation))
    }

    /// A task more in a branch changes the rank of every node in it.
    fn rank_anew(&mut self, ledger: &Ledger) {
        for (_, _, _, id) in std::mem::take(&mut self.best) {
            let node = self.state.nodes.get(&id).expect("the queue holds nodes of the state");
            let has = ledger.has(self.state, self.service, node);
            self.offer(node, has);
        }
    }

    /// Why there is no node, in Swarm's words.
    pub(super) fn obstacle(&self) -> String {
        explain::no_suitable_node(&self.out)
    }
}
