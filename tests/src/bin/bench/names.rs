//! Answers of the resolver inside a container, for a name with ten tasks behind it. Asking costs processor time too, on the
//! same two cores.

use std::path::Path;
use std::time::Duration;

use crate::asker::Asker;
use crate::client::Client;
use crate::daemon::Ground;
use crate::report::{Aim, Report, grouped};
use crate::tasks;

const TASKS: u64 = 10;
/// Containers that ask at the same time.
const ASKERS: usize = 2;
const ROUNDS: usize = 3;

pub(crate) fn measure(skein: &Path, length: Duration, report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::new(skein)?;
        let (daemon, mut client) = tasks::prepare(&ground).await?;
        let outcome = answers(&mut client, length).await;
        let used = daemon.processor_time()?;
        tasks::remove_all(&mut client).await?;
        let (rate, counted) = outcome?;
        report.table("Names", "Docker");
        report.figure(
            "answers a second for a name with 10 tasks, 2 containers asking",
            &format!(
                "{} ({:.1} µs of the daemon's processor time each)",
                grouped(rate),
                used.as_secs_f64() * 1e6 / counted
            ),
            "64,000",
            &format!("{:.2}", rate / 64_000.0),
            Aim::Held("≥ 120,000", rate >= 120_000.0),
        );
        daemon.leave(&mut client).await
    })
}

/// The middle rate, and how many answers there were in all.
async fn answers(client: &mut Client, length: Duration) -> anyhow::Result<(f64, f64)> {
    client.post("/services/create", &tasks::service("ten", TASKS, Duration::ZERO)).await?;
    tasks::until_running(client, TASKS).await?;
    let found = client.ask("GET", "/tasks", "").await?;
    let pids = tasks::running(&found);
    let askers: Vec<Asker> =
        pids.iter().take(ASKERS).map(|pid| Asker::inside(*pid)).collect::<Result<_, _>>()?;
    let (mut rates, mut all) = (Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        let good: u64 = std::thread::scope(|scope| {
            let hammering: Vec<_> = askers
                .iter()
                .map(|asker| {
                    scope.spawn(|| {
                        asker.until_known("ten")?;
                        asker.hammer("ten", u16::try_from(TASKS)?, length)
                    })
                })
                .collect();
            let counts = hammering.into_iter().map(|h| h.join().expect("it does not panic"));
            counts.sum::<anyhow::Result<u64>>()
        })?;
        all += good as f64;
        rates.push(good as f64 / length.as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok((rates[ROUNDS / 2], all))
}
