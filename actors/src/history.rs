//! The log as others read it: batches with their meaning, states of the past, the moment a wall clock means.
//! Reads only; every byte comes from the store checked against the chain.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use skein_events::codec::Batch;
use skein_events::record::{Malformed, Position};
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::time::Time;
use skein_net::backend::{Failure, Logged, Moment};
use skein_store::{Limit, Log, StoredBatch};

/// A replay of fewer records is over before a second thread has begun to help.
const LONG_REPLAY: u64 = 10_000;
/// A snapshot of fewer bytes is read before a second thread has begun to help.
const LARGE_SNAPSHOT: usize = 1 << 20;
/// Batches handed from the reading thread to the applying one at once …
const CHUNK: usize = 256;
/// … and how many such chunks may wait: enough to smooth both, a few MB.
const CHUNKS_AHEAD: usize = 8;

/// What a batch says; what is committed decodes, or a newer Skein wrote it.
pub fn decode(stored: &StoredBatch) -> Result<Logged, Failure> {
    let batch = Batch::read(&stored.bytes)
        .map_err(|e| Failure::Internal(format!("record {} cannot be read: {e}", stored.first)))?;
    Ok(Logged { first: stored.first, h: stored.h, batch: Arc::new(batch) })
}

/// A store's fault as the API says it.
pub fn broken(error: skein_store::Error) -> Failure {
    Failure::Internal(format!("{error}; skein verify tells which records are whole"))
}

/// Batches from the one that holds `from` on.
pub fn read(log: &Log, from: Position, limit: usize) -> Result<Vec<Logged>, Failure> {
    let limit = Limit { batches: limit, ..Limit::default() };
    log.read(from.max(Position(1)), limit).map_err(broken)?.iter().map(decode).collect()
}

/// The state after a record, from the nearest snapshot on. Its checkpoints are not compared.
pub fn state_at(log: &Log, position: Position) -> Result<State, Failure> {
    from_snapshot(log, position, false)
}

fn from_snapshot(log: &Log, position: Position, compared: bool) -> Result<State, Failure> {
    let head = log.head().position;
    if position > head {
        return Err(Failure::Refused(skein_events::refusal::Refusal::Invalid(format!(
            "there is no record {position} yet: the newest is {head}"
        ))));
    }
    let mut state = match log.snapshot_at_or_before(position).map_err(broken)? {
        Some(snapshot) => match read_snapshot(&snapshot.bytes) {
            // Of another release: the log gives the same, from its beginning.
            Err(Malformed::Magic) => State::default(),
            read => read.map_err(|e| {
                Failure::Internal(format!("snapshot at {}: {e}", snapshot.position))
            })?,
        },
        None => State::default(),
    };
    if !compared {
        state.defer_digests();
    }
    if state.position < position {
        replay(log, &mut state, position)?;
    }
    Ok(state)
}

/// Reads a snapshot; a large one with a thread beside this one.
fn read_snapshot(bytes: &[u8]) -> Result<State, Malformed> {
    if bytes.len() < LARGE_SNAPSHOT {
        return State::from_snapshot(bytes);
    }
    State::from_snapshot_by(bytes, |one, other| {
        std::thread::scope(|scope| {
            scope.spawn(other);
            one();
        });
    })
}

/// Carries a state on to a later record. What is long is read, checked and decoded on a thread beside this one, which applies.
fn replay(log: &Log, state: &mut State, upto: Position) -> Result<(), Failure> {
    let mut batches = log.batches(state.position.next());
    if upto.0 - state.position.0 < LONG_REPLAY {
        while state.position < upto
            && let Some(stored) = batches.next()
        {
            apply(state, upto, &decode(&stored.map_err(broken)?)?);
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        let (ahead, decoded) = mpsc::sync_channel(CHUNKS_AHEAD);
        // What was applied goes back to be dropped: memory is given back soonest by the thread that took it.
        let (applied, used) = mpsc::channel::<Vec<Logged>>();
        scope.spawn(move || {
            loop {
                used.try_iter().for_each(drop);
                let chunk = batches.by_ref().take(CHUNK);
                let chunk: Result<Vec<Logged>, Failure> =
                    chunk.map(|stored| decode(&stored.map_err(broken)?)).collect();
                let ends = chunk.as_ref().map_or(true, Vec::is_empty);
                // Nobody takes it any more when the state has come far enough.
                if ahead.send(chunk).is_err() || ends {
                    return;
                }
            }
        });
        for chunk in decoded {
            let chunk = chunk?;
            for logged in &chunk {
                apply(state, upto, logged);
            }
            drop(applied.send(chunk));
            if state.position >= upto {
                break;
            }
        }
        Ok(())
    })
}

/// Applies a batch, or its first records when the moment lies in the middle of it.
fn apply(state: &mut State, upto: Position, logged: &Logged) {
    let Logged { first, batch, h: _ } = logged;
    if first.0 + batch.entries.len() as u64 - 1 <= upto.0 {
        return state.apply_batch(*first, batch, &mut Touched::Ignored);
    }
    for record in batch.records(*first).take_while(|r| r.position <= upto) {
        state.apply(record, &mut Touched::Ignored);
    }
}

/// The newest state on disk: what a daemon starts from.
pub fn newest(log: &Log) -> Result<State, Failure> {
    from_snapshot(log, log.head().position, true)
}

/// The same from the first record on, whatever snapshots there are.
pub fn from_the_beginning(log: &Log) -> Result<State, Failure> {
    let mut state = State::default();
    replay(log, &mut state, log.head().position)?;
    Ok(state)
}

/// The last record not later than a moment of cluster time.
fn position_at(log: &Log, at: Time) -> Result<Position, Failure> {
    let (mut low, mut high) = (0, log.head().position.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let found = read(log, Position(middle), 1)?;
        let time = found.first().map_or(Time(u64::MAX), |l| l.batch.envelope.at);
        if time <= at {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if low == 0 {
        let text = "the swarm did not exist at that moment".to_owned();
        return Err(Failure::Refused(skein_events::refusal::Refusal::Invalid(text)));
    }
    Ok(Position(low))
}

/// The record a user's moment means.
pub fn resolve(log: &Log, moment: Moment, now: Time) -> Result<Position, Failure> {
    match moment {
        Moment::Position(position) => Ok(position),
        Moment::Ago(span) => position_at(log, Time(now.0.saturating_sub(span.0))),
        Moment::Wall(at) => position_at(log, at),
    }
}

/// Whether the detachable part of a record is still there, and what the chain says of it.
pub fn detachable(
    log: &Log,
    position: Position,
) -> Result<Option<(bool, skein_events::record::Hash)>, Failure> {
    use skein_events::record::{BatchBytes, Detachable};
    let found = log.read(position, Limit { batches: 1, ..Limit::default() }).map_err(broken)?;
    let Some(stored) = found.first() else { return Ok(None) };
    let raw = BatchBytes::parse(&stored.bytes)
        .map_err(|e| Failure::Internal(format!("record {position}: {e}")))?;
    let nth = usize::try_from(position.0 - stored.first.0).unwrap_or(usize::MAX);
    let Some(record) = raw.records.get(nth) else { return Ok(None) };
    let there = matches!(record.detachable, Detachable::Present { .. });
    Ok(record.detachable.commitment().map(|commitment| (there, commitment)))
}

/// Checkpoints compared while replaying everything, and positions of erased parts.
pub fn replay_all(log: &Log) -> Result<(u64, Option<Position>, Vec<Position>), Failure> {
    use skein_events::codec::Apart;
    use skein_events::event::Event;
    let (mut state, mut ignored) = (State::default(), Touched::Ignored);
    let (mut checkpoints, mut redacted) = (0, BTreeMap::new());
    for stored in log.batches(Position(1)) {
        let Logged { first, batch, .. } = decode(&stored.map_err(broken)?)?;
        for record in batch.records(first) {
            if matches!(record.event, Event::Checkpointed(_)) {
                checkpoints += 1;
            }
            if matches!(record.apart, Apart::Redacted { .. }) {
                redacted.insert(record.position, ());
            }
        }
        state.apply_batch(first, &batch, &mut ignored);
    }
    Ok((checkpoints, state.diverged, redacted.into_keys().collect()))
}
