//! Look-ups derived from the nouns, kept up to date by `apply` and never stored.
//! `TaskKeys` says in one place which look-ups a task belongs to; a change is the difference between two of them.

pub(super) mod anew;

use std::net::Ipv4Addr;

use imbl::{OrdMap, OrdSet};

use crate::id::{NetworkId, NodeId, ServiceId, TaskId};
use crate::name::Name;
use crate::task::spec::Resources;
use crate::task::{Task, TaskLeg, TaskState};
use crate::time::{Span, Time};
use crate::unit::{Bytes, NanoCpus, Vni};

/// A task leaves DNS this long before it is stopped, at most: then it is not waited for any longer.
pub const WITHDRAW_GRACE: Span = Span::seconds(1);

/// A task waits so long at most for the one in whose place it comes to stop: Swarm's minute.
pub const STOP_WAIT: Span = Span::seconds(60);

/// When a task that is ready is started at the latest.
pub fn starts_by(task: &Task) -> Time {
    task.start_at.unwrap_or_else(|| task.created.after(STOP_WAIT))
}

/// Until when an ended task keeps its slot from being filled again: until its restart delay would have been over.
pub fn held_until(task: &Task) -> Option<Time> {
    task.start_at.filter(|_| task.desired == TaskState::Ready && task.has_ended())
}

/// Whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A task is to be started or replaced, or was waited for long enough.
    Task(TaskId),
    /// A node was waited for long enough.
    Node(NodeId),
    /// A service's update goes on.
    Service(ServiceId),
}

/// What a node carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Tasks that hold resources.
    pub tasks: u32,
    /// What they reserved.
    pub reserved: Resources,
}

impl Load {
    /// One more task, which reserved so much.
    fn add(&mut self, reserved: Resources) {
        self.tasks += 1;
        self.reserved.cpus.0 = self.reserved.cpus.0.saturating_add(reserved.cpus.0);
        self.reserved.memory.0 = self.reserved.memory.0.saturating_add(reserved.memory.0);
    }
}

/// How much of a service there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Slots in use.
    pub slots: u64,
    /// Tasks that were not told to be removed.
    pub kept: u64,
}

/// All look-ups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Services by folded name.
    pub service_names: OrdMap<Name, ServiceId>,
    /// Networks by folded name.
    pub network_names: OrdMap<Name, NetworkId>,
    /// Which services join a network.
    pub network_services: OrdSet<(NetworkId, ServiceId)>,
    /// VNIs in use.
    pub vnis: OrdSet<Vni>,
    /// Who holds an address.
    pub addresses: OrdMap<(NetworkId, Ipv4Addr), TaskId>,
    /// How many addresses of a network a node's tasks hold: the nodes attached to it.
    pub attached: OrdMap<(NetworkId, NodeId), u32>,
    /// Tasks of a service by slot.
    pub by_service: OrdSet<(ServiceId, u64, TaskId)>,
    /// Slots in use: those whose head was not told to be removed.
    pub slots: OrdSet<(ServiceId, u64)>,
    /// How much of each service there is.
    pub tallies: OrdMap<ServiceId, Tally>,
    /// Tasks on a node that are not gone from it.
    pub by_node: OrdSet<(NodeId, TaskId)>,
    /// What nodes carry.
    pub loads: OrdMap<NodeId, Load>,
    /// How many tasks of a service a node carries.
    pub spread: OrdMap<(ServiceId, NodeId), u32>,
    /// Tasks that wait for a node, in the order they came.
    pub pending: OrdSet<TaskId>,
    /// Tasks that wait to leave DNS.
    pub stopping: OrdSet<TaskId>,
    /// Deadlines in order; the first is when to wake.
    pub deadlines: OrdSet<(Time, Due)>,
}

/// Which look-ups a task belongs to. Small, because every record about a task makes two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskKeys {
    service: ServiceId,
    slot: u64,
    pub(crate) kept: bool,
    /// Whether it is to run: such a task speaks for its slot.
    pub(crate) wanted: bool,
    node: Option<NodeId>,
    carried: Option<NodeId>,
    /// Whether it holds its addresses; once handed out they are always the same.
    holds: bool,
    pending: bool,
    stopping: bool,
    deadline: Option<Time>,
}

impl TaskKeys {
    pub(crate) fn of(task: &Task) -> Self {
        let ended = task.has_ended();
        let stopping = task.stopping_since.is_some() && !task.withdrawn && !ended;
        #[cfg(feature = "mutants")]
        let gone = task.gone
            || task.stopping_since.is_some()
                && crate::mutant::is(crate::mutant::Mutant::AddressEarly);
        #[cfg(not(feature = "mutants"))]
        let gone = task.gone;
        let waits = task.desired == TaskState::Ready && !ended;
        let starts = if waits { Some(starts_by(task)) } else { held_until(task) };
        Self {
            service: task.service,
            slot: task.slot,
            kept: task.desired < TaskState::Remove,
            wanted: task.desired <= TaskState::Running,
            node: task.node.filter(|_| !task.gone),
            carried: task.node.filter(|_| task.holds_resources()),
            holds: !gone && !task.legs.is_empty(),
            pending: task.node.is_none() && task.desired <= TaskState::Running,
            stopping,
            deadline: if stopping {
                task.stopping_since.map(|since| since.after(WITHDRAW_GRACE))
            } else {
                starts
            },
        }
    }

    /// The keys of the same task when it is in no look-up.
    fn nowhere(self) -> Self {
        Self {
            service: self.service,
            slot: self.slot,
            kept: false,
            wanted: false,
            node: None,
            carried: None,
            holds: false,
            pending: false,
            stopping: false,
            deadline: None,
        }
    }

    /// Whether what the task reserved is to be looked up to move it.
    pub(crate) fn carries_like(self, other: Self) -> bool {
        self.carried == other.carried
    }
}

impl Index {
    /// Moves a task from its old look-ups to its new ones; `reserved` is what it carries, if that moves.
    pub(crate) fn replace(
        &mut self,
        id: TaskId,
        legs: &[TaskLeg],
        reserved: Resources,
        before: TaskKeys,
        after: TaskKeys,
    ) {
        if before == after {
            return;
        }
        if before.node != after.node {
            before.node.map(|n| self.by_node.remove(&(n, id)));
            after.node.map(|n| self.by_node.insert((n, id)));
        }
        if before.kept != after.kept {
            self.tally(after.service, |t| if after.kept { t.kept += 1 } else { t.kept -= 1 });
        }
        if before.carried != after.carried {
            self.unload(before, reserved);
            self.load(after, reserved);
        }
        for leg in legs.iter().filter(|_| before.holds && !after.holds) {
            self.addresses.remove(&(leg.network, leg.ip));
            self.attach(leg.network, before.node, |n| n - 1);
        }
        for leg in legs.iter().filter(|_| after.holds && !before.holds) {
            let holder = self.addresses.insert((leg.network, leg.ip), id);
            assert!(holder.is_none(), "an address has one holder");
            self.attach(leg.network, after.node, |n| n + 1);
        }
        if before.pending != after.pending {
            if after.pending {
                self.pending.insert(id)
            } else {
                self.pending.remove(&id)
            };
        }
        if before.stopping != after.stopping {
            if after.stopping {
                self.stopping.insert(id)
            } else {
                self.stopping.remove(&id)
            };
        }
        if before.deadline != after.deadline {
            before.deadline.map(|at| self.deadlines.remove(&(at, Due::Task(id))));
            after.deadline.map(|at| self.deadlines.insert((at, Due::Task(id))));
        }
    }

    fn attach(&mut self, network: NetworkId, node: Option<NodeId>, change: fn(u32) -> u32) {
        let key = (network, node.expect("addresses are handed out together with a node"));
        let count = self.attached.entry(key).or_default();
        *count = change(*count);
        if *count == 0 {
            self.attached.remove(&key);
        }
    }

    /// Nodes whose tasks hold addresses of a network, and how many they hold.
    pub fn attached_to(&self, network: NetworkId) -> impl Iterator<Item = (NodeId, u32)> {
        let low = (network, NodeId::from_random([0; 16]));
        let all = self.attached.range(low..).take_while(move |((n, _), _)| *n == network);
        all.map(|((_, node), count)| (*node, *count))
    }

    /// Notes whether a slot is in use.
    pub(crate) fn use_slot(&mut self, service: ServiceId, slot: u64, used: bool) {
        let changed = if used {
            self.slots.insert((service, slot)).is_none()
        } else {
            self.slots.remove(&(service, slot)).is_some()
        };
        if changed {
            self.tally(service, |t| if used { t.slots += 1 } else { t.slots -= 1 });
        }
    }

    fn tally(&mut self, service: ServiceId, change: impl FnOnce(&mut Tally)) {
        let tally = self.tallies.entry(service).or_default();
        change(tally);
        if *tally == Tally::default() {
            self.tallies.remove(&service);
        }
    }

    /// Adds a new task to its look-ups.
    pub(crate) fn insert(&mut self, task: &Task, reserved: Resources) {
        let keys = TaskKeys::of(task);
        self.by_service.insert((keys.service, keys.slot, task.id));
        self.replace(task.id, &task.legs, reserved, keys.nowhere(), keys);
    }

    /// Takes a task out of all look-ups.
    pub(crate) fn remove(&mut self, task: &Task, reserved: Resources) {
        let keys = TaskKeys::of(task);
        self.by_service.remove(&(keys.service, keys.slot, task.id));
        self.replace(task.id, &task.legs, reserved, keys, keys.nowhere());
    }

    fn load(&mut self, keys: TaskKeys, reserved: Resources) {
        let Some(node) = keys.carried else { return };
        self.loads.entry(node).or_default().add(reserved);
        *self.spread.entry((keys.service, node)).or_default() += 1;
    }

    fn unload(&mut self, keys: TaskKeys, reserved: Resources) {
        let Some(node) = keys.carried else { return };
        let load = self.loads.entry(node).or_default();
        load.tasks -= 1;
        load.reserved = Resources {
            cpus: NanoCpus(load.reserved.cpus.0 - reserved.cpus.0),
            memory: Bytes(load.reserved.memory.0 - reserved.memory.0),
        };
        if load.tasks == 0 {
            self.loads.remove(&node);
        }
        let spread = self.spread.entry((keys.service, node)).or_default();
        *spread -= 1;
        if *spread == 0 {
            self.spread.remove(&(keys.service, node));
        }
    }
}
