//! A fingerprint of State that costs what changed: a sum over one hash per object.
//! Managers compare it at checkpoints; detached values and look-ups are not covered, commitments are.

use imbl::OrdMap;

use crate::id::ObjectId;
use crate::record::{Hash, Position};

use super::State;

/// How digests are made today: blake3 over postcard per object, added lane by lane.
/// Format 2 has nodes with labels.
pub const DIGEST_FORMAT: u16 = 2;

type Lanes = [u64; 4];

/// Bytes to begin with for a leaf: a task has some 200.
const LEAF: usize = 1 << 10;

/// Leaf hashes as of the last checkpoint, and what changed since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digest {
    leaves: OrdMap<ObjectId, Lanes>,
    sum: Lanes,
    /// In the order of the records, an object as often as it changed: made a set when it is looked at, once in many records.
    dirty: Vec<ObjectId>,
    dirty_cluster: bool,
    /// Nothing is noted: whoever asks for a digest has every leaf made.
    deferred: bool,
}

impl Digest {
    pub(crate) fn dirty(&mut self, object: ObjectId) {
        if !self.deferred && self.dirty.last() != Some(&object) {
            self.dirty.push(object);
        }
    }
    pub(crate) fn dirty_cluster(&mut self) {
        self.dirty_cluster = true;
    }
}

fn lanes(hash: blake3::Hash) -> Lanes {
    let mut out = [0; 4];
    for (lane, bytes) in out.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
        *lane = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
    }
    out
}

/// Writes a leaf into memory that all leaves share, and that grows to the largest: they are many and small.
fn leaf(object: ObjectId, value: &impl serde::Serialize, memory: &mut Vec<u8>) -> Lanes {
    loop {
        match postcard::to_slice(&(object, value), memory) {
            Ok(written) => return lanes(blake3::hash(written)),
            Err(postcard::Error::SerializeBufferFull) => memory.resize(2 * memory.len(), 0),
            Err(error) => panic!("a noun is written: {error}"),
        }
    }
}

impl State {
    fn leaf_of(&self, object: ObjectId, memory: &mut Vec<u8>) -> Option<Lanes> {
        match object {
            ObjectId::Cluster(_) => {
                let consumers: Vec<_> = self.consumers.values().map(|c| &**c).collect();
                let cluster = self.cluster.as_ref();
                cluster.map(|c| match consumers.is_empty() {
                    // As before there were consumers, so that older checkpoints hold.
                    true => leaf(object, &**c, memory),
                    false => leaf(object, &(&**c, consumers), memory),
                })
            }
            ObjectId::Node(id) => self.nodes.get(&id).map(|n| leaf(object, &**n, memory)),
            ObjectId::Network(id) => self.networks.get(&id).map(|n| leaf(object, &**n, memory)),
            ObjectId::Service(id) => {
                let all = (id, 0)..=(id, u64::MAX);
                let service = self.services.get(&id).map(|s| &**s);
                // How many tasks carry a version out is told by the tasks' own leaves.
                let versions: Vec<_> = self
                    .versions
                    .range(all.clone())
                    .map(|((_, n), v)| (n, &v.name, v.global, &v.task, v.detached))
                    .collect();
                let restarts: Vec<_> =
                    self.restarts.range(all).map(|((_, slot), times)| (slot, &**times)).collect();
                let any = service.is_some() || !versions.is_empty();
                any.then(|| leaf(object, &(service, versions, restarts), memory))
            }
            ObjectId::Task(id) => self.tasks.get(&id).map(|t| leaf(object, &**t, memory)),
        }
    }

    /// From now on checkpoints are not compared, and leaves are made only when a digest is asked for: a state of the past
    /// is looked at once, and `verify` compares them all.
    pub fn defer_digests(&mut self) {
        self.digest = Digest { deferred: true, ..Digest::default() };
    }

    /// Brings the leaves up to date and gives the fingerprint of this state.
    pub fn digest(&mut self) -> Hash {
        if self.digest.deferred {
            self.rehash();
        }
        let mut dirty = std::mem::take(&mut self.digest.dirty);
        if std::mem::take(&mut self.digest.dirty_cluster)
            && let Some(cluster) = &self.cluster
        {
            dirty.push(ObjectId::Cluster(cluster.id));
        }
        dirty.sort_unstable();
        dirty.dedup();
        let mut memory = vec![0; LEAF];
        for object in dirty {
            let new = self.leaf_of(object, &mut memory);
            let old = match new {
                Some(lanes) => self.digest.leaves.insert(object, lanes),
                None => self.digest.leaves.remove(&object),
            };
            for n in 0..4 {
                let sum = self.digest.sum[n].wrapping_sub(old.unwrap_or_default()[n]);
                self.digest.sum[n] = sum.wrapping_add(new.unwrap_or_default()[n]);
            }
        }
        let mut hasher = blake3::Hasher::new_derive_key("skein state digest v1");
        hasher.update(&self.position.0.to_le_bytes());
        hasher.update(&self.at.0.to_le_bytes());
        hasher.update(&self.level.to_le_bytes());
        hasher.update(&(self.digest.leaves.len() as u64).to_le_bytes());
        for lane in self.digest.sum {
            hasher.update(&lane.to_le_bytes());
        }
        Hash(*hasher.finalize().as_bytes())
    }

    /// Compares a checkpoint with this state; an unknown format is not judged.
    pub(super) fn compare(&mut self, upto: Position, format: u16, digest: Hash, at: Position) {
        let judged = format == DIGEST_FORMAT && upto == self.position && !self.digest.deferred;
        if judged && self.digest() != digest {
            self.diverged.get_or_insert(at);
        }
    }

    /// Makes every leaf again, as after loading a snapshot.
    pub(super) fn rehash(&mut self) {
        let objects = (self.cluster.iter().map(|c| ObjectId::Cluster(c.id)))
            .chain(self.nodes.keys().copied().map(ObjectId::Node))
            .chain(self.networks.keys().copied().map(ObjectId::Network))
            .chain(self.services.keys().copied().map(ObjectId::Service))
            .chain(self.versions.keys().map(|(id, _)| ObjectId::Service(*id)))
            .chain(self.tasks.keys().copied().map(ObjectId::Task));
        self.digest = Digest { dirty: objects.collect(), ..Digest::default() };
    }
}
