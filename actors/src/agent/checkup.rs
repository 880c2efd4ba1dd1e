//! Asks a container again and again whether it is well, as its check says, with Docker's rules.
//! Only looks and judges: what follows from it is the task's life.

use std::cell::RefCell;

use skein_events::id::TaskId;
use skein_events::time::Span;
use skein_net::backend::{Probe, Wellness};
use skein_runtime::api::{ExecSession, ExecSpec, Input, Runtime};
use skein_runtime::check::{Check, Standing};
use skein_runtime::error::Error;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::findings::Findings;

/// Bytes that are kept of what one check prints; as many as Docker keeps.
const OUTPUT_MAX: usize = 4096;
/// What a check printed last is waited for so long after its end, in case something it left running holds its output.
const DRAIN: Span = Span::millis(100);

/// Answers why, once the container is unwell; says so when it is well, once. A daemon that was started again goes on
/// where the last one was: with the failures so far, and within the same start period.
pub(super) async fn until_unwell(
    runtime: &dyn Runtime,
    findings: &Findings,
    id: TaskId,
    check: &Check,
    well: impl Fn(),
) -> String {
    let (mut standing, age) = taken_up(runtime, id).await;
    let began = Instant::now();
    let spent = standing.failures >= check.retries;
    findings.begin(id, wellness(&standing, spent), standing.failures);
    if spent {
        return reason(&standing);
    }
    if standing.well {
        well();
    }
    loop {
        let early = || age.as_std() + began.elapsed() < check.start_period.as_std();
        let interval =
            if early() && !standing.well { check.start_interval } else { check.interval };
        rest(interval).await;
        let counts = !early();
        let start = findings.now();
        let (outcome, said) = probe(runtime, id, check).await;
        let before = standing.clone();
        judge(&mut standing, &outcome, counts);
        let spent = standing.failures >= check.retries;
        if standing != before {
            note(runtime, id, &standing).await;
        }
        let (exit_code, output) = outcome.told(said);
        let probe = Probe { start, end: findings.now(), exit_code, output };
        findings.add(id, wellness(&standing, spent), standing.failures, probe);
        if spent {
            return reason(&standing);
        }
        if standing.well && !before.well {
            well();
        }
    }
}

/// How it did so far, and how long ago it was started.
async fn taken_up(runtime: &dyn Runtime, id: TaskId) -> (Standing, Span) {
    match runtime.standing(id).await {
        Ok(Some(noted)) => noted,
        // Started by a daemon that took no notes.
        Ok(None) => {
            note(runtime, id, &Standing::default()).await;
            (Standing::default(), Span(0))
        }
        Err(error) => {
            tracing::warn!(task = %id, %error, "its checks begin anew");
            (Standing::default(), Span(0))
        }
    }
}

/// Notes how it does. One that cannot be noted, on a full disk, is checked all the same.
pub(super) async fn note(runtime: &dyn Runtime, id: TaskId, standing: &Standing) {
    if let Err(error) = runtime.note_standing(id, standing.clone()).await {
        tracing::warn!(task = %id, %error, "its next daemon would not know");
    }
}

async fn rest(span: Span) {
    #[expect(clippy::disallowed_methods, reason = "the machine, not the swarm, is waited for")]
    tokio::time::sleep(span.as_std()).await;
}

/// What one check came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Code(i32),
    TooSlow(Span),
    NotRun(String),
    /// It could not be asked, for want of something of this machine's: that says nothing of the container.
    NotAsked(String),
}

impl Outcome {
    fn in_short(&self) -> String {
        match self {
            Self::Code(code) => format!("exit code {code}"),
            Self::TooSlow(timeout) => format!("over {:?}", timeout.as_std()),
            Self::NotRun(why) | Self::NotAsked(why) => why.clone(),
        }
    }

    /// Exit code and output as Docker shows them.
    fn told(&self, said: Vec<u8>) -> (i32, String) {
        match self {
            Self::Code(code) => (*code, String::from_utf8_lossy(&said).into_owned()),
            Self::TooSlow(timeout) => {
                (-1, format!("Health check exceeded timeout ({:?})", timeout.as_std()))
            }
            Self::NotRun(why) | Self::NotAsked(why) => (-1, why.clone()),
        }
    }
}

/// What one check came to, and what it printed of both kinds, in the order it was read.
async fn probe(runtime: &dyn Runtime, id: TaskId, check: &Check) -> (Outcome, Vec<u8>) {
    // Tied: whoever stops waiting, this function or the daemon, leaves no process behind.
    let exec = ExecSpec { args: check.args.clone(), tied: true, ..ExecSpec::default() };
    let said = RefCell::new(Vec::new());
    let run = async {
        let ExecSession { pid: _, stdin: _, stdout, stderr, exit, resize: _ } =
            runtime.exec(id, exec).await?;
        tokio::pin!(exit);
        // All it says is taken from it, so that it can go on. What it leaves running is not waited for.
        let all = async { tokio::join!(hear(stdout, &said), hear(stderr, &said)) };
        tokio::pin!(all);
        tokio::select! {
            code = &mut exit => {
                let _ = tokio::time::timeout(DRAIN.as_std(), all).await;
                code
            }
            _ = &mut all => exit.await,
        }
    };
    let outcome = match tokio::time::timeout(check.timeout.as_std(), run).await {
        Ok(Ok(code)) => Outcome::Code(code),
        // Our own descriptors, memory or disk; what the container does with its process comes as another error.
        Ok(Err(error @ Error::Io { .. })) => Outcome::NotAsked(error.to_string()),
        Ok(Err(error)) => Outcome::NotRun(error.to_string()),
        Err(_) => Outcome::TooSlow(check.timeout),
    };
    (outcome, said.into_inner())
}

/// Reads an output to its end and keeps the beginning; one that breaks says no more.
async fn hear(mut output: Input, said: &RefCell<Vec<u8>>) {
    let mut piece = vec![0; 1024];
    while let Ok(count @ 1..) = output.read(&mut piece).await {
        let mut said = said.borrow_mut();
        let room = OUTPUT_MAX - said.len();
        said.extend_from_slice(&piece[..count.min(room)]);
    }
}

/// Failures in the start period count only once it was well.
fn judge(standing: &mut Standing, outcome: &Outcome, counts: bool) {
    if *outcome == Outcome::Code(0) {
        *standing = Standing { well: true, ..Standing::default() };
    } else if matches!(outcome, Outcome::NotAsked(_)) {
        tracing::warn!(
            why = outcome.in_short(),
            "a container could not be asked whether it is well"
        );
    } else if counts || standing.well {
        standing.failures += 1;
        standing.last = outcome.in_short();
    }
}

fn wellness(standing: &Standing, spent: bool) -> Wellness {
    match (spent, standing.well) {
        (true, _) => Wellness::Unwell,
        (false, true) => Wellness::Well,
        (false, false) => Wellness::Starting,
    }
}

fn reason(standing: &Standing) -> String {
    let checks = if standing.failures == 1 { "check" } else { "checks in a row" };
    format!("{} {checks} failed: {}", standing.failures, standing.last)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use skein_events::task::container::{ContainerSpec, HealthCheck, HealthTest};
    use skein_events::task::spec::Limits;
    use skein_events::time::Time;
    use skein_net::backend::Health;
    use skein_runtime::api::Container;
    use skein_runtime::fake::{FakeRuntime, Fate, NEVER_ENDS};
    use skein_runtime::log::Keep;

    use super::*;

    /// A started container whose checks have these exit statuses.
    #[expect(clippy::disallowed_methods, reason = "a fake machine under paused time")]
    async fn started(codes: &[i32], health: HealthCheck) -> (FakeRuntime, TaskId, Check) {
        let fate = Fate { exec_codes: codes.to_vec(), ..Fate::default() };
        let began = Instant::now();
        let fake = FakeRuntime::new(
            Arc::new(|span| Box::pin(tokio::time::sleep(span.as_std()))),
            Arc::new(move || Time(u64::try_from(began.elapsed().as_nanos()).unwrap())),
            Arc::new(move |_| fate.clone()),
        );
        fake.add_image("busybox");
        let id = TaskId::from_random([1; 16]);
        let spec =
            ContainerSpec { image: "busybox".to_owned(), health, ..ContainerSpec::default() };
        let container = Container {
            id,
            name: "web.1".to_owned(),
            spec,
            limits: Limits::default(),
            env: vec![],
            netns: "/nowhere".into(),
            hosts: String::new(),
            resolv_conf: String::new(),
            hostname: String::new(),
            labels: BTreeMap::new(),
            keep: Keep::default(),
        };
        fake.create(container).await.unwrap();
        let check = fake.check(id).await.unwrap().unwrap();
        note(&fake, id, &Standing::default()).await;
        fake.start(id).await.unwrap();
        (fake, id, check)
    }

    fn findings() -> Findings {
        Findings::new(Arc::new(crate::clock::SystemClock::default()))
    }

    /// When a container with these exit statuses was found well, and when unwell and why; in seconds.
    async fn judged(codes: &[i32], health: HealthCheck) -> (Option<u64>, u64, String) {
        let (fake, id, check) = started(codes, health).await;
        let began = Instant::now();
        let found_well = Cell::new(None);
        let well = || {
            let again = found_well.replace(Some(began.elapsed().as_secs()));
            assert_eq!(again, None, "it is said once");
        };
        let findings = findings();
        let why = until_unwell(&fake, &findings, id, &check, well).await;
        let health = findings.of(id).unwrap();
        assert_eq!(health.wellness, Wellness::Unwell);
        assert!(health.last.len() <= 5 && health.streak >= check.retries);
        (found_well.get(), began.elapsed().as_secs(), why)
    }

    /// The daemon's next life, for so long; why the container is unwell, if it is found so.
    async fn next_life(
        (fake, id, check): &(FakeRuntime, TaskId, Check),
        lasts: Span,
    ) -> (Health, bool, Option<String>) {
        let (findings, well) = (findings(), Cell::new(false));
        let run = until_unwell(fake, &findings, *id, check, || well.set(true));
        let why = tokio::time::timeout(lasts.as_std(), run).await.ok();
        (findings.of(*id).unwrap(), well.get(), why)
    }

    fn health() -> HealthCheck {
        HealthCheck {
            test: HealthTest::Command(vec!["probe".to_owned()]),
            interval: Span::seconds(10),
            timeout: Span::seconds(4),
            ..HealthCheck::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_are_unwell() {
        let (well, unwell, why) = judged(&[1, 1, 0, 1, 1, 0, 1, 1, 2], health()).await;
        assert_eq!((well, unwell), (Some(30), 90));
        assert_eq!(why, "3 checks in a row failed: exit code 2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_takes_too_long_failed() {
        let health = HealthCheck { retries: 1, ..health() };
        let (well, unwell, why) = judged(&[NEVER_ENDS], health).await;
        assert_eq!((well, unwell, why.as_str()), (None, 14, "1 check failed: over 4s"));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_the_start_period_do_not_count() {
        let health = HealthCheck {
            retries: 1,
            start_period: Span::seconds(25),
            start_interval: Span::seconds(2),
            ..health()
        };
        // 2, 4, … 24, then at 26, which counts: it never was well.
        let (well, unwell, _) = judged(&[1; 99], health.clone()).await;
        assert_eq!((well, unwell), (None, 26));
        // Well at 4: from then on every failure counts, and the usual interval holds.
        let (well, unwell, _) = judged(&[1, 0, 1], health).await;
        assert_eq!((well, unwell), (Some(4), 14));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_daemon_goes_on_with_the_failures_so_far() {
        let checked = started(&[0, 1, 1, 7], health()).await;
        let (_, well, why) = next_life(&checked, Span::seconds(15)).await;
        assert_eq!((well, why), (true, None));
        let (seen, well, why) = next_life(&checked, Span::seconds(25)).await;
        assert_eq!((well, why), (true, None), "it is said again: nobody may have heard it");
        assert_eq!((seen.wellness, seen.streak), (Wellness::Well, 2));
        let (seen, _, why) = next_life(&checked, Span::seconds(15)).await;
        let told = "3 checks in a row failed: exit code 7";
        assert_eq!((seen.wellness, why.as_deref()), (Wellness::Unwell, Some(told)));
        // It was found unwell and not yet stopped: nothing makes it well again.
        let (seen, well, why) = next_life(&checked, Span::seconds(1)).await;
        assert_eq!((seen.wellness, well, why.as_deref()), (Wellness::Unwell, false, Some(told)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_daemon_does_not_begin_the_start_period_anew() {
        let health = HealthCheck { retries: 1, start_period: Span::seconds(25), ..health() };
        let checked = started(&[1; 99], health).await;
        let (_, _, why) = next_life(&checked, Span::seconds(16)).await;
        assert_eq!(why, None);
        rest(Span::seconds(8)).await;
        let (seen, _, why) = next_life(&checked, Span::seconds(6)).await;
        assert!(why.is_some(), "25 s are over: {seen:?}");
    }
}
