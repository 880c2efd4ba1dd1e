//! Replay of a history from disk to a state, as a daemon does when it starts, beside the rate at which the same log's
//! chain is verified: replay reads and verifies too, so it cannot be faster. And the state at moments of the past, from
//! the snapshots a daemon takes on its way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwap;
use skein_actors::consensus::{self, Settings};
use skein_actors::history;
use skein_actors::log::{Consensus, Published, Verdict};
use skein_actors::snapshots::{self, Snapshots};
use skein_actors::spawner::{Spawner, Threads};
use skein_events::codec::Batch;
use skein_events::record::Position;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_net::backend::Head;
use skein_store::{Delivery, FileDisk, Log, Options};
use tokio::sync::watch;

use crate::fixture::History;
use crate::median;
use crate::report::{Aim, Report, grouped};

const ROUNDS: usize = 3;
/// Batches in one durable commit while the log is written, which is not measured.
const FLIGHT: usize = 1_000;
/// How far the newest snapshot may be behind while the log is written.
const LATE: u64 = 40_000;
/// Moments of the past that are asked for, spread over the whole log.
const MOMENTS: u64 = 41;
/// How soon an answer about the past is to be there.
const PAST: Duration = Duration::from_millis(200);

pub(crate) fn measure(history: &History, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("skein-bench.").tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let disk = Arc::new(FileDisk::open(folder.path())?);
        let fatal = |text: &str| panic!("{text}");
        let (log, writer) = Log::open(disk, Options::default(), fatal)?;
        Threads.spawn("log-writer", Box::new(move || Box::pin(writer.run())));
        fill(&log, history).await?;
        compare(&log, history, report)?;
        past(&log, history, report)?;
        log.close().await?;
        Ok(())
    })
}

/// Writes the history the way the daemon does: through consensus, which asks for snapshots on its way.
async fn fill(log: &Log, history: &History) -> anyhow::Result<()> {
    let published = Published {
        state: Arc::new(ArcSwap::from_pointee(State::default())),
        head: watch::Sender::new(Head { position: Position(0), epoch: 1 }),
    };
    let spawner = Arc::new(Threads);
    let snapshots = Snapshots { log: log.clone(), published: published.clone(), spawner };
    let settings = Settings {
        node: 1,
        seed: 1,
        snapshots: Some(Arc::new(snapshots)),
        fatal: Box::new(|text| panic!("{text}")),
    };
    let (seat, mut deliveries) = consensus::start(&Threads, log.clone(), settings);
    let keep = tokio::spawn(snapshots::keep(published.clone(), Position(0), seat.clone()));
    let follow = tokio::spawn(async move {
        let mut state = State::default();
        while let Some(delivery) = deliveries.recv().await {
            let Delivery::Batch(stored) = delivery else { continue };
            let batch = Batch::read(&stored.bytes).expect("what was written is read");
            state.apply_batch(stored.first, &batch, &mut Touched::Ignored);
            published.state.store(Arc::new(state.clone()));
            published.head.send_replace(Head { position: state.position, epoch: state.epoch });
        }
    });
    seat.initialize("127.0.0.1:2377".to_owned()).await?;
    let mut leadership = seat.leadership();
    let term = leadership.wait_for(|known| known.leads).await?.term;
    for flight in history.batches.chunks(FLIGHT) {
        let verdicts = seat.propose(term, flight.to_vec()).await;
        anyhow::ensure!(verdicts.iter().all(|v| *v == Verdict::Committed), "the log took a batch");
        // A daemon does not take records as fast as this, and so it is never many of them behind with a snapshot.
        while log.head().position.0 > log.newest_snapshot()?.0 + LATE {
            log.beat().await?;
        }
    }
    // The seat closes the log with it; what follows only reads, so both stay until the end of the run.
    std::mem::forget((seat, follow, keep));
    Ok(())
}

/// The state at moments all over the log, each on its own, as `--at` asks for it.
fn past(log: &Log, history: &History, report: &mut Report) -> anyhow::Result<()> {
    let records = history.state.position.0;
    let (mut spans, mut tasks) = (Vec::new(), Vec::new());
    for n in 1..=MOMENTS {
        let moment = Position(records * n / (MOMENTS + 1));
        let (state, took, _) = timed(|| history::state_at(log, moment));
        let state = state.map_err(|e| anyhow::anyhow!("{e}"))?;
        anyhow::ensure!(state.position == moment, "the state is the moment's");
        spans.push(took);
        tasks.push(state.tasks.len());
    }
    let middle = median(&mut spans);
    let slowest = spans.last().copied().unwrap_or_default();
    report.table("The state at a moment of the past, `--at`", "the aim");
    report.figure(
        &format!("{MOMENTS} moments of {} records, in the middle", grouped(records as f64)),
        &format!("{} ms", middle.as_millis()),
        "200 ms",
        &format!("{:.2}", middle.as_secs_f64() / PAST.as_secs_f64()),
        Aim::Held("≤ 200 ms", middle <= PAST),
    );
    report.figure(
        "the slowest of them",
        &format!("{} ms", slowest.as_millis()),
        "200 ms",
        &format!("{:.2}", slowest.as_secs_f64() / PAST.as_secs_f64()),
        Aim::Held("≤ 200 ms", slowest <= PAST),
    );
    report.say(&format!(
        "Between {} and {} tasks are there at these moments.",
        grouped(tasks.iter().min().copied().unwrap_or_default() as f64),
        grouped(tasks.iter().max().copied().unwrap_or_default() as f64)
    ));
    Ok(())
}

fn compare(log: &Log, history: &History, report: &mut Report) -> anyhow::Result<()> {
    let records = history.state.position.0;
    let (mut replays, mut chains, mut folds) = (Vec::new(), Vec::new(), Vec::new());
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let (verified, took, _) = timed(|| log.verify(|_, _| ()));
        anyhow::ensure!(verified?.records == records, "the log is whole");
        chains.push(took);
        let (replayed, took, cost) = timed(|| history::from_the_beginning(log));
        let replayed = replayed.map_err(|e| anyhow::anyhow!("{e}"))?;
        anyhow::ensure!(replayed.diverged.is_none(), "every digest matched");
        anyhow::ensure!(replayed.tasks.len() == history.state.tasks.len(), "every task is there");
        replays.push(took);
        costs.push(cost);
        let (folded, took, _) = timed(|| fold(history));
        folded.context("the batches decode")?;
        folds.push(took);
    }
    let rate = |spans: &mut [Duration]| records as f64 / median(spans).as_secs_f64();
    let (replay, chain, fold) = (rate(&mut replays), rate(&mut chains), rate(&mut folds));
    report.table("Replay, records per second", "verifying the chain of the same log");
    report.figure(
        "from disk, as at start: read, verify, decode, apply with look-ups and digests",
        &format!(
            "{} ({:.2} µs of processor time each)",
            grouped(replay),
            median(&mut costs).as_secs_f64() * 1e6 / records as f64
        ),
        &grouped(chain),
        &format!("{:.2}", replay / chain),
        Aim::Held("≥ 500,000/s", replay >= 500_000.0),
    );
    report.figure(
        "from memory: decode, apply with look-ups and digests",
        &grouped(fold),
        &grouped(chain),
        &format!("{:.2}", fold / chain),
        Aim::None,
    );
    report.say(&format!(
        "{} records in {} batches, {} tasks at the end. Middle of {ROUNDS} rounds.",
        grouped(records as f64),
        grouped(history.batches.len() as f64),
        grouped(history.state.tasks.len() as f64)
    ));
    Ok(())
}

fn fold(history: &History) -> Option<State> {
    let mut state = State::default();
    for bytes in &history.batches {
        let batch = Batch::read(bytes).ok()?;
        state.apply_batch(state.position.next(), &batch, &mut Touched::Ignored);
    }
    Some(state)
}

/// How long it took, and what of it this thread spent on a processor: on a busy machine others' work is in the first alone.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration, Duration) {
    let (begun, before) = (Instant::now(), on_processor());
    let done = work();
    let took = begun.elapsed();
    let spent = before.zip(on_processor()).map(|(before, after)| after.saturating_sub(before));
    (done, took, spent.unwrap_or(took))
}

fn on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
