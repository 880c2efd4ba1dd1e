//! Acknowledged creates through the socket of a real daemon, beside durable commits of a bare database on the same disk.
//! Rounds of both take turns, so that what else the disk does falls on both alike.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use skein_events::record::Position;
use skein_store::{FileDisk, Log, Options};

use crate::daemon::{Daemon, Ground};
use crate::disk;
use crate::median;
use crate::report::{Aim, Report, grouped};

/// Turns each load and its limit take.
const ROUNDS: usize = 3;
/// Bytes of a row before the batch.
const ROW_HEAD: usize = 64;
/// How long the daemon's idling is watched.
const IDLE: Duration = Duration::from_secs(5);

struct Load {
    clients: usize,
    /// Commands in one commit of the limit: as many as can wait for each other.
    together: usize,
    aim: &'static str,
    holds: fn(rate: f64, ratio: f64) -> bool,
}

const LOADS: [Load; 3] = [
    Load { clients: 1, together: 1, aim: "ratio ≥ 0.6", holds: |_, ratio| ratio >= 0.6 },
    Load { clients: 32, together: 32, aim: "≥ 15,000/s", holds: |rate, _| rate >= 15_000.0 },
    Load { clients: 256, together: 256, aim: "", holds: |_, _| true },
];

/// How a round went.
struct Round {
    rate: f64,
    middle: Duration,
    slow: Duration,
    /// Processor time of the daemon for one create.
    cost: Duration,
}

pub(crate) fn measure(skein: &Path, length: Duration, report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::new(skein)?;
        let row = row_size(&ground).await?;
        let daemon = ground.start()?;
        drop(daemon.client("/services").await?);
        idle(&daemon, report).await?;
        report.table(
            "Acknowledged creates through the socket, per second",
            "entries per second of a bare redb database, same options, row size and disk",
        );
        for load in &LOADS {
            let mut rounds = Vec::new();
            let mut limits = Vec::new();
            for round in 0..ROUNDS {
                limits.push(disk::bare(&ground, row, load.together, length / 2)?);
                rounds.push(creates(&daemon, load.clients, round, length).await?);
            }
            limits.sort_by(f64::total_cmp);
            rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
            let (limit, Round { rate, middle, slow, cost }) =
                (limits[ROUNDS / 2], &rounds[ROUNDS / 2]);
            let ratio = rate / limit;
            report.figure(
                &format!("{} clients; {} a commit in the limit", load.clients, load.together),
                &format!(
                    "{} (median {:.2} ms, p99 {:.2} ms; {:.0} µs of the daemon's processor time each)",
                    grouped(*rate),
                    millis(*middle),
                    millis(*slow),
                    millis(*cost) * 1e3
                ),
                &grouped(limit),
                &format!("{ratio:.2}"),
                if load.aim.is_empty() {
                    Aim::None
                } else {
                    Aim::Held(load.aim, (load.holds)(*rate, ratio))
                },
            );
        }
        report.say(&format!("A row has {row} bytes. Middle of {ROUNDS} rounds that took turns."));
        let loaded = daemon.memory()?;
        daemon.stop()?;
        restart(&ground, loaded, report).await
    })
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Bytes of the row a create makes in the log; the swarm is there afterwards.
async fn row_size(ground: &Ground) -> anyhow::Result<usize> {
    let daemon = ground.swarm_of_one().await?;
    let mut client = daemon.client("/services").await?;
    client.post("/services/create", &service("first-of-all-0")).await?;
    drop(client);
    daemon.stop()?;
    let (log, _writer) = Log::open(
        std::sync::Arc::new(FileDisk::open(&ground.swarm())?),
        Options::default(),
        |_| (),
    )?;
    let mut newest = 0;
    for batch in log.batches(Position(1)) {
        let batch = batch?;
        let read = skein_events::codec::Batch::read(&batch.bytes)?;
        if matches!(read.entries[0].event, skein_events::event::Event::ServiceCreated(_)) {
            newest = batch.bytes.len() + ROW_HEAD;
        }
    }
    anyhow::ensure!(newest > 0, "the log holds the create");
    Ok(newest)
}

fn service(name: &str) -> String {
    format!(
        r#"{{"Name":"{name}","Mode":{{"Replicated":{{"Replicas":0}}}},"TaskTemplate":{{"ContainerSpec":{{"Image":"bench:1"}}}}}}"#
    )
}

/// So many clients, each with one create under way.
async fn creates(
    daemon: &Daemon<'_>,
    clients: usize,
    round: usize,
    length: Duration,
) -> anyhow::Result<Round> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(daemon.client("/_ping").await?);
    }
    let (begun, before) = (Instant::now(), daemon.processor_time()?);
    let loads = connected.into_iter().enumerate().map(|(n, mut client)| async move {
        let mut spans = Vec::new();
        let mut before = Instant::now();
        while before - begun < length {
            let name = format!("of{clients}-{round}-{n}-{}", spans.len());
            client.post("/services/create", &service(&name)).await?;
            let after = Instant::now();
            spans.push(after - before);
            before = after;
        }
        anyhow::Ok(spans)
    });
    let spans = futures::future::try_join_all(loads).await?;
    let (took, used) = (begun.elapsed(), daemon.processor_time()? - before);
    let mut spans: Vec<Duration> = spans.into_iter().flatten().collect();
    let rate = spans.len() as f64 / took.as_secs_f64();
    let cost = used / u32::try_from(spans.len()).unwrap_or(u32::MAX);
    let middle = median(&mut spans);
    Ok(Round { rate, middle, slow: spans[spans.len() * 99 / 100], cost })
}

async fn idle(daemon: &Daemon<'_>, report: &mut Report) -> anyhow::Result<()> {
    let before = daemon.processor_time()?;
    tokio::time::sleep(IDLE).await;
    let used = daemon.processor_time()? - before;
    let memory = daemon.memory()? as f64 * 1.024e-3;
    let share = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    report.table("An idle daemon in a swarm of one, no containers", "Docker");
    report.figure(
        "memory (Pss)",
        &format!("{memory:.1} MB"),
        "81 MB",
        &format!("{:.2}", memory / 81.0),
        Aim::Held("≤ 20 MB", memory <= 20.0),
    );
    report.figure(
        &format!("of one core, over {} s", IDLE.as_secs()),
        &format!("{share:.2} %"),
        "0.7 %",
        &format!("{:.2}", share / 0.7),
        Aim::Held("≤ 0.2 %", share <= 0.2),
    );
    Ok(())
}

async fn restart(ground: &Ground, loaded: u64, report: &mut Report) -> anyhow::Result<()> {
    let (log, writer) = Log::open(
        std::sync::Arc::new(FileDisk::open(&ground.swarm())?),
        Options::default(),
        |_| (),
    )?;
    let records = log.head().position.0;
    drop((log, writer));
    let size = std::fs::metadata(ground.swarm().join(skein_store::FILE)).context("the log")?.len();
    let begun = Instant::now();
    let daemon = ground.start()?;
    let mut client = daemon.client("/nodes").await?;
    let took = begun.elapsed();
    report.say(&format!(
        "After all that the log has {} records ({} MiB) and the daemon {} MiB. Started again, it answers its first question about the swarm after {:.0} ms.",
        grouped(records as f64),
        size >> 20,
        loaded >> 10,
        millis(took)
    ));
    daemon.leave(&mut client).await
}
