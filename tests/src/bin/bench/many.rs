//! Five thousand services without tasks: listing them, starting again with them, what they weigh, and whether that comes back.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::client::Client;
use crate::daemon::{Daemon, Ground};
use crate::report::{Aim, Report, grouped};

const SERVICES: usize = 5_000;
/// Clients that make and remove them.
const CLIENTS: usize = 32;
/// Memory is looked at after so long without a request: more than two turns of the daemon's giving back.
const SETTLE: Duration = Duration::from_secs(11);

pub(crate) fn measure(skein: &Path, length: Duration, report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::new(skein)?;
        let daemon = ground.swarm_of_one().await?;
        let mut client = daemon.client("/services").await?;
        // The first ones also make what every later one uses.
        all(&daemon, CLIENTS, Change::Create).await?;
        all(&daemon, CLIENTS, Change::Remove).await?;
        let empty = settled(&daemon).await?;
        all(&daemon, SERVICES, Change::Create).await?;
        let full = settled(&daemon).await?;
        let lists = lists(&mut client, length).await?;
        drop(client);
        daemon.stop()?;
        let (daemon, first) = first_write(&ground).await?;
        let mut client = daemon.client("/services").await?;
        all(&daemon, SERVICES, Change::Remove).await?;
        let after = settled(&daemon).await?;
        daemon.leave(&mut client).await?;
        figures(report, lists, first, (empty, full, after));
        anyhow::Ok(())
    })
}

fn figures(
    report: &mut Report,
    lists: f64,
    first: Duration,
    (empty, full, after): (u64, u64, u64),
) {
    let each = full.saturating_sub(empty) as f64 * 1.024 / SERVICES as f64;
    report.table("5,000 services without tasks", "Docker");
    report.figure(
        "lists of all of them a second",
        &format!("{lists:.0}"),
        "",
        "",
        Aim::Held("≥ 300", lists >= 300.0),
    );
    report.figure(
        "from the start of the daemon until a write is acknowledged",
        &format!("{:.2} s", first.as_secs_f64()),
        "1.9 s",
        "",
        Aim::Held("≤ 0.5 s", first <= Duration::from_millis(500)),
    );
    report.figure(
        "memory of one (anonymous)",
        &format!(
            "{each:.2} kB ({} KiB with none, {} KiB with all)",
            grouped(empty as f64),
            grouped(full as f64)
        ),
        "",
        "",
        Aim::Held("≤ 5 kB", each <= 5.0),
    );
    let kept = after.saturating_sub(empty) as f64 / full.saturating_sub(empty).max(1) as f64;
    report.figure(
        "kept of that memory after all were removed",
        &format!(
            "{:.0} % ({} KiB; the daemon had been started again in between)",
            kept * 100.0,
            grouped(after as f64)
        ),
        "",
        "",
        Aim::Held("≤ 25 %", kept <= 0.25),
    );
}

#[derive(Clone, Copy)]
enum Change {
    Create,
    Remove,
}

/// Makes or removes so many services.
async fn all(daemon: &Daemon<'_>, count: usize, change: Change) -> anyhow::Result<()> {
    let mut loads = Vec::new();
    for first in 0..CLIENTS {
        let mut client = daemon.client("/_ping").await?;
        loads.push(async move {
            for n in (first..count).step_by(CLIENTS) {
                match change {
                    Change::Create => client.post("/services/create", &service(n)).await?,
                    Change::Remove => {
                        client
                            .ask("DELETE", &format!("/services/of-many-{n}"), "")
                            .await
                            .map(drop)?;
                    }
                }
            }
            anyhow::Ok(())
        });
    }
    futures::future::try_join_all(loads).await.map(drop)
}

fn service(n: usize) -> String {
    format!(
        r#"{{"Name":"of-many-{n}","Mode":{{"Replicated":{{"Replicas":0}}}},"TaskTemplate":{{"ContainerSpec":{{"Image":"bench:1"}}}}}}"#
    )
}

async fn settled(daemon: &Daemon<'_>) -> anyhow::Result<u64> {
    tokio::time::sleep(SETTLE).await;
    daemon.anonymous_memory()
}

async fn lists(client: &mut Client, length: Duration) -> anyhow::Result<f64> {
    let found = client.ask("GET", "/services", "").await?;
    let count = found.as_array().context("a list")?.len();
    anyhow::ensure!(count == SERVICES, "{count} services are listed");
    let begun = Instant::now();
    let mut lists = 0.0;
    while begun.elapsed() < length {
        client.get("/services").await?;
        lists += 1.0;
    }
    Ok(lists / begun.elapsed().as_secs_f64())
}

/// Starts the daemon again and makes one more service as soon as that is accepted.
async fn first_write(ground: &Ground) -> anyhow::Result<(Daemon<'_>, Duration)> {
    let begun = Instant::now();
    let daemon = ground.start()?;
    let mut client = daemon.client("/_ping").await?;
    while client.post("/services/create", &service(SERVICES)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = begun.elapsed();
    client.ask("DELETE", &format!("/services/of-many-{SERVICES}"), "").await?;
    Ok((daemon, took))
}
