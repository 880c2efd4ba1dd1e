//! Follows the log record by record, as a reader would: writes the trace, folds from genesis beside the running state, and
//! judges every record and every state in between. Lives longer than any incarnation of the manager.

use std::collections::{BTreeMap, BTreeSet};

use skein_actors::history;
use skein_actors::swarm::Face;
use skein_events::event::{Event, KINDS};
use skein_events::id::TaskId;
use skein_events::record::{Hash, Position};
use skein_events::state::touched::Touched;
use skein_events::state::{Record, State};
use skein_events::time::Span;

use super::check::Check;
use super::judge;
use super::rules::{Rules, Step};
use super::time::TrueTime;
use super::trace;
use super::world::World;

/// The fold of snapshot and tail begins anew after so many records.
const SNAPSHOT_EVERY: u64 = 97;
/// Records of one task, obstacles aside: its life has fewer stations than that.
const RECORDS_OF_TASK: u32 = 16;
/// Obstacles of one task that say something different from the one before.
const OBSTACLES_OF_TASK: u32 = 200;
/// What cluster time may be ahead of true time that passed, besides its slew.
const SLACK: Span = Span::seconds(3);

/// What a reader knows.
#[derive(Debug)]
pub(super) struct Watch {
    time: TrueTime,
    /// The fold of everything.
    pub(super) state: State,
    /// A fold that began at a snapshot of it.
    tail: State,
    next_snapshot: u64,
    h: Hash,
    pub(super) gone: BTreeSet<TaskId>,
    removed: BTreeSet<TaskId>,
    counts: BTreeMap<TaskId, (u32, u32)>,
    rules: Rules,
    /// Term, cluster time and true time of the first batch of the present term.
    since: (u64, skein_events::time::Time, Span),
    pub(super) records: u64,
    /// How often each kind happened.
    pub(super) kinds: BTreeMap<&'static str, u64>,
}

impl Watch {
    pub(super) fn new(time: TrueTime) -> Self {
        Self {
            time,
            state: State::default(),
            tail: State::default(),
            next_snapshot: SNAPSHOT_EVERY,
            h: Hash::default(),
            gone: BTreeSet::new(),
            removed: BTreeSet::new(),
            counts: BTreeMap::new(),
            rules: Rules::default(),
            since: (0, skein_events::time::Time(0), Span(0)),
            records: 0,
            kinds: BTreeMap::new(),
        }
    }
}

/// Reads what is new and judges it.
pub(super) fn catch_up(world: &World, face: &Face) {
    if let Err((check, text)) = read_on(world, face) {
        world.violate(check, text);
    }
}

fn read_on(world: &World, face: &Face) -> Result<(), (Check, String)> {
    let mut watch = world.watch.borrow_mut();
    let watch = &mut *watch;
    let kept = |text: String| (Check::HistoryKept, text);
    let head = face.log.head();
    if head.position < watch.state.position {
        return Ok(()); // a manager that has just started has not handed all of it out again
    }
    let known = watch.state.position;
    if known > Position(0) {
        let h = face.log.hash_at(known).map_err(|e| kept(e.to_string()))?;
        if h != Some(watch.h) {
            return Err(kept(format!("{known} was {} and is {h:?}", watch.h.h8())));
        }
    }
    for stored in face.log.batches(known.next()) {
        let stored = stored.map_err(|e| kept(e.to_string()))?;
        if stored.first != watch.state.position.next() {
            return Err(kept(format!("{} follows {}", stored.first, watch.state.position)));
        }
        let logged = history::decode(&stored).map_err(|e| kept(e.to_string()))?;
        let (first, batch) = (logged.first, &logged.batch);
        watch.h = stored.h;
        for record in batch.records(first) {
            world.trace.line(
                "log",
                "record",
                format_args!("{}", trace::record(record.position, record.event)),
            );
            watch.before(record, stored.place.term)?;
        }
        let mut ignored = Touched::Ignored;
        let earlier = watch.state.clone();
        watch.state.apply_batch(first, batch, &mut ignored);
        watch.tail.apply_batch(first, batch, &mut ignored);
        watch.records += batch.entries.len() as u64;
        for record in batch.records(first) {
            watch.after(record)?;
        }
        watch.rules.judge(Step { before: &earlier, after: &watch.state, first, batch })?;
        judge::growth(&earlier, &watch.state)?;
        judge::state(&watch.state)?;
    }
    watch.compare(face)
}

impl Watch {
    /// What may be said of a record on the state before its batch.
    fn before(&mut self, record: Record<'_>, term: u64) -> Result<(), (Check, String)> {
        let envelope = record.envelope;
        let at = record.position;
        if envelope.at < self.state.at {
            return Err((
                Check::TimeForward,
                format!("{at}: {:?} after {:?}", envelope.at, self.state.at),
            ));
        }
        let now = self.time.elapsed();
        if self.since.0 != term {
            // Cluster time follows the wall clock over a restart.
            self.since = (term, envelope.at, now);
        }
        let (_, begun, then) = self.since;
        let passed = now.0 - then.0;
        if envelope.at.since(begun).0 > passed + passed / 8 + SLACK.0 {
            let text =
                format!("{at}: {} of cluster time in {}", envelope.at.since(begun), Span(passed));
            return Err((Check::TimeSteady, text));
        }
        let kind = record.event.kind();
        *self.kinds.entry(kind.name).or_default() += 1;
        if !KINDS.contains(&kind) || envelope.level > 1 || envelope.epoch != 1 {
            return Err((Check::Level, format!("{at}: {kind} at level {}", envelope.level)));
        }
        Ok(())
    }

    fn after(&mut self, record: Record<'_>) -> Result<(), (Check, String)> {
        let at = record.position;
        let task = match record.event {
            Event::TaskCreated(e) => {
                if self.removed.contains(&e.id) || self.counts.contains_key(&e.id) {
                    return Err((Check::TaskGrows, format!("{at}: {} was there before", e.id)));
                }
                e.id
            }
            Event::TaskAssigned(e) => e.id,
            Event::TaskObstructed(e) => {
                let count = self.counts.entry(e.id).or_default();
                count.1 += 1;
                let bound = count.1 <= OBSTACLES_OF_TASK;
                return bound
                    .then_some(())
                    .ok_or_else(|| (Check::Bounded, format!("{at}: {}", e.id)));
            }
            Event::TaskStatusChanged(e) => e.id,
            Event::TaskDesiredChanged(e) => e.id,
            Event::TaskWithdrawn(e) => e.id,
            Event::TaskGone(e) => {
                self.gone.insert(e.id);
                e.id
            }
            Event::TaskRemoved(e) => {
                self.removed.insert(e.id);
                e.id
            }
            _ => return Ok(()),
        };
        let count = self.counts.entry(task).or_default();
        count.0 += 1;
        let bound = count.0 <= RECORDS_OF_TASK;
        bound.then_some(()).ok_or_else(|| (Check::Bounded, format!("{at}: {task} has {}", count.0)))
    }

    /// The running state, the fold from genesis, and a fold from a snapshot: all the same.
    fn compare(&mut self, face: &Face) -> Result<(), (Check, String)> {
        let at = self.state.position;
        let digest = self.state.digest();
        let mut running = (*face.state()).clone();
        if running.position == at && running.digest() != digest {
            return Err((Check::Fold, format!("the running state at {at}")));
        }
        if let Some(checkpoint) = running.diverged.or(self.state.diverged) {
            return Err((Check::Fold, format!("the checkpoint at {checkpoint}")));
        }
        if self.tail.digest() != digest {
            return Err((Check::Fold, format!("snapshot and tail at {at}")));
        }
        if at.0 >= self.next_snapshot {
            self.next_snapshot = at.0 + SNAPSHOT_EVERY;
            let mut anew = self.state.clone();
            anew.reindex();
            if anew.index != self.state.index
                || running.position == at && anew.index != running.index
            {
                return Err((Check::Index, format!("at {at}")));
            }
            self.tail = State::from_snapshot(&self.state.to_snapshot())
                .map_err(|e| (Check::Fold, format!("the snapshot at {at}: {e}")))?;
        }
        Ok(())
    }
}
