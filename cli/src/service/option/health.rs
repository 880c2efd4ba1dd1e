//! Options of how it is found out whether a task is healthy.

use bollard_stubs::models::HealthConfig;

use crate::parse;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Health {
    /// Command, run by a shell in the container, that says whether the task is healthy
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between two checks
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    health_interval: Option<i64>,
    /// Checks that have to fail in a row
    #[arg(long, value_name = "N")]
    health_retries: Option<u32>,
    /// Time a check may take
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    health_timeout: Option<i64>,
    /// Time after the start in which failed checks do not count
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    health_start_period: Option<i64>,
    /// Time between two checks in that period
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    health_start_interval: Option<i64>,
    /// Make no checks, not even those of the image
    #[arg(long, conflicts_with_all = ["health_cmd", "health_interval", "health_retries", "health_timeout", "health_start_period", "health_start_interval"])]
    no_healthcheck: bool,
}

impl Health {
    /// Changes what was said.
    pub(in crate::service) fn put_into(self, health: &mut Option<HealthConfig>) {
        let Self {
            health_cmd,
            health_interval,
            health_retries,
            health_timeout,
            health_start_period,
            health_start_interval,
            no_healthcheck,
        } = self;
        if no_healthcheck {
            *health = Some(HealthConfig { test: none(), ..HealthConfig::default() });
            return;
        }
        let said = HealthConfig {
            // An empty command goes back to the image's.
            test: health_cmd
                .map(|c| if c.is_empty() { vec![] } else { vec!["CMD-SHELL".to_owned(), c] }),
            interval: health_interval,
            timeout: health_timeout,
            retries: health_retries.map(i64::from),
            start_period: health_start_period,
            start_interval: health_start_interval,
        };
        if said == HealthConfig::default() {
            return;
        }
        let now = health.take().unwrap_or_default();
        *health = Some(HealthConfig {
            test: said.test.or_else(|| now.test.filter(|test| Some(test) != none().as_ref())),
            interval: said.interval.or(now.interval),
            timeout: said.timeout.or(now.timeout),
            retries: said.retries.or(now.retries),
            start_period: said.start_period.or(now.start_period),
            start_interval: said.start_interval.or(now.start_interval),
        });
    }
}

fn none() -> Option<Vec<String>> {
    Some(vec!["NONE".to_owned()])
}
