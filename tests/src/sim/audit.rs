//! The whole log, read again from disk after each start and at the end: the chain, the fold, every acknowledged command.

use std::collections::BTreeMap;

use skein_actors::history;
use skein_actors::swarm::Face;
use skein_events::codec::Batch;
use skein_events::id::RequestId;
use skein_events::record::Position;
use skein_events::state::touched::Touched;
use skein_events::state::{REQUEST_MEMORY, State};
use skein_events::time::Time;

use super::check::Check;
use super::world::World;

/// Reads everything and compares.
pub(super) fn audit(world: &World, face: &Face) {
    if let Err((check, text)) = read_all(world, face) {
        world.violate(check, text);
    }
}

type Found = BTreeMap<RequestId, (Position, Batch)>;

fn read_all(world: &World, face: &Face) -> Result<(), (Check, String)> {
    let chain = |text: String| (Check::Chain, text);
    let report = face.log.verify(|_, _| ()).map_err(|e| chain(e.to_string()))?;
    if let Some(bad) = report.bad {
        return Err(chain(format!("entry {}: {:?}", bad.index, bad.what)));
    }
    let head = face.log.head().position;
    if report.last < head {
        return Err(chain(format!("{} is proven, {head} was told", report.last)));
    }
    let (mut state, mut ignored) = (State::default(), Touched::Ignored);
    let mut found = Found::new();
    for stored in face.log.batches(Position(1)) {
        let stored = stored.map_err(|e| chain(e.to_string()))?;
        let logged = history::decode(&stored).map_err(|e| chain(e.to_string()))?;
        state.apply_batch(logged.first, &logged.batch, &mut ignored);
        let envelope = &logged.batch.envelope;
        if let Some(request) = envelope.request {
            let earlier = found.insert(request, (logged.first, (*logged.batch).clone()));
            let again = earlier.filter(|(_, b)| remembered(b.envelope.at, envelope.at));
            if let Some((first, _)) = again {
                let text = format!("request {request} has records at {first} and {}", logged.first);
                return Err((Check::OneEffect, text));
            }
        }
    }
    let mut running = (*face.state()).clone();
    if running.position == state.position && running.digest() != state.digest() {
        return Err((Check::Fold, format!("at {} after a start", state.position)));
    }
    if let Some(at) = state.diverged {
        return Err((Check::Fold, format!("the checkpoint at {at} says something else")));
    }
    // What is past the head is not handed out yet; it is looked for at the next start, and at the end.
    for acked in world.book.borrow().acked.iter().filter(|a| a.last <= head) {
        match found.get(&acked.request) {
            Some((first, batch)) if *first == acked.first && acked.same(batch) => {}
            other => {
                let text = format!(
                    "{} was acknowledged at {}, found {:?}",
                    acked.request,
                    acked.first,
                    other.map(|o| o.0)
                );
                return Err((Check::Acknowledged, text));
            }
        }
    }
    Ok(())
}

fn remembered(then: Time, now: Time) -> bool {
    now.since(then) <= REQUEST_MEMORY
}
