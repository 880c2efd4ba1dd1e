//! Asks a container again and again whether it is well, as its check says, with Docker's rules.
//! Only looks and judges: what follows from it is the task's life.

use skein_events::id::TaskId;
use skein_events::time::Span;
use skein_runtime::api::{ExecSession, ExecSpec, Input, Runtime};
use skein_runtime::check::Check;
use tokio::time::Instant;

/// Answers why, once the container is unwell; says so when a check is passed for the first time. After a restart of the
/// daemon it begins anew, the start period with it.
pub(super) async fn until_unwell(
    runtime: &dyn Runtime,
    id: TaskId,
    check: &Check,
    well: impl Fn(),
) -> String {
    let began = Instant::now();
    let mut standing = Standing::default();
    loop {
        let early = || began.elapsed() < check.start_period.as_std();
        let interval =
            if early() && !standing.well { check.start_interval } else { check.interval };
        rest(interval).await;
        let counts = !early();
        let outcome = probe(runtime, id, check).await;
        match standing.after(&outcome, counts, check.retries) {
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

async fn probe(runtime: &dyn Runtime, id: TaskId, check: &Check) -> Outcome {
    // Tied: whoever stops waiting, this function or the daemon, leaves no process behind.
    let exec = ExecSpec { args: check.args.clone(), tied: true, ..ExecSpec::default() };
    let run = async {
        let ExecSession { pid: _, stdin: _, stdout, stderr, exit, resize: _ } =
            runtime.exec(id, exec).await?;
        tokio::pin!(exit);
        // What it says is taken from it, so that it can go on, and kept nowhere: it may hold secrets, and a task's status
        // stays for ever. What it leaves running is not waited for.
        let said = async { tokio::join!(swallow(stdout), swallow(stderr)) };
        tokio::select! {
            code = &mut exit => code,
            _ = said => exit.await,
        }
    };
    match tokio::time::timeout(check.timeout.as_std(), run).await {
        Ok(Ok(code)) => Outcome::Code(code),
        Ok(Err(error)) => Outcome::NotRun(error.to_string()),
        Err(_) => Outcome::TooSlow(check.timeout),
    }
}

async fn swallow(mut output: Input) {
    // An output that breaks says no more.
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
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
        let why = until_unwell(&fake, id, &check, well).await;
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
