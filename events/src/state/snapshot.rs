//! A whole State as bytes: nouns only; look-ups and leaf hashes are made again when it is read.
//! A cache, never a source of truth: it may be thrown away, and the fold of the log gives the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::cluster::consumer::Consumer;
use crate::envelope::Detached;
use crate::id::{NodeId, RequestId, ServiceId};
use crate::network::Network;
use crate::node::Node;
use crate::record::{Hash, Malformed, Position};
use crate::service::{Service, Version};
use crate::task::{Task, TaskState};
use crate::time::Time;

use super::{Outcome, State, VersionKey};

/// First bytes of a snapshot: what it is and in which format.
const MAGIC: &[u8; 8] = b"SKSNAP\x00\x04";

type Restarts = ((ServiceId, u64), Arc<Vec<Time>>);

#[derive(serde::Serialize, serde::Deserialize)]
struct Nouns {
    position: Position,
    at: Time,
    epoch: u32,
    level: u16,
    checkpoint: Position,
    unchecked_since: Option<Time>,
    diverged: Option<Position>,
    cluster: Option<Arc<Cluster>>,
    nodes: Vec<Arc<Node>>,
    networks: Vec<Arc<Network>>,
    services: Vec<Arc<Service>>,
    tasks: Vec<Arc<Task>>,
    versions: Vec<(VersionKey, Arc<Version>)>,
    restarts: Vec<Restarts>,
    detached: Vec<(Hash, Arc<Detached>)>,
    unconfirmed: Vec<((NodeId, Position), Position)>,
    consumers: Vec<Arc<Consumer>>,
    requests: Vec<(RequestId, Outcome)>,
}

impl State {
    /// This state as bytes.
    pub fn to_snapshot(&self) -> Vec<u8> {
        let nouns = Nouns {
            position: self.position,
            at: self.at,
            epoch: self.epoch,
            level: self.level,
            checkpoint: self.checkpoint,
            unchecked_since: self.unchecked_since,
            diverged: self.diverged,
            cluster: self.cluster.clone(),
            nodes: self.nodes.values().cloned().collect(),
            networks: self.networks.values().cloned().collect(),
            services: self.services.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            versions: self.versions.iter().map(|(k, v)| (*k, Arc::clone(v))).collect(),
            restarts: self.restarts.iter().map(|(k, v)| (*k, Arc::clone(v))).collect(),
            detached: self.detached.iter().map(|(k, v)| (*k, Arc::clone(v))).collect(),
            unconfirmed: self.unconfirmed.iter().map(|(k, v)| (*k, *v)).collect(),
            consumers: self.consumers.values().cloned().collect(),
            requests: self.requests.iter().map(|(k, v)| (*k, *v)).collect(),
        };
        let out = MAGIC.to_vec();
        postcard::to_extend(&nouns, out).expect("writing to memory does not fail")
    }

    /// The state in a snapshot, whose hash is checked by the caller: bytes that are no state are refused, a wrong state
    /// that hangs together is not noticed.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, Malformed> {
        let body = bytes.strip_prefix(MAGIC.as_slice()).ok_or(Malformed::Magic)?;
        let nouns: Nouns =
            postcard::from_bytes(body).map_err(|e| Malformed::Content(e.to_string()))?;
        let mut state = Self {
            position: nouns.position,
            at: nouns.at,
            epoch: nouns.epoch,
            level: nouns.level,
            checkpoint: nouns.checkpoint,
            unchecked_since: nouns.unchecked_since,
            diverged: nouns.diverged,
            cluster: nouns.cluster,
            nodes: nouns.nodes.into_iter().map(|n| (n.id, n)).collect(),
            networks: nouns.networks.into_iter().map(|n| (n.id, n)).collect(),
            services: nouns.services.into_iter().map(|s| (s.id, s)).collect(),
            tasks: nouns.tasks.into_iter().map(|t| (t.id, t)).collect(),
            versions: nouns.versions.into_iter().collect(),
            restarts: nouns.restarts.into_iter().collect(),
            detached: nouns.detached.into_iter().collect(),
            unconfirmed: nouns.unconfirmed.into_iter().collect(),
            consumers: nouns.consumers.into_iter().map(|c| (c.name.clone(), c)).collect(),
            request_order: nouns.requests.iter().map(|(id, o)| (o.first, *id)).collect(),
            requests: nouns.requests.into_iter().collect(),
            ..Self::default()
        };
        state.hangs_together()?;
        state.reindex();
        state.rehash();
        Ok(state)
    }

    /// Whether the look-ups can be made of what was read: every task has its version, and every address one holder.
    fn hangs_together(&self) -> Result<(), Malformed> {
        let torn = |id, what: &str| Err(Malformed::Content(format!("task {id} {what}")));
        let mut addresses = BTreeSet::new();
        for task in self.tasks.values() {
            if !self.versions.contains_key(&(task.service, task.version)) {
                return torn(task.id, "runs a version that is not there");
            }
            if task.gone {
                continue;
            }
            if task.node.is_none() && !task.legs.is_empty() {
                return torn(task.id, "has addresses and no node");
            }
            if !task.legs.iter().all(|leg| addresses.insert((leg.network, leg.ip))) {
                return torn(task.id, "has an address of another task");
            }
        }
        Ok(())
    }

    /// Makes all look-ups again from the nouns; what `apply` keeps must equal it.
    pub fn reindex(&mut self) {
        let mut index = super::Index::default();
        for network in self.networks.values() {
            index.network_names.insert(network.spec.name.folded(), network.id);
            index.vnis.insert(network.vni);
        }
        for service in self.services.values() {
            index.service_names.insert(service.spec.name.folded(), service.id);
            for attachment in &service.spec.task.networks {
                index.network_services.insert((attachment.network, service.id));
            }
            if let Some(deadline) = Self::update_deadline(service) {
                index.deadlines.insert((deadline, super::index::Due::Service(service.id)));
            }
        }
        for node in self.nodes.values() {
            if let Some(deadline) = self.node_deadline(node) {
                index.deadlines.insert((deadline, super::index::Due::Node(node.id)));
            }
        }
        // In the order of the look-ups that hold most, so that neighbours here are neighbours there.
        let mut tasks: Vec<&Arc<Task>> = self.tasks.values().collect();
        tasks.sort_unstable_by_key(|t| (t.service, t.slot, t.id));
        for version in tasks.chunk_by(|a, b| (a.service, a.version) == (b.service, b.version)) {
            let reservations = self.version_of(version[0]).task.reservations;
            for task in version {
                index.insert(task, reservations);
            }
        }
        for slot in tasks.chunk_by(|a, b| (a.service, a.slot) == (b.service, b.slot)) {
            let head = slot.iter().max_by_key(|t| t.rank()).expect("a slot of a task has a task");
            index.use_slot(head.service, head.slot, head.desired < TaskState::Remove);
        }
        self.index = index;
    }
}
