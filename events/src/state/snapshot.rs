//! A whole State as bytes: nouns only; look-ups and leaf hashes are made again when it is read.
//! A cache, never a source of truth: it may be thrown away, and the fold of the log gives the same.

use std::mem::take;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::cluster::consumer::Consumer;
use crate::envelope::Detached;
use crate::id::{NodeId, RequestId, ServiceId};
use crate::network::Network;
use crate::node::Node;
use crate::record::{Hash, Malformed, Position};
use crate::service::{Service, Version};
use crate::task::Task;
use crate::time::Time;

use super::index::{Due, Index, anew};
use super::{Outcome, State, VersionKey};

/// First bytes of a snapshot: what it is and in which format.
const MAGIC: &[u8; 8] = b"SKSNAP\x00\x04";

/// A part of reading a snapshot.
pub type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

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
        Self::from_snapshot_by(bytes, |one, other| {
            one();
            other();
        })
    }

    /// The same by two hands: `both` does two works that know nothing of each other, in any order or at once.
    pub fn from_snapshot_by(
        bytes: &[u8],
        both: impl for<'a> FnOnce(Work<'a>, Work<'a>),
    ) -> Result<Self, Malformed> {
        let body = bytes.strip_prefix(MAGIC.as_slice()).ok_or(Malformed::Magic)?;
        let mut nouns: Nouns =
            postcard::from_bytes(body).map_err(|e| Malformed::Content(e.to_string()))?;
        let (tasks, versions) = (take(&mut nouns.tasks), take(&mut nouns.versions));
        // The versions of a snapshot are in order; of one that is not, some are not found.
        let reserved = |key: VersionKey| {
            let found = versions.binary_search_by_key(&key, |(key, _)| *key).ok()?;
            Some(versions[found].1.task.reservations)
        };
        let rows = anew::rows(tasks.iter(), reserved)?;
        let (mut state, mut of_services) = (Self::default(), Index::default());
        let (mut of_nodes, mut whole) = (Index::default(), Ok(()));
        both(
            Box::new(|| {
                state = Self::of(nouns);
                state.tasks = tasks.iter().map(|t| (t.id, Arc::clone(t))).collect();
                state.versions = versions.iter().map(|(k, v)| (*k, Arc::clone(v))).collect();
                of_services.add_to_services(&rows);
            }),
            Box::new(|| whole = of_nodes.add_to_nodes(&rows)),
        );
        whole?;
        state.index = of_services.joined(of_nodes);
        state.index_the_rest();
        state.rehash();
        Ok(state)
    }

    /// A state of all nouns but tasks and their versions, without look-ups.
    fn of(nouns: Nouns) -> Self {
        Self {
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
            restarts: nouns.restarts.into_iter().collect(),
            detached: nouns.detached.into_iter().collect(),
            unconfirmed: nouns.unconfirmed.into_iter().collect(),
            consumers: nouns.consumers.into_iter().map(|c| (c.name.clone(), c)).collect(),
            request_order: nouns.requests.iter().map(|(id, o)| (o.first, *id)).collect(),
            requests: nouns.requests.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Makes all look-ups again from the nouns; what `apply` keeps must equal it.
    ///
    /// # Panics
    /// If the nouns do not hang together, which `apply` keeps.
    pub fn reindex(&mut self) {
        let reserved =
            |key: VersionKey| self.versions.get(&key).map(|version| version.task.reservations);
        let rows = anew::rows(self.tasks.values(), reserved).expect("a version outlives its tasks");
        let mut index = Index::default();
        index.add_to_services(&rows);
        index.add_to_nodes(&rows).expect("an address has one holder, and that a node");
        self.index = index;
        self.index_the_rest();
    }

    /// Adds all nouns but tasks to their look-ups.
    fn index_the_rest(&mut self) {
        let index = &mut self.index;
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
                index.deadlines.insert((deadline, Due::Service(service.id)));
            }
        }
        let deadline = |node: &Node| Some((self.node_deadline(node)?, Due::Node(node.id)));
        let due: Vec<_> = self.nodes.values().filter_map(|node| deadline(node)).collect();
        self.index.deadlines.extend(due);
    }
}
