//! The look-ups of tasks made anew, from all of them at once: each look-up in its own order, which takes a third of the
//! time that adding task after task does. In two halves that know nothing of each other, so that two hands can make them.

use std::sync::Arc;

use imbl::OrdMap;

use crate::id::TaskId;
use crate::record::{Malformed, Position};
use crate::state::VersionKey;
use crate::task::spec::Resources;
use crate::task::{Task, TaskLeg};

use super::{Due, Index, Tally, TaskKeys};

/// A task as its look-ups see it: what most of them need, so that the tasks, which lie anywhere, are looked at once.
pub(in crate::state) struct Row<'a> {
    id: TaskId,
    keys: TaskKeys,
    born: Position,
    version: u64,
    reserved: Resources,
    legs: &'a [TaskLeg],
}

/// The tasks in the order of the look-ups that hold most: by service, slot and id. `reserved` knows what a version's tasks
/// reserve; a task without its version is refused.
pub(in crate::state) fn rows<'a>(
    tasks: impl Iterator<Item = &'a Arc<Task>>,
    reserved: impl Fn(VersionKey) -> Option<Resources>,
) -> Result<Vec<Row<'a>>, Malformed> {
    let row = |task: &'a Arc<Task>| Row {
        id: task.id,
        keys: TaskKeys::of(task),
        born: task.born,
        version: task.version,
        reserved: Resources::default(),
        legs: &task.legs,
    };
    let mut rows: Vec<Row<'a>> = tasks.map(row).collect();
    rows.sort_unstable_by_key(|row| (row.keys.service, row.keys.slot, row.id));
    let version = |row: &Row<'_>| (row.keys.service, row.version);
    for run in rows.chunk_by_mut(|a, b| version(a) == version(b)) {
        let found = reserved(version(&run[0]))
            .ok_or_else(|| torn(run[0].id, "runs a version that is not there"))?;
        run.iter_mut().for_each(|row| row.reserved = found);
    }
    Ok(rows)
}

fn torn(task: TaskId, what: &str) -> Malformed {
    Malformed::Content(format!("task {task} {what}"))
}

impl Index {
    /// One half: what belongs to services and slots, and whose time comes.
    pub(in crate::state) fn add_to_services(&mut self, rows: &[Row<'_>]) {
        self.by_service = rows.iter().map(|r| (r.keys.service, r.keys.slot, r.id)).collect();
        let of_service = |a: &Row<'_>, b: &Row<'_>| a.keys.service == b.keys.service;
        for service in rows.chunk_by(of_service) {
            let kept = service.iter().filter(|row| row.keys.kept).count() as u64;
            let mut tally = Tally { slots: 0, kept };
            for slot in service.chunk_by(|a, b| a.keys.slot == b.keys.slot) {
                // Which of its tasks speaks for a slot: `Task::rank`.
                let head = slot.iter().max_by_key(|row| (row.keys.wanted, row.born));
                if head.is_some_and(|head| head.keys.kept) {
                    self.slots.insert((service[0].keys.service, slot[0].keys.slot));
                    tally.slots += 1;
                }
            }
            if tally != Tally::default() {
                self.tallies.insert(service[0].keys.service, tally);
            }
        }
        let ids = |wanted: fn(&TaskKeys) -> bool| {
            sorted(rows.iter().filter(move |row| wanted(&row.keys)).map(|row| row.id))
        };
        self.pending = ids(|keys| keys.pending).into_iter().collect();
        self.stopping = ids(|keys| keys.stopping).into_iter().collect();
        let due = rows.iter().filter_map(|r| Some((r.keys.deadline?, Due::Task(r.id))));
        self.deadlines.extend(sorted(due));
    }

    /// The other half: what tasks take on nodes and in networks. An address has one holder, and a holder has a node.
    pub(in crate::state) fn add_to_nodes(&mut self, rows: &[Row<'_>]) -> Result<(), Malformed> {
        let mut addresses = Vec::with_capacity(rows.len());
        let mut attached = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| row.keys.holds) {
            let node = row.keys.node.ok_or_else(|| torn(row.id, "has addresses and no node"))?;
            for leg in row.legs {
                addresses.push(((leg.network, leg.ip), row.id));
                attached.push((leg.network, node));
            }
        }
        addresses.sort_unstable_by_key(|(address, _)| *address);
        if let Some(pair) = addresses.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(torn(pair[1].1, "has an address of another task"));
        }
        self.addresses = addresses.into_iter().collect();
        self.attached = counted(attached);
        let placed = rows.iter().filter_map(|row| Some((row.keys.node?, row.id)));
        self.by_node = sorted(placed).into_iter().collect();
        let carried = rows.iter().filter_map(|row| Some((row.keys.service, row.keys.carried?)));
        self.spread = counted(carried.collect());
        for row in rows {
            if let Some(node) = row.keys.carried {
                self.loads.entry(node).or_default().add(row.reserved);
            }
        }
        Ok(())
    }

    /// Both halves as one; `nodes` is what `add_to_nodes` was called on.
    pub(in crate::state) fn joined(self, nodes: Self) -> Self {
        let Self { addresses, attached, by_node, loads, spread, .. } = nodes;
        Self { addresses, attached, by_node, loads, spread, ..self }
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}

/// How often each is there.
fn counted<K: Ord + Copy>(mut items: Vec<K>) -> OrdMap<K, u32> {
    items.sort_unstable();
    let count = |run: &[K]| (run[0], u32::try_from(run.len()).unwrap_or(u32::MAX));
    items.chunk_by(|a, b| a == b).map(count).collect()
}
