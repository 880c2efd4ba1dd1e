//! What must hold of a state at any position, and of the machines at any moment. Looks at nouns only, never at look-ups,
//! so that a wrong look-up does not vouch for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use skein_events::id::{NetworkId, NodeId, ServiceId, TaskId};
use skein_events::node::NodeState;
use skein_events::state::State;
use skein_events::task::{Task, TaskState};
use skein_events::view::dns;

use super::check::Check;
use super::world::World;

type Judged = Result<(), (Check, String)>;

/// Judges a state.
pub(super) fn state(state: &State) -> Judged {
    addresses(state)?;
    slots(state)?;
    capacity(state)?;
    grows(state)?;
    names(state)
}

fn addresses(state: &State) -> Judged {
    let mut holders: BTreeMap<(NetworkId, Ipv4Addr), TaskId> = BTreeMap::new();
    for task in state.tasks.values().filter(|t| !t.gone) {
        for leg in &task.legs {
            let network = state.networks.get(&leg.network);
            let proper = network.is_some_and(|n| {
                n.subnet.contains(leg.ip)
                    && leg.ip != n.gateway
                    && leg.ip != n.subnet.base()
                    && leg.ip != n.subnet.last()
            });
            if !proper {
                return Err((
                    Check::Address,
                    format!("{} holds {} of no network", task.id, leg.ip),
                ));
            }
            if let Some(other) = holders.insert((leg.network, leg.ip), task.id) {
                return Err((Check::Address, format!("{} and {other} hold {}", task.id, leg.ip)));
            }
        }
    }
    Ok(())
}

fn slots(state: &State) -> Judged {
    let mut live: BTreeMap<(ServiceId, u64, u64), TaskId> = BTreeMap::new();
    for task in state.tasks.values().filter(|t| t.desired <= TaskState::Running) {
        // Two while an update starts the new task first; they never run the same.
        let versions = (task.service, task.slot, task.version);
        if let Some(other) = live.insert(versions, task.id) {
            return Err((Check::Slot, format!("slot {}: {} and {other}", task.slot, task.id)));
        }
    }
    Ok(())
}

fn capacity(state: &State) -> Judged {
    let mut used: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
    for task in state.tasks.values().filter(|t| !t.gone && !t.status.state.is_terminal()) {
        let Some(node) = task.node else { continue };
        let need = state.version_of(task).task.reservations;
        let sum = used.entry(node).or_default();
        *sum = (sum.0 + need.cpus.0, sum.1 + need.memory.0);
    }
    for (id, (cpus, memory)) in used {
        let Some(node) = state.nodes.get(&id) else { continue };
        let has = &node.description;
        if cpus > has.cpus.0 || memory > has.memory.0 {
            return Err((
                Check::Capacity,
                format!("{} carries {cpus} of {}", has.hostname, has.cpus.0),
            ));
        }
    }
    Ok(())
}

fn grows(state: &State) -> Judged {
    for task in state.tasks.values() {
        let odd = task.node.is_none() && task.status.state > TaskState::Pending;
        if odd || task.withdrawn && task.desired <= TaskState::Running {
            return Err((Check::TaskGrows, format!("{} is {:?}", task.id, task.status.state)));
        }
    }
    Ok(())
}

/// Whether clients may be sent to a task.
fn runs(state: &State, task: &Task) -> bool {
    let node = task.node.and_then(|id| state.nodes.get(&id));
    task.status.state == TaskState::Running
        && task.desired == TaskState::Running
        && !task.gone
        && node.is_some_and(|n| n.state != NodeState::Down)
}

fn names(state: &State) -> Judged {
    for id in state.networks.keys() {
        let Some(zone) = dns::zone(state, *id) else { continue };
        let should: BTreeSet<Ipv4Addr> = state
            .tasks
            .values()
            .filter(|t| runs(state, t))
            .flat_map(|t| &t.legs)
            .filter(|leg| leg.network == *id)
            .map(|leg| leg.ip)
            .collect();
        let named: BTreeSet<Ipv4Addr> = zone.addresses.values().flatten().copied().collect();
        let pointers: BTreeSet<Ipv4Addr> = zone.pointers.keys().copied().collect();
        if named != should || pointers != should {
            return Err((
                Check::Names,
                format!("{}: {named:?}, running are {should:?}", zone.name),
            ));
        }
    }
    Ok(())
}

/// Judges the growth of every task between two states.
pub(super) fn growth(before: &State, after: &State) -> Judged {
    for (id, task) in &after.tasks {
        let Some(old) = before.tasks.get(id) else { continue };
        let shrinks = task.status.state < old.status.state
            || task.desired < old.desired
            || old.gone && !task.gone
            || old.withdrawn && !task.withdrawn
            || old.node.is_some() && task.node != old.node;
        let revived = old.status.state.is_terminal() && task.status.state != old.status.state;
        if shrinks || revived && task.status.state <= TaskState::Running {
            return Err((Check::TaskGrows, format!("{id}: {:?} to {:?}", old.status, task.status)));
        }
    }
    Ok(())
}

/// Judges what runs on the machines now.
pub(super) fn machines(world: &World) -> Judged {
    let watch = world.watch.borrow();
    let mut holders: BTreeMap<(NetworkId, Ipv4Addr), TaskId> = BTreeMap::new();
    for (machine, id) in world.running() {
        if watch.gone.contains(&id) {
            return Err((Check::GoneIsGone, format!("{id} runs on {}", machine.name)));
        }
        // Tasks of a fenced node may run on where nobody reaches them.
        let Some(task) = watch.state.tasks.get(&id).filter(|t| !t.gone) else { continue };
        if task.desired == TaskState::Ready && world.manager.borrow().is_some() {
            return Err((Check::Start, format!("{id} runs on {}", machine.name)));
        }
        if task.node != Some(machine.id) {
            return Err((
                Check::NothingLeft,
                format!("{id} runs on {}, not its node", machine.name),
            ));
        }
        let legs = machine.kernel.legs(id).map(|(legs, _)| legs).unwrap_or_default();
        for leg in legs {
            if let Some(other) = holders.insert((leg.network, leg.ip), id) {
                return Err((
                    Check::Address,
                    format!("{id} and {other} both answer at {}", leg.ip),
                ));
            }
        }
    }
    Ok(())
}
