//! The start of a real container on an overlay network: from the create request until its service's name resolves inside
//! another container of that network. The limit is what cannot be left out: a process in new namespaces, and the durable
//! commits that follow each other (the service, its task, the task's place, its running).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use skein_events::codec::Batch;
use skein_events::event::Event;
use skein_events::record::Position;
use skein_events::task::TaskState;
use skein_store::{FileDisk, Log, Options};

use crate::asker::Asker;
use crate::client::Client;
use crate::daemon::Ground;
use crate::disk;
use crate::median;
use crate::report::{Aim, Report};
use crate::tasks;

/// Durable commits one after another until a name resolves.
const COMMITS: u32 = 4;
/// Bytes of a row of the limit's commits.
const ROW: usize = 400;
/// How long commits are tried before each start.
const COMMITTING: Duration = Duration::from_millis(100);

pub(crate) fn measure(skein: &Path, starts: usize, report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::new(skein)?;
        let (daemon, mut client) = tasks::prepare(&ground).await?;
        let outcome = starts_of(&ground, &mut client, starts, report).await;
        tasks::remove_all(&mut client).await?;
        outcome?;
        daemon.stop()?;
        explain(&ground, report)?;
        let daemon = ground.start()?;
        let mut client = daemon.client("/nodes").await?;
        daemon.leave(&mut client).await
    })
}

async fn starts_of(
    ground: &Ground,
    client: &mut Client,
    starts: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    client.post("/services/create", &service("asker")).await?;
    let found = tasks::until(client, "/tasks", |tasks| tasks::pid(&tasks[0]).is_some()).await?;
    let asker = Asker::inside(tasks::pid(&found[0]).context("the asker runs")?)?;
    let (mut spans, mut bare) = (Vec::new(), Vec::new());
    for n in 0..starts {
        let commit = 1.0 / disk::bare(ground, ROW, 1, COMMITTING)?;
        bare.push(bare_start()? + Duration::from_secs_f64(commit) * COMMITS);
        let name = format!("started-{n}");
        let body = service(&name);
        let begun = Instant::now();
        client.post("/services/create", &body).await?;
        let acknowledged = begun.elapsed();
        asker.until_known(&name)?;
        spans.push((begun.elapsed(), acknowledged));
        client.ask("DELETE", &format!("/services/{name}"), "").await?;
    }
    let limit = median(&mut bare);
    let mut acknowledged: Vec<Duration> = spans.iter().map(|(_, a)| *a).collect();
    let mut whole: Vec<Duration> = spans.into_iter().map(|(w, _)| w).collect();
    let middle = median(&mut whole);
    let slow = whole[whole.len() * 9 / 10];
    let shown = |span: Duration| format!("{:.1} ms", span.as_secs_f64() * 1e3);
    report.table(
        "Start of one container on an overlay, from the create request to its name resolving in another container",
        "unshare(1) running busybox in new namespaces, and four bare commits",
    );
    report.figure(
        &format!("median of {starts}"),
        &format!("{} (9 of 10 within {})", shown(middle), shown(slow)),
        &shown(limit),
        &format!("{:.1}", middle.as_secs_f64() / limit.as_secs_f64()),
        Aim::Held("≤ 60 ms", middle <= Duration::from_millis(60)),
    );
    report.figure(
        "of it, until the create was acknowledged",
        &shown(median(&mut acknowledged)),
        "",
        "",
        Aim::None,
    );
    Ok(())
}

fn service(name: &str) -> String {
    tasks::service(name, 1, Duration::ZERO)
}

/// Says where the time went, as the log knows it: when each step was decided, after the service was.
fn explain(ground: &Ground, report: &mut Report) -> anyhow::Result<()> {
    let disk = Arc::new(FileDisk::open(&ground.swarm())?);
    let (log, _writer) = Log::open(disk, Options::default(), |_| ())?;
    let mut begun = BTreeMap::new();
    let mut services = BTreeMap::new();
    let mut steps: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for stored in log.batches(Position(1)) {
        let batch = Batch::read(&stored?.bytes)?;
        let at = batch.envelope.at;
        for entry in &batch.entries {
            let (step, task) = if let Event::ServiceCreated(created) = &entry.event {
                begun.insert(created.id, at);
                continue;
            } else if let Event::TaskCreated(created) = &entry.event {
                services.insert(created.id, created.service);
                ("1 task made", created.id)
            } else if let Event::TaskAssigned(assigned) = &entry.event {
                ("2 placed", assigned.id)
            } else if let Event::TaskStatusChanged(changed) = &entry.event {
                match changed.status.state {
                    TaskState::Accepted => ("3 taken by its node", changed.id),
                    TaskState::Preparing => ("4 being prepared", changed.id),
                    TaskState::Running => ("5 running", changed.id),
                    TaskState::Pending
                    | TaskState::Assigned
                    | TaskState::Ready
                    | TaskState::Starting
                    | TaskState::Complete
                    | TaskState::Shutdown
                    | TaskState::Failed
                    | TaskState::Rejected
                    | TaskState::Remove
                    | TaskState::Orphaned => continue,
                }
            } else {
                continue;
            };
            let since = services.get(&task).and_then(|service| begun.get(service));
            let span = at.since(*since.context("a task has a service")?);
            steps.entry(step).or_default().push(span.as_std());
        }
    }
    let told = steps.iter_mut().map(|(step, spans)| {
        format!("{} after {:.1} ms", &step[2..], median(spans).as_secs_f64() * 1e3)
    });
    report.say(&format!(
        "Decided, in the middle and counted from the decision on the service: {}.",
        told.collect::<Vec<_>>().join(", ")
    ));
    Ok(())
}

/// A process in new namespaces, without an image, a network or a name.
fn bare_start() -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let status = Command::new("unshare")
        .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "busybox", "true"])
        .stdin(Stdio::null())
        .status()
        .context("unshare")?;
    anyhow::ensure!(status.success(), "unshare runs busybox");
    Ok(begun.elapsed())
}
