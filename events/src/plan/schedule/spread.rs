//! Which of the nodes that fit is taken: the fewest tasks of the service, then the fewest in all, then by id.
//! Swarm's order, without its memory of failures.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NetworkId, NodeId, ServiceId};
use crate::network::Network;
use crate::plan::allocate::address;
use crate::state::State;
use crate::state::index::Load;
use crate::task::explain::{Explanation, Finding, VERDICTS_MAX, Verdict};
use crate::task::spec::{Resources, TaskSpec};

use super::{explain, filter};

/// What this plan has handed out already, for services planned after one another.
#[derive(Default)]
pub(super) struct Ledger {
    loads: BTreeMap<NodeId, Load>,
    addresses: BTreeMap<NetworkId, u64>,
}

impl Ledger {
    fn load(&self, state: &State, node: NodeId) -> Load {
        let before = || state.index.loads.get(&node).copied().unwrap_or_default();
        self.loads.get(&node).copied().unwrap_or_else(before)
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

/// Nodes for one group of tasks, the best first.
pub(super) struct Queue<'a> {
    state: &'a State,
    need: Resources,
    evaluated: u32,
    best: BTreeSet<(u32, u32, NodeId)>,
    out: Vec<Verdict>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(
        state: &'a State,
        service: ServiceId,
        need: Resources,
        ledger: &Ledger,
    ) -> Self {
        let (mut best, mut out, mut evaluated) = (BTreeSet::new(), Vec::new(), 0);
        for node in state.nodes.values() {
            evaluated += 1;
            let load = ledger.load(state, node.id);
            match filter::ruled_out(node, load, need) {
                Some(finding) => out.push(Verdict { node: node.id, finding }),
                None => {
                    let of_service = state.index.spread.get(&(service, node.id)).copied();
                    best.insert((of_service.unwrap_or(0), load.tasks, node.id));
                }
            }
        }
        Self { state, need, evaluated, best, out }
    }

    /// Whether no node is left.
    pub(super) fn is_empty(&self) -> bool {
        self.best.is_empty()
    }

    /// Takes the best node for one task.
    pub(super) fn next(&mut self, ledger: &mut Ledger) -> Option<(NodeId, Explanation)> {
        let (of_service, in_all, id) = self.best.pop_first()?;
        let chosen = Verdict { node: id, finding: Finding::Chosen { of_service, in_all } };
        let others = self.best.iter().map(|&(of_service, in_all, node)| Verdict {
            node,
            finding: Finding::Fit { of_service, in_all },
        });
        let verdicts = std::iter::once(chosen)
            .chain(others)
            .chain(self.out.iter().cloned())
            .take(VERDICTS_MAX)
            .collect();
        let explanation = Explanation { evaluated: self.evaluated, verdicts };

        let mut load = ledger.load(self.state, id);
        filter::carry(&mut load, self.need);
        ledger.loads.insert(id, load);
        let node = self.state.nodes.get(&id).expect("the queue holds nodes of the state");
        match filter::too_little(node, load, self.need) {
            Some(finding) => self.out.push(Verdict { node: id, finding }),
            None => {
                self.best.insert((of_service + 1, load.tasks, id));
            }
        }
        Some((id, explanation))
    }

    /// Why there is no node, in Swarm's words.
    pub(super) fn obstacle(&self) -> String {
        explain::no_suitable_node(&self.out)
    }
}
