//! Checks that several decisions share: what a value must be like before it may be written.

use crate::id::{NetworkId, NodeId, ServiceId, TaskId};
use crate::network::Network;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::state::State;
use crate::task::{Task, template};

/// Docker's smallest memory limit.
pub(super) const MEMORY_MIN: u64 = 4 << 20;
/// Most tasks a service may ask for: beyond it one plan would not fit its bounds for minutes.
pub(super) const REPLICAS_MAX: u64 = 100_000;
/// Largest spec, and largest environment, in bytes: both together fit a batch.
pub(super) const SPEC_MAX: usize = 256 << 10;
/// What one text or pair costs besides its own bytes, at least a name's longest form.
pub(super) const ITEM: usize = 64;
/// Restarts of a slot that are remembered, so a policy cannot count further.
pub(super) const ATTEMPTS_MAX: u64 = crate::task::fold::RESTARTS_MAX as u64;

pub(super) fn service(state: &State, id: ServiceId) -> Result<&Service, Refusal> {
    state
        .services
        .get(&id)
        .map(|s| &**s)
        .ok_or_else(|| Refusal::NotFound { noun: "service", name: id.to_string() })
}

pub(super) fn network(state: &State, id: NetworkId) -> Result<&Network, Refusal> {
    state
        .networks
        .get(&id)
        .map(|n| &**n)
        .ok_or_else(|| Refusal::NotFound { noun: "network", name: id.to_string() })
}

pub(super) fn node(state: &State, id: NodeId) -> Result<&Node, Refusal> {
    state
        .nodes
        .get(&id)
        .map(|n| &**n)
        .ok_or_else(|| Refusal::NotFound { noun: "node", name: id.to_string() })
}

pub(super) fn task(state: &State, id: TaskId) -> Result<&Task, Refusal> {
    state
        .tasks
        .get(&id)
        .map(|t| &**t)
        .ok_or_else(|| Refusal::NotFound { noun: "task", name: id.to_string() })
}

pub(super) fn labels(labels: &[(String, String)]) -> Result<(), Refusal> {
    match labels.iter().find(|(key, _)| key.is_empty()) {
        Some(_) => Err(Refusal::Invalid("a label needs a key".to_owned())),
        None => Ok(()),
    }
}

/// Labels as events hold them: sorted by key, a key once, the last one given.
pub(super) fn sorted(labels: &[(String, String)]) -> Vec<(String, String)> {
    labels.iter().cloned().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect()
}

/// How many bytes a sorted list of pairs takes, roughly and at least.
pub(super) fn size_of(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(key, value)| key.len() + value.len() + ITEM).sum()
}

/// Whether what stands between `{{` and `}}` can be filled in when a task has its node.
pub(super) fn placeholders(what: &str, text: &str) -> Result<(), Refusal> {
    // The text itself may be a secret.
    template::check(text).map_err(|why| Refusal::Invalid(format!("invalid {what}: {why}")))
}

pub(super) fn environment(env: &[String]) -> Result<(), Refusal> {
    for entry in env {
        if entry.starts_with('=') || entry.is_empty() || entry.contains('\0') {
            return Err(Refusal::Invalid(
                "invalid environment variable: it needs a name before the =".to_owned(),
            ));
        }
    }
    env.iter().try_for_each(|entry| placeholders("environment variable", entry))?;
    if env.iter().map(|entry| entry.len() + ITEM).sum::<usize>() > SPEC_MAX {
        return Err(Refusal::TooLarge("the environment", SPEC_MAX));
    }
    Ok(())
}
