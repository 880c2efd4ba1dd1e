//! Asks a container again and again whether it is well, as its check says, with Docker's rules.
//! Only looks and judges: what follows from it is the task's life.

use std::cell::RefCell;

use skein_events::id::TaskId;
use skein_events::time::Span;
use skein_net::backend::{Probe, Wellness};
use skein_runtime::api::{ExecSession, ExecSpec, Input, Runtime};
use skein_runtime::check::Check;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::findings::Findings;

/// Bytes that are kept of what one check prints; as many as Docker keeps.
const OUTPUT_MAX: usize = 4096;
/// What a check printed last is waited for so long after its end, in case something it left running holds its output.
const DRAIN: Span = Span::millis(100);

/// Answers why, once the container is unwell; says so when a check is passed for the first time. After a restart of the
/// daemon it begins anew, the start period with it.
pub(super) async fn until_unwell(
    runtime: &dyn Runtime,
    findings: &Findings,
    id: TaskId,
    check: &Check,
    well: impl Fn(),
) -> String {
    findings.begin(id);
    let began = Instant::now();
    let mut standing = Standing::default();
    loop {
        let early = || began.elapsed() < check.start_period.as_std();
        let interval =
            if early() && !standing.well { check.start_interval } else { check.interval };
        rest(interval).await;
        let counts = !early();
        let start = findings.now();
        let (outcome, said) = probe(runtime, id, check).await;
        let verdict = standing.after(&outcome, counts, check.retries);
        let wellness = match (&verdict, standing.well) {
            (Verdict::Unwell, _) => Wellness::Unwell,
            (Verdict::Well | Verdict::AsBefore, true) => Wellness::Well,
            (Verdict::Well | Verdict::AsBefore, false) => Wellness::Starting,
        };
        let (exit_code, output) = outcome.told(said);
        let probe = Probe { start, end: findings.now(), exit_code, output };
        findings.add(id, wellness, standing.failures, probe);
        match verdict {
            Verdict::AsBefore => {}
            Verdict::Well => well(),
            Verdict::Unwell => return standing.reason(&outcome),
        }
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
}

impl Outcome {
    /// Exit code and output as Docker shows them.
    fn told(&self, said: Vec<u8>) -> (i32, String) {
        match self {
            Self::Code(code) => (*code, String::from_utf8_lossy(&said).into_owned()),
            Self::TooSlow(timeout) => {
                (-1, format!("Health check exceeded timeout ({:?})", timeout.as_std()))
            }
            Self::NotRun(why) => (-1, why.clone()),
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

/// How a container has done so far.
#[derive(Debug, Default)]
struct Standing {
    /// A check was passed, and it was not unwell since.
    well: bool,
    /// Failures in a row that count.
    failures: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    AsBefore,
    Well,
    Unwell,
}

impl Standing {
    /// Failures in the start period count only once it was well.
    fn after(&mut self, outcome: &Outcome, counts: bool, retries: u64) -> Verdict {
        if *outcome == Outcome::Code(0) {
            self.failures = 0;
            return match std::mem::replace(&mut self.well, true) {
                true => Verdict::AsBefore,
                false => Verdict::Well,
            };
        }
        if counts || self.well {
            self.failures += 1;
        }
        if self.failures >= retries { Verdict::Unwell } else { Verdict::AsBefore }
    }

    fn reason(&self, last: &Outcome) -> String {
        let checks = if self.failures == 1 { "check" } else { "checks in a row" };
        let last = match last {
            Outcome::Code(code) => format!("exit code {code}"),
            Outcome::TooSlow(timeout) => format!("over {:?}", timeout.as_std()),
            Outcome::NotRun(why) => why.clone(),
        };
        format!("{} {checks} failed: {last}", self.failures)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use skein_events::task::container::{ContainerSpec, HealthCheck, HealthTest};
    use skein_events::task::spec::Limits;
    use skein_events::time::Time;
    use skein_runtime::api::Container;
    use skein_runtime::fake::{FakeRuntime, Fate, NEVER_ENDS};
    use skein_runtime::log::Keep;

    use super::*;

    /// When a container with these exit statuses was found well, and when unwell and why; in seconds.
    #[expect(clippy::disallowed_methods, reason = "a fake machine under paused time")]
    async fn judged(codes: &[i32], health: HealthCheck) -> (Option<u64>, u64, String) {
        let fate = Fate { exec_codes: codes.to_vec(), ..Fate::default() };
        let fake = FakeRuntime::new(
            Arc::new(|span| Box::pin(tokio::time::sleep(span.as_std()))),
            Arc::new(|| Time(0)),
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
        fake.start(id).await.unwrap();
        let check = fake.check(id).await.unwrap().unwrap();
        let began = Instant::now();
        let found_well = Cell::new(None);
        let well = || {
            let again = found_well.replace(Some(began.elapsed().as_secs()));
            assert_eq!(again, None, "it is said once");
        };
        let findings = Findings::new(Arc::new(crate::clock::SystemClock::default()));
        let why = until_unwell(&fake, &findings, id, &check, well).await;
        let health = findings.of(id).unwrap();
        assert_eq!(health.wellness, Wellness::Unwell);
        assert!(health.last.len() <= 5 && health.streak >= check.retries);
        (found_well.get(), began.elapsed().as_secs(), why)
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
}
