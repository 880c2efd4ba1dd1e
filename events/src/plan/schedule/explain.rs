//! Says in one sentence why no node would do.

use std::collections::BTreeMap;

use crate::task::explain::{Finding, Verdict};

/// Swarm's words for a node that has as many as may be.
const MAX_PER_NODE: &str = "max replicas per node limit exceed";

/// `no suitable node (insufficient resources on 2 nodes; 1 node not available)`.
pub(super) fn no_suitable_node(verdicts: &[Verdict]) -> String {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for verdict in verdicts {
        let reason = match verdict.finding {
            Finding::NotReady => "not ready",
            Finding::NotActive => "not available for new tasks",
            Finding::Cpus { .. } | Finding::Memory { .. } => "insufficient resources",
            Finding::Constraint { .. } => "scheduling constraints not satisfied",
            Finding::MaxPerNode { .. } => MAX_PER_NODE,
            Finding::Chosen { .. } | Finding::Fit { .. } | Finding::NotItsNode => continue,
        };
        *counts.entry(reason).or_default() += 1;
    }
    if counts.is_empty() {
        return "no suitable node (there is no node)".to_owned();
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(reason, n)| {
            if reason == MAX_PER_NODE {
                return reason.to_owned(); // Swarm counts no nodes here
            }
            format!("{reason} on {n} node{}", if n == 1 { "" } else { "s" })
        })
        .collect();
    format!("no suitable node ({})", parts.join("; "))
}
