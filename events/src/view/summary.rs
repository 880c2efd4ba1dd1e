//! Numbers and look-ups that lists and reports share: how many tasks run, which object a text means.

use std::str::FromStr;

use crate::id::{NetworkId, NodeId, ObjectId, ServiceId, TaskId};
use crate::name::Name;
use crate::refusal::Refusal;
use crate::service::Mode;
use crate::state::State;
use crate::task::TaskState;

/// How far a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Tasks that run.
    pub running: u64,
    /// Tasks that should.
    pub desired: u64,
}

/// How far a service is.
pub fn progress(state: &State, id: ServiceId) -> Progress {
    let running = state
        .tasks_of(id)
        .filter(|t| t.status.state == TaskState::Running && t.desired == TaskState::Running)
        .count();
    let wanted = || state.heads_of(id).iter().filter(|t| t.desired <= TaskState::Running).count();
    let desired = state.services.get(&id).map_or(0, |s| match s.spec.mode {
        Mode::Replicated { replicas } => replicas,
        Mode::Global => wanted() as u64,
    });
    Progress { running: running as u64, desired }
}

/// Finds an object as Docker does: full id, exact name, then an unambiguous beginning of an id.
fn find<I: Copy + ToString + FromStr>(
    noun: &'static str,
    text: &str,
    exists: impl Fn(I) -> bool,
    by_name: impl Fn(&str) -> Option<I>,
    all: impl Iterator<Item = I>,
    label: impl Fn(I) -> String,
) -> Result<I, Refusal> {
    if let Some(id) = text.parse().ok().filter(|id| exists(*id)).or_else(|| by_name(text)) {
        return Ok(id);
    }
    let not_found = || Refusal::NotFound { noun, name: text.chars().take(128).collect() };
    let looks_like_id =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    if !looks_like_id {
        return Err(not_found());
    }
    let found: Vec<I> = all.filter(|id| id.to_string().starts_with(text)).collect();
    match found.as_slice() {
        [] => Err(not_found()),
        [one] => Ok(*one),
        many => {
            let candidates = many.iter().map(|id| label(*id)).collect();
            Err(Refusal::Ambiguous { noun, name: text.to_owned(), candidates })
        }
    }
}

/// The service a text means.
pub fn service(state: &State, text: &str) -> Result<ServiceId, Refusal> {
    let by_name =
        |t: &str| state.index.service_names.get(&t.parse::<Name>().ok()?.folded()).copied();
    let exists = |id| state.services.contains_key(&id);
    let label = |id: ServiceId| format!("{} ({})", state.services[&id].spec.name, id.short());
    find("service", text, exists, by_name, state.services.keys().copied(), label)
}

/// The network a text means.
pub fn network(state: &State, text: &str) -> Result<NetworkId, Refusal> {
    let by_name =
        |t: &str| state.index.network_names.get(&t.parse::<Name>().ok()?.folded()).copied();
    let exists = |id| state.networks.contains_key(&id);
    let label = |id: NetworkId| format!("{} ({})", state.networks[&id].spec.name, id.short());
    find("network", text, exists, by_name, state.networks.keys().copied(), label)
}

/// The node a text means: an id or a host name.
pub fn node(state: &State, text: &str) -> Result<NodeId, Refusal> {
    let exists = |id| state.nodes.contains_key(&id);
    let label = |id: NodeId| format!("{} ({})", state.nodes[&id].description.hostname, id.short());
    let named = state.nodes.values().filter(|n| n.description.hostname == text);
    match named.map(|n| n.id).collect::<Vec<_>>().as_slice() {
        [] => find("node", text, exists, |_| None, state.nodes.keys().copied(), label),
        [one] => Ok(*one),
        many => {
            let candidates = many.iter().map(|id| label(*id)).collect();
            Err(Refusal::Ambiguous { noun: "node", name: text.to_owned(), candidates })
        }
    }
}

/// The task a text means: an id, `web.1` (its live task, or the newest), or `web.1.<id>`.
pub fn task(state: &State, text: &str) -> Result<TaskId, Refusal> {
    let by_name = |t: &str| {
        let (rest, last) = t.rsplit_once('.')?;
        if let Some(task) = last.parse().ok().and_then(|id: TaskId| state.tasks.get(&id)) {
            return (state.task_name(task) == rest).then_some(task.id);
        }
        let node = || last.parse().ok().and_then(|id: NodeId| Some(state.nodes.get(&id)?.number));
        let slot: u64 = last.parse().ok().or_else(node)?;
        let service = state.index.service_names.get(&rest.parse::<Name>().ok()?.folded())?;
        let of_slot = state.tasks_of_slot(*service, slot);
        of_slot.max_by_key(|t| (t.is_live(), t.born)).map(|t| t.id)
    };
    let exists = |id| state.tasks.contains_key(&id);
    let label = |id: TaskId| format!("{} ({})", state.task_name(&state.tasks[&id]), id.short());
    find("task", text, exists, by_name, state.tasks.keys().copied(), label)
}

/// The object a text means: `service/web`, or a name or id of any noun, services first.
pub fn object(state: &State, text: &str) -> Result<ObjectId, Refusal> {
    match text.split_once('/') {
        Some(("service", name)) => return service(state, name).map(ObjectId::Service),
        Some(("network", name)) => return network(state, name).map(ObjectId::Network),
        Some(("node", name)) => return node(state, name).map(ObjectId::Node),
        Some(("task", name)) => return task(state, name).map(ObjectId::Task),
        _ => {}
    }
    let not_found = || Refusal::NotFound { noun: "object", name: text.chars().take(128).collect() };
    let tries = [
        service(state, text).map(ObjectId::Service),
        task(state, text).map(ObjectId::Task),
        network(state, text).map(ObjectId::Network),
        node(state, text).map(ObjectId::Node),
    ];
    let ambiguous = tries.iter().find(|t| matches!(t, Err(Refusal::Ambiguous { .. }))).cloned();
    tries.into_iter().find(Result::is_ok).or(ambiguous).unwrap_or_else(|| Err(not_found()))
}
