//! Everything the log says, folded: all nouns in persistent maps, so that a clone is a snapshot and costs nothing.
//! `apply` is total: it never refuses, because what is committed has happened. What it finds odd it asserts.

pub mod digest;
pub mod index;
pub mod snapshot;
pub mod touched;

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::cluster::consumer::Consumer;
use crate::cluster::{self, Cluster};
use crate::codec::{Apart, Batch, Entry};
use crate::envelope::{Detached, Envelope};
use crate::event::{ByNoun, Event};
use crate::id::{NetworkId, NodeId, ObjectId, RequestId, ServiceId, TaskId};
use crate::name::Name;
use crate::network::{self, Network};
use crate::node::{self, Node};
use crate::record::{Hash, Position};
use crate::service::{self, Service, Version};
use crate::task::spec::Resources;
use crate::task::{self, Task};
use crate::time::{Span, Time};

use digest::Digest;
use index::{Index, TaskKeys};
use touched::Touched;

/// Requests are remembered for so long, so that a repeated one is answered the same.
pub const REQUEST_MEMORY: Span = Span::seconds(24 * 3600);
/// … but never more than so many: about 10 MB.
pub const REQUESTS_MAX: usize = 100_000;

/// What a request led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// Its first record.
    pub first: Position,
    /// Its last record.
    pub last: Position,
    /// When.
    pub at: Time,
}

/// Which version of which service's spec.
pub type VersionKey = (ServiceId, u64);

/// The swarm as the log tells it at one position.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The last record applied.
    pub position: Position,
    /// Its cluster time.
    pub at: Time,
    /// Its epoch.
    pub epoch: u32,
    /// The cluster's level.
    pub level: u16,
    /// The swarm; `None` before its first record.
    pub cluster: Option<Arc<Cluster>>,
    /// All nodes.
    pub nodes: OrdMap<NodeId, Arc<Node>>,
    /// All networks.
    pub networks: OrdMap<NetworkId, Arc<Network>>,
    /// All services.
    pub services: OrdMap<ServiceId, Arc<Service>>,
    /// All tasks that are not forgotten.
    pub tasks: OrdMap<TaskId, Arc<Task>>,
    /// What tasks run, kept as long as a task or its service needs it.
    pub versions: OrdMap<VersionKey, Arc<Version>>,
    /// When the tasks of a slot were restarted, newest last; only where the policy counts attempts.
    pub restarts: OrdMap<(ServiceId, u64), Arc<Vec<Time>>>,
    /// Detached values that are still needed, beside their commitments. Not covered by digests.
    pub detached: OrdMap<Hash, Arc<Detached>>,
    /// Managers that have yet to confirm an erasure, and the record that ordered it. Not covered by digests.
    pub unconfirmed: OrdMap<(NodeId, Position), Position>,
    /// Named readers of the log.
    pub consumers: OrdMap<Name, Arc<Consumer>>,
    /// Answers given to requests.
    pub requests: OrdMap<RequestId, Outcome>,
    request_order: OrdSet<(Position, RequestId)>,
    /// The last checkpoint record.
    pub checkpoint: Position,
    /// The first record after it.
    pub unchecked_since: Option<Time>,
    /// A checkpoint that did not match this state.
    pub diverged: Option<Position>,
    /// Derived look-ups.
    pub index: Index,
    digest: Digest,
}

/// One record on its way into State.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its position.
    pub position: Position,
    /// What it shares with its batch.
    pub envelope: &'a Envelope,
    /// The event.
    pub event: &'a Event,
    /// Its detachable part.
    pub apart: &'a Apart,
}

impl Batch {
    /// The batch's records, the first at `first`.
    pub fn records(&self, first: Position) -> impl Iterator<Item = Record<'_>> {
        let positions = (first.0..).map(Position);
        self.entries.iter().zip(positions).map(|(Entry { event, apart }, position)| Record {
            position,
            envelope: &self.envelope,
            event,
            apart,
        })
    }
}

impl State {
    /// Applies all records of a batch, then remembers its request.
    pub fn apply_batch(&mut self, first: Position, batch: &Batch, touched: &mut Touched) {
        for record in batch.records(first) {
            self.apply(record, touched);
        }
        if let Some(request) = batch.envelope.request {
            self.remember(request, Outcome { first, last: self.position, at: self.at });
        }
    }

    /// Applies one record.
    ///
    /// # Panics
    /// If the record is not the next one: the caller lost its place, and going on would corrupt every projection.
    pub fn apply(&mut self, record: Record<'_>, touched: &mut Touched) {
        assert_eq!(
            record.position,
            self.position.next(),
            "records are applied in order, without gaps"
        );
        if let Event::Checkpointed(checkpoint) = record.event {
            self.compare(checkpoint.upto, checkpoint.format, checkpoint.digest, record.position);
        }
        self.position = record.position;
        self.at = self.at.max(record.envelope.at);
        #[cfg(feature = "mutants")]
        crate::mutant::clock_in_apply(&mut self.at);
        self.epoch = record.envelope.epoch;
        if self.unchecked_since.is_none() {
            self.unchecked_since = Some(self.at);
        }
        match record.event.subject() {
            Some(object) => self.digest.dirty(object),
            None => self.digest.dirty_cluster(),
        }
        match record.event.by_noun() {
            ByNoun::Cluster(event) => cluster::fold::apply(self, record, event, touched),
            ByNoun::Node(event) => node::fold::apply(self, record, event, touched),
            ByNoun::Network(event) => network::fold::apply(self, record, event, touched),
            ByNoun::Service(event) => service::fold::apply(self, record, event, touched),
            ByNoun::Task(event) => task::fold::apply(self, record, event, touched),
        }
    }

    fn remember(&mut self, request: RequestId, outcome: Outcome) {
        if let Some(earlier) = self.requests.insert(request, outcome) {
            self.request_order.remove(&(earlier.first, request));
        }
        self.request_order.insert((outcome.first, request));
        while let Some(&(first, oldest)) = self.request_order.get_min() {
            let expired =
                self.requests.get(&oldest).is_none_or(|o| self.at.since(o.at) > REQUEST_MEMORY);
            if !expired && self.requests.len() <= REQUESTS_MAX {
                break;
            }
            self.requests.remove(&oldest);
            self.request_order.remove(&(first, oldest));
        }
    }

    /// What a task runs.
    ///
    /// # Panics
    /// If the task is not of this state: a version outlives its tasks.
    pub fn version_of(&self, task: &Task) -> &Arc<Version> {
        self.versions.get(&task.version_key()).expect("a version outlives its tasks")
    }

    /// The environment of a version; `None` if its values were redacted.
    pub fn environment(&self, version: &Version) -> Option<&[String]> {
        match version.detached {
            None => Some(&[]),
            Some(commitment) => self.detached.get(&commitment).map(|d| d.env.as_slice()),
        }
    }

    /// A task's name as Swarm writes it: `web.1`, or `web.<node id>` if it belongs to a node.
    pub fn task_name(&self, task: &Task) -> String {
        format!("{}.{}", self.version_of(task).name, self.place_of(task))
    }

    /// What tells a task from its service's others, in its name: its slot, or its node where it has one of its own.
    pub fn place_of(&self, task: &Task) -> String {
        let global = self.version_of(task).global;
        match self.node_numbered(task.slot).filter(|_| global) {
            Some(node) => node.id.to_string(),
            None => task.slot.to_string(),
        }
    }

    /// The node with this number.
    pub fn node_numbered(&self, number: u64) -> Option<&Arc<Node>> {
        self.nodes.values().find(|node| node.number == number)
    }

    /// Tasks of a service, by slot, then by id.
    pub fn tasks_of(&self, service: ServiceId) -> impl Iterator<Item = &Arc<Task>> {
        let low = (service, 0, TaskId::from_random([0; 16]));
        self.index
            .by_service
            .range(low..)
            .take_while(move |(s, _, _)| *s == service)
            .map(|(_, _, id)| self.tasks.get(id).expect("indexed tasks exist"))
    }

    /// Tasks of one slot.
    pub fn tasks_of_slot(&self, service: ServiceId, slot: u64) -> impl Iterator<Item = &Arc<Task>> {
        let low = (service, slot, TaskId::from_random([0; 16]));
        self.index
            .by_service
            .range(low..)
            .take_while(move |(s, n, _)| *s == service && *n == slot)
            .map(|(_, _, id)| self.tasks.get(id).expect("indexed tasks exist"))
    }

    /// The task that speaks for a slot: the newest of those that are to run, else the newest. Only while an update lets
    /// the new task run before the old one ends are there two that are to run.
    pub fn head_of_slot(&self, service: ServiceId, slot: u64) -> Option<&Arc<Task>> {
        self.tasks_of_slot(service, slot).max_by_key(|t| t.rank())
    }

    /// The heads of all slots of a service, by slot.
    pub fn heads_of(&self, service: ServiceId) -> Vec<&Arc<Task>> {
        let mut heads: Vec<&Arc<Task>> = Vec::new();
        for task in self.tasks_of(service) {
            // Tasks come by slot, so those of one slot stand together.
            match heads.last_mut().filter(|head| head.slot == task.slot) {
                Some(head) if task.rank() > head.rank() => *head = task,
                Some(_) => {}
                None => heads.push(task),
            }
        }
        heads
    }

    /// The task that was last put into a slot.
    pub fn newest_of_slot(&self, service: ServiceId, slot: u64) -> Option<&Arc<Task>> {
        self.tasks_of_slot(service, slot).max_by_key(|t| t.born)
    }

    /// The first numbers of a service that no task of it takes.
    pub fn free_slots(&self, service: ServiceId) -> impl Iterator<Item = u64> {
        let all = (service, 1)..=(service, u64::MAX);
        let count = self.index.tallies.get(&service).map_or(0, |t| t.slots);
        let highest = self.index.slots.range(all).next_back().map_or(0, |(_, slot)| *slot);
        // Without a gap nothing below the highest is free, and nobody has to look.
        let low = if highest == count { highest + 1 } else { 1 };
        let used = self.index.slots.range((service, low)..).take_while(move |(s, _)| *s == service);
        let mut used = used.map(|(_, slot)| *slot).peekable();
        (low..).filter(move |slot| used.next_if_eq(slot).is_none())
    }

    /// Tasks on a node that are not gone from it.
    pub fn tasks_on(&self, node: NodeId) -> impl Iterator<Item = &Arc<Task>> {
        let low = (node, TaskId::from_random([0; 16]));
        self.index
            .by_node
            .range(low..)
            .take_while(move |(n, _)| *n == node)
            .map(|(_, id)| self.tasks.get(id).expect("indexed tasks exist"))
    }

    /// Whether a task's name leads to it.
    pub fn is_named(&self, task: &Task) -> bool {
        task.status.state == task::TaskState::Running
            && task.desired == task::TaskState::Running
            && !task.status.is_unwell()
            && !task.gone
            && task
                .node
                .and_then(|id| self.nodes.get(&id))
                .is_some_and(|node| node.state != node::NodeState::Down)
    }

    /// Changes a task and every look-up that depends on it; gives its service. Most of what is replayed comes by here, and
    /// finding one of many tasks is what costs: it is found once.
    pub(crate) fn update_task(&mut self, id: TaskId, change: impl FnOnce(&mut Task)) -> ServiceId {
        let slot = self.tasks.get_mut(&id).expect("events name tasks that exist");
        let before = TaskKeys::of(slot);
        let task = Arc::make_mut(slot);
        change(task);
        let after = TaskKeys::of(task);
        let (version, slot) = ((task.service, task.version), (task.service, task.slot));
        if before != after {
            let reserved = if before.carries_like(after) {
                Resources::default()
            } else {
                let version = self.versions.get(&version).expect("a version outlives its tasks");
                version.task.reservations
            };
            self.index.replace(id, &task.legs, reserved, before, after);
        }
        if (before.kept, before.wanted) != (after.kept, after.wanted) {
            self.recount_slot(slot);
        }
        slot.0
    }

    /// Finds out whether a slot is in use.
    pub(crate) fn recount_slot(&mut self, (service, slot): (ServiceId, u64)) {
        let head = self.head_of_slot(service, slot);
        let used = head.is_some_and(|t| t.desired < task::TaskState::Remove);
        self.index.use_slot(service, slot, used);
    }

    /// An object changed that is not its record's subject: its leaf is made again too.
    pub(crate) fn mark_dirty(&mut self, object: ObjectId) {
        self.digest.dirty(object);
    }

    /// The last record about an object, if it is there.
    pub fn changed_at(&self, object: ObjectId) -> Option<Position> {
        match object {
            ObjectId::Cluster(_) => self.cluster.as_ref().map(|c| c.last),
            ObjectId::Node(id) => self.nodes.get(&id).map(|n| n.last),
            ObjectId::Network(id) => self.networks.get(&id).map(|n| n.last),
            ObjectId::Service(id) => self.services.get(&id).map(|s| s.changed),
            ObjectId::Task(id) => self.tasks.get(&id).map(|t| t.last),
        }
    }

    /// The object's current name for people, if it has one.
    pub fn name_of(&self, object: ObjectId) -> Option<String> {
        match object {
            ObjectId::Cluster(_) => Some("swarm".to_owned()),
            ObjectId::Node(id) => self.nodes.get(&id).map(|n| n.description.hostname.clone()),
            ObjectId::Network(id) => self.networks.get(&id).map(|n| n.spec.name.to_string()),
            ObjectId::Service(id) => self.services.get(&id).map(|s| s.spec.name.to_string()),
            ObjectId::Task(id) => self.tasks.get(&id).map(|t| self.task_name(t)),
        }
    }
}
