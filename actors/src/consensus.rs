//! This manager's seat in consensus: owns the Raft library's handle on a thread of its own and speaks only in terms,
//! flights and verdicts. Runs no rule: a long plan must never cost the leadership.
//!
//! ```text
//!  LogActor ──propose(term, flight)──▶ Seat ──▶ Raft ──▶ store's Writer ── fsync
//!           ◀──Deliver, Leads───────── deliver ◀── Machine ◀── committed
//! ```

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use actix::Addr;
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{
    ClientWriteError, RPCError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::impls::ProgressResponder;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{OptionalSend, Raft, ReadPolicy, ServerState, SnapshotPolicy};
use skein_store::raft::{EncodedBatch, Machine, Peer, Runtime, Storage, Types};
use skein_store::{Delivery, Log, SnapshotSource, StateSnapshot, Taken};
use tokio::sync::{mpsc, oneshot, watch};

use crate::log::{Consensus, Deliver, Delivered, Leads, LogActor, Verdict};
use crate::spawner::Spawner;

/// Requests that may wait for the consensus thread: the log actor has one flight under way, the rest are rare.
const REQUESTS: usize = 64;
/// Committed entries that may wait for the log actor: more than one flight, so that consensus does not wait for `apply`.
const DELIVERIES: usize = 4_096;
/// Entries handed to the log actor in one message.
const DELIVERED_AT_ONCE: usize = 1_024;
/// Entries kept behind a snapshot for followers that are a little late; older history stays too, but travels otherwise.
const KEPT_BEHIND_SNAPSHOT: u64 = 10_000;
const HEARTBEAT_MS: u64 = 100;
const ELECTION_MS: (u64, u64) = (400, 800);

/// What a seat needs.
pub struct Settings {
    /// This manager's number; never used again for another.
    pub node: u64,
    /// For everything consensus draws at random.
    pub seed: u64,
    /// Gives snapshots of the state; without one, none are taken.
    pub snapshots: Option<Arc<dyn SnapshotSource>>,
    /// Told once if consensus cannot go on; must end the process.
    pub fatal: Box<dyn Fn(&str) + Send>,
}

/// Who leads, as far as this manager knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest term it has heard of.
    pub term: u64,
    /// Whether it leads in that term. It may propose once it has been delivered an entry of the term.
    pub leads: bool,
    /// The leader's number.
    pub leader: Option<u64>,
}

/// Why a request to consensus has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another manager leads, or none.
    #[error("this manager does not lead the swarm")]
    NotLeader,
    /// It has a log already.
    #[error("this manager is part of a swarm already")]
    Initialized,
    /// The seat was given up.
    #[error("consensus has stopped")]
    Stopped,
}

enum Request {
    Propose { term: u64, flight: Vec<Bytes>, verdicts: oneshot::Sender<Vec<Verdict>> },
    Initialize { address: String, done: oneshot::Sender<Result<(), Error>> },
    Initialized { done: oneshot::Sender<Result<bool, Error>> },
    ReadIndex { done: oneshot::Sender<Result<u64, Error>> },
    Beat { done: oneshot::Sender<()> },
    Snapshot { done: oneshot::Sender<()> },
    Stop { done: oneshot::Sender<()> },
}

/// A handle on the seat; clones share it.
#[derive(Clone, Debug)]
pub struct Seat {
    requests: mpsc::Sender<Request>,
    leadership: watch::Receiver<Leadership>,
}

type Library = Raft<Types, Machine>;

/// Takes the seat: starts consensus on `log`, whose writer runs. The receiver gets every entry after `log.head()`.
pub fn start(
    spawner: &dyn Spawner,
    log: Log,
    settings: Settings,
) -> (Seat, mpsc::Receiver<Delivery>) {
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (out, deliveries) = mpsc::channel(DELIVERIES);
    let (told, leadership) = watch::channel(Leadership::default());
    let seed = settings.seed;
    spawner.spawn(
        "consensus",
        Box::new(move || Box::pin(Runtime::scope(seed, run(log, settings, out, told, asked)))),
    );
    (Seat { requests, leadership }, deliveries)
}

/// Hands committed entries to the log actor, and leadership with them: `Leads` is said once an entry of the term was delivered,
/// so a new leader decides nothing before it has applied all that came before.
pub async fn deliver(
    mut deliveries: mpsc::Receiver<Delivery>,
    mut leadership: watch::Receiver<Leadership>,
    to: Addr<LogActor>,
) {
    let (mut applied_term, mut said) = (0, None);
    let mut buffer = Vec::with_capacity(DELIVERED_AT_ONCE);
    loop {
        tokio::select! {
            biased;
            changed = leadership.changed() => if changed.is_err() { return },
            received = deliveries.recv_many(&mut buffer, DELIVERED_AT_ONCE) => {
                if received == 0 {
                    return;
                }
                let mut batches = Vec::with_capacity(received);
                for delivery in buffer.drain(..) {
                    match delivery {
                        Delivery::Batch(batch) => {
                            applied_term = batch.place.term;
                            batches.push(Delivered { first: batch.first, bytes: batch.bytes });
                        }
                        Delivery::Quiet(place) => applied_term = place.term,
                        Delivery::Installed(snapshot) => applied_term = snapshot.term,
                    }
                }
                if !batches.is_empty() && to.send(Deliver(batches)).await.is_err() {
                    return;
                }
            }
        }
        let known = *leadership.borrow_and_update();
        let leads = (known.leads && applied_term == known.term).then_some(known.term);
        if leads != said {
            said = leads;
            if to.send(Leads(leads)).await.is_err() {
                return;
            }
        }
    }
}

impl Seat {
    /// Begins a swarm with this manager as the only voter.
    pub async fn initialize(&self, address: String) -> Result<(), Error> {
        self.ask(|done| Request::Initialize { address, done }).await?
    }

    /// Whether there is a first entry: who votes. Without it nobody will ever lead.
    pub async fn is_initialized(&self) -> Result<bool, Error> {
        self.ask(|done| Request::Initialized { done }).await?
    }

    /// Index of an entry; a state that has applied it has seen every write acknowledged before this was asked.
    pub async fn read_index(&self) -> Result<u64, Error> {
        self.ask(|done| Request::ReadIndex { done }).await?
    }

    /// Answers when the consensus thread has done what was asked before.
    pub async fn beat(&self) -> Result<(), Error> {
        self.ask(|done| Request::Beat { done }).await
    }

    /// Has a snapshot taken, unless one is being taken: answers when that is begun.
    pub async fn snapshot(&self) -> Result<(), Error> {
        self.ask(|done| Request::Snapshot { done }).await
    }

    /// Who leads, to read or to wait for a change.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Waits until the seat was given up.
    pub async fn stopped(&self) {
        self.requests.closed().await;
    }

    /// Gives the seat up and closes the log.
    pub async fn stop(&self) {
        // A seat that has stopped already needs nothing more.
        let _ = self.ask(|done| Request::Stop { done }).await;
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        self.requests.send(request(done)).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)
    }
}

impl Consensus for Seat {
    fn propose(&self, term: u64, flight: Vec<Bytes>) -> LocalBoxFuture<'static, Vec<Verdict>> {
        let seat = self.clone();
        Box::pin(async move {
            let batches = flight.len();
            let answer = seat.ask(|verdicts| Request::Propose { term, flight, verdicts }).await;
            answer.unwrap_or_else(|_| vec![Verdict::Unknown; batches])
        })
    }
}

async fn run(
    log: Log,
    settings: Settings,
    out: mpsc::Sender<Delivery>,
    told: watch::Sender<Leadership>,
    mut requests: mpsc::Receiver<Request>,
) {
    let raft = match sit(&log, &settings, out).await {
        Ok(raft) => raft,
        Err(text) => return (settings.fatal)(&text),
    };
    tokio::task::spawn_local(watch_leadership(raft.clone(), settings.node, told, settings.fatal));
    while let Some(request) = requests.recv().await {
        match request {
            Request::Propose { term, flight, verdicts } => {
                propose(&raft, term, flight, verdicts).await;
            }
            Request::Initialize { address, done } => {
                let members = BTreeMap::from([(settings.node, Peer { addr: address })]);
                let result = raft.initialize(members).await;
                let _ = done.send(result.map_err(|error| match error.into_api_error() {
                    Some(_) => Error::Initialized,
                    None => Error::Stopped,
                }));
            }
            Request::Initialized { done } => {
                let result = raft.is_initialized().await;
                let _ = done.send(result.map_err(|_| Error::Stopped));
            }
            Request::ReadIndex { done } => {
                let raft = raft.clone();
                tokio::task::spawn_local(async move { done.send(read_index(&raft).await) });
            }
            Request::Beat { done } => {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
            Request::Snapshot { done } => {
                if raft.trigger().snapshot().await.is_ok() {
                    let _ = done.send(());
                }
            }
            Request::Stop { done } => {
                // Either may have ended by itself; what was acknowledged is on disk.
                let _ = (raft.shutdown().await, log.close().await);
                let _ = done.send(());
                return;
            }
        }
    }
}

/// Starts the library, and an election at once if nobody else votes: there is nobody to wait for.
async fn sit(
    log: &Log,
    settings: &Settings,
    out: mpsc::Sender<Delivery>,
) -> Result<Library, String> {
    let config = openraft::Config {
        cluster_name: "skein".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        enable_pre_vote: Some(true),
        // A leader that restarts in its old term may lack entries it had replicated but not synced, and would write
        // others in their place: docs/adr/0001-deterministic-simulation.md.
        enable_leader_restore: Some(false),
        // They are asked for when one is due: crate::snapshots.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: KEPT_BEHIND_SNAPSHOT,
        ..openraft::Config::default()
    };
    let config = Arc::new(config.validate().map_err(|error| error.to_string())?);
    let source = settings.snapshots.clone().unwrap_or_else(|| Arc::new(NoSnapshots));
    let machine = Machine::new(log.clone(), out, source).map_err(|error| error.to_string())?;
    let storage = Storage::new(log.clone());
    let raft = Raft::new(settings.node, config, Alone, storage, machine)
        .await
        .map_err(|error| error.to_string())?;
    if raft.voter_ids().eq([settings.node]) {
        raft.trigger().elect(false).await.map_err(|error| error.to_string())?;
    }
    Ok(raft)
}

async fn propose(
    raft: &Library,
    term: u64,
    flight: Vec<Bytes>,
    verdicts: oneshot::Sender<Vec<Verdict>>,
) {
    let mut answers = Vec::with_capacity(flight.len());
    for batch in flight {
        let (responder, answer) = ProgressResponder::complete_only();
        let write = raft.write(EncodedBatch(batch)).with_leader(term).responder(responder);
        answers.push(write.await.ok().map(|()| answer));
    }
    tokio::task::spawn_local(async move {
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers {
            all.push(match answer {
                // The library had stopped before it took the batch.
                None => Verdict::Refused,
                Some(answer) => match answer.await {
                    Ok(Ok(_)) => Verdict::Committed,
                    Ok(Err(ClientWriteError::ForwardToLeader(_))) => Verdict::Refused,
                    // Dropped from this log, or about to be: it may still be in another manager's.
                    Ok(Err(_)) | Err(_) => Verdict::Unknown,
                },
            });
        }
        // A log actor that has gone needs no verdicts.
        drop(verdicts.send(all));
    });
}

async fn read_index(raft: &Library) -> Result<u64, Error> {
    match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
        Ok(id) => Ok(id.index()),
        Err(error) => Err(match error.into_api_error() {
            Some(_) => Error::NotLeader,
            None => Error::Stopped,
        }),
    }
}

/// Tells who leads until the library stops; if it stops by a fault, says so.
async fn watch_leadership(
    raft: Library,
    node: u64,
    told: watch::Sender<Leadership>,
    fatal: Box<dyn Fn(&str) + Send>,
) {
    let (mut server, metrics) = (raft.server_metrics(), raft.metrics());
    loop {
        let now = {
            let metrics = server.borrow_watched();
            let leads =
                metrics.state == ServerState::Leader && metrics.current_leader == Some(node);
            Leadership { term: metrics.vote.leader_id.term, leads, leader: metrics.current_leader }
        };
        told.send_if_modified(|known| std::mem::replace(known, now) != now);
        // Ticks are for elections and heartbeats. The only voter, once it leads, needs neither, and an idle machine its rest.
        let alone = now.leads && raft.voter_ids().eq([node]);
        raft.runtime_config().tick(!alone);
        if server.changed().await.is_err() {
            let state = metrics.borrow_watched().running_state.clone();
            if let Err(fault) = state
                && !matches!(fault, openraft::errors::Fatal::Stopped)
            {
                fatal(&fault.to_string());
            }
            told.send_replace(Leadership::default());
            return;
        }
    }
}

struct NoSnapshots;

impl SnapshotSource for NoSnapshots {
    fn take(&self, _: u64) -> Pin<Box<dyn Future<Output = Option<Taken>> + Send>> {
        Box::pin(std::future::ready(None))
    }
}

/// The network of a swarm with one manager: there is nobody to reach.
struct Alone;

impl RaftNetworkFactory<Types> for Alone {
    type Network = Self;
    async fn new_client(&mut self, _: u64, _: &Peer) -> Self {
        Self
    }
}

fn nobody() -> Unreachable<Types> {
    Unreachable::new(&std::io::Error::other("this swarm has one manager"))
}

impl RaftNetworkV2<Types> for Alone {
    type SnapshotData = StateSnapshot;
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(nobody().into())
    }
    async fn vote(
        &mut self,
        _: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(nobody().into())
    }
    async fn pre_vote(
        &mut self,
        _: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(nobody().into())
    }
    async fn full_snapshot(
        &mut self,
        _: VoteOf<Types>,
        _: SnapshotOf<Types, StateSnapshot>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(nobody().into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use skein_events::record::{BatchBytes, Detachable, Position, RecordBytes};
    use skein_store::{FileDisk, Options, SimDisk};

    use super::*;
    use crate::spawner::{Here, Threads};

    fn batch(n: u8) -> Bytes {
        let record = RecordBytes { kind: 1, version: 1, fixed: &[n], detachable: Detachable::None };
        let parts = BatchBytes { salt: [n; 32], envelope: b"envelope", records: vec![record] };
        parts.encode().unwrap().into()
    }

    fn settings() -> Settings {
        let fatal = Box::new(|text: &str| panic!("{text}"));
        Settings { node: 1, seed: 7, snapshots: None, fatal }
    }

    async fn lead(seat: &Seat) -> u64 {
        seat.leadership().wait_for(|known| known.leads).await.unwrap().term
    }

    /// Takes deliveries until a batch; says its first position and content.
    async fn next(deliveries: &mut mpsc::Receiver<Delivery>) -> (Position, Bytes) {
        loop {
            if let Delivery::Batch(stored) = deliveries.recv().await.unwrap() {
                return (stored.first, stored.bytes);
            }
        }
    }

    #[tokio::test]
    async fn restarted_manager_leads_within_half_a_second_and_has_everything() {
        let root = tempfile::tempdir().unwrap();
        for run in 0..3 {
            let disk = Arc::new(FileDisk::open(root.path()).unwrap());
            let (log, writer) =
                Log::open(disk, Options::default(), |text| panic!("{text}")).unwrap();
            Threads.spawn("log-writer", Box::new(move || Box::pin(writer.run())));
            let before = log.head().position;
            let (seat, mut deliveries) = start(&Threads, log.clone(), settings());
            if run == 0 {
                seat.initialize("here:2377".to_owned()).await.unwrap();
                let again = seat.initialize("here:2377".to_owned()).await;
                assert_eq!(again, Err(Error::Initialized));
            }
            let soon = Duration::from_millis(500);
            let term = tokio::time::timeout(soon, lead(&seat)).await.expect("leads soon");
            let flight: Vec<_> = (0..5).map(|n| batch(run * 5 + n)).collect();
            let verdicts = seat.propose(term, flight).await;
            assert_eq!(verdicts, [Verdict::Committed; 5]);
            let stale = seat.propose(term - 1, vec![batch(99)]).await;
            assert_eq!(stale, [Verdict::Refused]);
            for n in before.0..u64::from(run * 5) + 5 {
                let number = u8::try_from(n).unwrap();
                assert_eq!(next(&mut deliveries).await, (Position(n + 1), batch(number)));
            }
            assert!(seat.read_index().await.unwrap() > 0);
            assert_eq!(log.verify(|_, _| ()).unwrap().records, u64::from(run * 5) + 5);
            seat.stop().await;
        }
    }

    /// One manager on a disk that loses power again and again: every committed batch is delivered after each restart.
    async fn survive(seed: u64) {
        let disk = SimDisk::new(seed);
        disk.set_latency(Duration::from_micros(50), Duration::from_millis(2));
        let (mut committed, mut number) = (Vec::new(), 0);
        for life in 0..12 {
            let set = tokio::task::LocalSet::new();
            let lost = disk.power_lost();
            let mount = Arc::new(disk.mount());
            if life % 2 == 1 {
                disk.lose_power_at(seed % 13 + 17 * life);
            }
            let living = set.run_until(async {
                let Ok((log, writer)) = Log::open(mount, Options::default(), |_| ()) else {
                    return;
                };
                Here.spawn("log-writer", Box::new(move || Box::pin(writer.run())));
                let mut there: Vec<Bytes> = Vec::new();
                for stored in log.batches(Position(1)) {
                    there.push(stored.unwrap().bytes);
                }
                let quiet = Settings { fatal: Box::new(|_| ()), ..settings() };
                let (seat, mut deliveries) = start(&Here, log.clone(), quiet);
                if life == 0 {
                    seat.initialize("here:2377".to_owned()).await.unwrap();
                }
                let term = lead(&seat).await;
                for _ in 0..8 {
                    number += 1;
                    if seat.propose(term, vec![batch(number)]).await == [Verdict::Committed] {
                        committed.push(batch(number));
                    }
                }
                // What is committed was delivered before its verdict, and all before it earlier.
                while let Ok(delivery) = deliveries.try_recv() {
                    if let Delivery::Batch(stored) = delivery {
                        there.push(stored.bytes);
                    }
                }
                for one in &committed {
                    assert!(there.contains(one), "seed {seed}, life {life}");
                }
                if life % 2 == 0 {
                    disk.lose_power();
                }
            });
            tokio::select! { biased; () = lost => {} () = living => {} }
            disk.lose_power();
        }
        assert!(committed.len() >= 40, "seed {seed}: {} committed", committed.len());
    }

    #[test]
    fn committed_batches_survive_power_loss_of_the_only_manager() {
        for seed in 0..20 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, survive(seed));
        }
    }
}
