//! Snapshots of the state, for consensus and for moments of the past: when one is taken, and how, so that nobody waits for it.
//! It is written down on a thread of its own, and the log takes it in parts (`store/src/table/snapshots.rs`).

use std::pin::Pin;
use std::sync::Arc;

use skein_events::record::Position;
use skein_events::state::State;
use skein_store::failpoint::snapshot_every;
use skein_store::{Limit, Log, SnapshotSource, Taken};
use tokio::sync::oneshot;

use crate::consensus::Seat;
use crate::log::Published;
use crate::spawner::Spawner;

/// Records between two snapshots: a moment of the past is never further from one, unless the swarm is very large.
const EVERY: u64 = 32_768;
/// A task in a snapshot takes about as much room as a record in the log: with a record for so many tasks the snapshots of
/// a swarm of very many take about three times the room of its log. Services are not counted, of which there are fewer.
const TASKS_A_RECORD: u64 = 3;

/// Gives snapshots of the newest state.
pub struct Snapshots {
    /// Where the entry is found that a state ends with.
    pub log: Log,
    /// The newest state.
    pub published: Published,
    /// Gives the thread on which it is written down.
    pub spawner: Arc<dyn Spawner>,
}

impl SnapshotSource for Snapshots {
    fn take(&self, _: u64) -> Pin<Box<dyn Future<Output = Option<Taken>> + Send>> {
        let (log, published) = (self.log.clone(), self.published.clone());
        let spawner = Arc::clone(&self.spawner);
        Box::pin(async move {
            let wanted = log.head().position;
            let mut head = published.head.subscribe();
            head.wait_for(|h| h.position >= wanted).await.ok()?;
            let state = published.state.load_full();
            let position = state.position;
            let limit = Limit { batches: 1, ..Limit::default() };
            let index = log.read(position, limit).ok()?.into_iter().next()?.place.index;
            let (done, written) = oneshot::channel();
            let write = move || {
                // Whoever asked may have ended meanwhile.
                let _ = done.send(state.to_snapshot());
                let nothing: futures::future::LocalBoxFuture<'_, ()> = Box::pin(async {});
                nothing
            };
            spawner.spawn("snapshot", Box::new(write));
            Some(Taken { index, position, bytes: written.await.ok()?.into() })
        })
    }
}

/// Has a snapshot taken when one is due; the newest there is was taken at `newest`. Ends with consensus.
pub async fn keep(published: Published, newest: Position, seat: Seat) {
    let mut head = published.head.subscribe();
    let mut next = due(newest, &published.state.load());
    loop {
        // The state is kept by `published` as long as this lives, so it must not outlive the seat.
        tokio::select! {
            biased;
            () = seat.stopped() => return,
            reached = head.wait_for(|head| head.position >= next) => drop(reached),
        }
        let state = published.state.load_full();
        next = due(state.position, &state);
        drop(state);
        if seat.snapshot().await.is_err() {
            return;
        }
    }
}

/// The record after which the next one is taken.
fn due(newest: Position, state: &State) -> Position {
    let for_size = state.tasks.len() as u64 / TASKS_A_RECORD;
    Position(newest.0 + snapshot_every(EVERY.max(for_size)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use skein_net::backend::Head;
    use skein_store::{FileDisk, Options};
    use tokio::sync::watch;

    use super::*;
    use crate::consensus::{self, Settings};
    use crate::spawner::Threads;

    #[tokio::test]
    async fn keeping_ends_with_the_seat() {
        let root = tempfile::tempdir().unwrap();
        let disk = Arc::new(FileDisk::open(root.path()).unwrap());
        let (log, writer) = Log::open(disk, Options::default(), |text| panic!("{text}")).unwrap();
        Threads.spawn("log-writer", Box::new(move || Box::pin(writer.run())));
        let fatal = Box::new(|text: &str| panic!("{text}"));
        let settings = Settings { node: 1, seed: 7, snapshots: None, fatal };
        let (seat, _deliveries) = consensus::start(&Threads, log, settings);
        let published = Published {
            state: Arc::new(ArcSwap::from_pointee(State::default())),
            head: watch::Sender::new(Head { position: Position(0), epoch: 1 }),
        };
        let keeps = keep(published, Position(0), seat.clone());
        seat.stop().await;
        tokio::time::timeout(Duration::from_secs(30), keeps).await.expect("it ends");
    }
}
