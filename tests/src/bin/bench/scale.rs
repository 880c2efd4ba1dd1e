//! Many tasks of one service on an overlay: how long until they run, what they cost, how long until nothing of them is left;
//! and how soon a killed one runs again. The figures beside them are Docker Swarm's on a machine of two cores.

use std::time::{Duration, Instant};

use anyhow::bail;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;

use crate::client::Client;
use crate::daemon::{Daemon, Ground};
use crate::machine::{self, Machine};
use crate::median;
use crate::report::{Aim, Report};
use crate::tasks;

/// From none to these, one after another.
const STEPS: [u64; 4] = [1, 20, 50, 100];
const GRACE: Duration = Duration::from_secs(1);
/// Tasks killed, one after another.
const KILLS: usize = 15;
/// How long a hundred tasks are left alone before they are weighed.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn measure(skein: &Path, report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::new(skein)?;
        let (daemon, mut client) = tasks::prepare(&ground).await?;
        report.table("Tasks of one service on an overlay, SIGTERM ignored, grace 1 s", "Docker");
        let outcome = tasks_of(&daemon, &mut client, report).await;
        tasks::remove_all(&mut client).await?;
        outcome?;
        daemon.leave(&mut client).await
    })
}

async fn tasks_of(
    daemon: &Daemon<'_>,
    client: &mut Client,
    report: &mut Report,
) -> anyhow::Result<()> {
    let before = Machine::look(daemon)?;
    let used = machine::processor_time(daemon)?;
    let mut steps = Vec::new();
    for (n, count) in STEPS.into_iter().enumerate() {
        let begun = Instant::now();
        if n == 0 {
            client.post("/services/create", &tasks::service("many", count, GRACE)).await?;
        } else {
            tasks::scale(client, "many", count, GRACE).await?;
        }
        tasks::until_running(client, count).await?;
        steps.push(begun.elapsed());
    }
    let up: Duration = steps.iter().sum();
    let last = STEPS[STEPS.len() - 1];
    let used = (machine::processor_time(daemon)? - used) / u32::try_from(last)?;
    tokio::time::sleep(SETTLE).await;
    let memory = machine::memory(daemon)? as f64 / 1024.0;
    let own = daemon.memory()? as f64 / 1024.0;
    let begun = Instant::now();
    tasks::scale(client, "many", 0, GRACE).await?;
    while !Machine::look(daemon)?.is_back_at(&before) {
        if begun.elapsed() > tasks::PATIENCE {
            bail!("something is left: {:?}, before {before:?}", Machine::look(daemon)?);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let down = begun.elapsed();
    let again = killed(client).await?;

    let seconds = |span: Duration| format!("{:.2} s", span.as_secs_f64());
    let mut line = |what: &str, measured: String, docker: &str, aim, held| {
        report.figure(what, &measured, docker, "", Aim::Held(aim, held));
    };
    let each: Vec<String> = steps.iter().map(|s| format!("{:.2}", s.as_secs_f64())).collect();
    line(
        "0 → 1 → 20 → 50 → 100 running, in sum",
        format!("{} ({})", seconds(up), each.join(" + ")),
        "15.9 s",
        "≤ 4 s",
        up <= Duration::from_secs(4),
    );
    line(
        "100 → 0: no process, mount, link, control group, namespace",
        seconds(down),
        "15.7 s",
        "≤ 4 s",
        down <= Duration::from_secs(4),
    );
    line(
        "processor time to start one, daemon and shim and container",
        format!("{:.3} s", used.as_secs_f64()),
        "0.2 s",
        "≤ 0.05 s",
        used <= Duration::from_millis(50),
    );
    line(
        "memory of 100 idle tasks, daemon and shims and containers (Pss)",
        format!("{memory:.1} MiB, {own:.1} of it the daemon's"),
        "430 MB",
        "≤ 110 MB",
        memory * 1.048_576 <= 110.0,
    );
    line(
        &format!("a killed task runs again, restart delay 0, median of {KILLS}"),
        format!("{:.3} s", again.as_secs_f64()),
        "0.65 s",
        "≤ 0.1 s",
        again <= Duration::from_millis(100),
    );
    Ok(())
}

/// From the end of a task's process until the next one runs.
async fn killed(client: &mut Client) -> anyhow::Result<Duration> {
    tasks::scale(client, "many", 1, GRACE).await?;
    let mut spans = Vec::new();
    for _ in 0..KILLS {
        let found = tasks::until(client, "/tasks", |t| tasks::running(t).len() == 1).await?;
        let victim = tasks::running(&found)[0];
        let begun = Instant::now();
        kill(Pid::from_raw(victim), Signal::SIGKILL)?;
        tasks::until(client, "/tasks", |t| tasks::running(t).iter().any(|pid| *pid != victim))
            .await?;
        spans.push(begun.elapsed());
    }
    Ok(median(&mut spans))
}
