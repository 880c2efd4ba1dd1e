//! What this process counts and times while it works: requests, names answered, flights and their commits.
//! One value for the process, because a counter is written in many places and read in one, `http/metrics.rs`, and decides nothing.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of one series.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Seconds up to which commits and requests are told apart: Docker's, and finer below, because a commit here takes one sync.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Everything that is counted.
pub struct Measures {
    pub(crate) registry: Registry,
    requests: Family<Labels, Counter>,
    request_seconds: Histogram,
    names: Family<Labels, Counter>,
    shed: Family<Labels, Counter>,
    flights: Counter,
    commands: Counter,
    commit_seconds: Histogram,
    scheduling_seconds: Histogram,
}

/// The counters of this process.
pub static MEASURES: LazyLock<Measures> = LazyLock::new(Measures::new);

impl Measures {
    fn new() -> Self {
        let seconds = || Histogram::new(SECONDS);
        let measures = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_seconds: seconds(),
            names: Family::default(),
            shed: Family::default(),
            flights: Counter::default(),
            commands: Counter::default(),
            commit_seconds: seconds(),
            scheduling_seconds: seconds(),
        };
        let mut registry = Registry::default();
        registry.register(
            "skein_http_requests",
            "HTTP requests answered, by method and status",
            measures.requests.clone(),
        );
        registry.register(
            "skein_http_request_duration_seconds",
            "Time from a request's head to its answer's head",
            measures.request_seconds.clone(),
        );
        registry.register(
            "skein_dns_answers",
            "Questions of containers answered, by response code",
            measures.names.clone(),
        );
        registry.register(
            "skein_dns_shed",
            "What containers had more of than their share and lost: questions to the outside, connections",
            measures.shed.clone(),
        );
        registry.register(
            "skein_flights",
            "Groups of commands committed together",
            measures.flights.clone(),
        );
        registry.register("skein_commands", "Commands committed", measures.commands.clone());
        registry.register(
            "skein_commit_seconds",
            "Time from the decision of a flight to its last record in the state",
            measures.commit_seconds.clone(),
        );
        registry.register(
            "swarm_raft_transaction_latency_seconds",
            "The same, by the name Docker's dashboards know",
            measures.commit_seconds.clone(),
        );
        registry.register(
            "swarm_dispatcher_scheduling_delay_seconds",
            "Time from a task's creation to its process running",
            measures.scheduling_seconds.clone(),
        );
        Self { registry, ..measures }
    }

    pub(crate) fn request(&self, method: &str, status: u16, took: Duration) {
        // Methods are the client's words: only those that routes have become a series.
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE"].contains(&method);
        let method = if known { method } else { "other" };
        let labels = vec![("method", method.to_owned()), ("code", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn names(&self, code: &'static str, count: u64) {
        self.names.get_or_create(&vec![("code", code.to_owned())]).inc_by(count);
    }

    /// A container had more than its share.
    pub(crate) fn shed(&self, what: &'static str) {
        self.shed.get_or_create(&vec![("what", what.to_owned())]).inc();
    }

    #[cfg(test)]
    pub(crate) fn answers(&self, code: &'static str) -> u64 {
        self.names.get_or_create(&vec![("code", code.to_owned())]).get()
    }

    /// A flight has landed.
    pub fn flight(&self, commands: usize, took: Duration) {
        self.flights.inc();
        self.commands.inc_by(commands as u64);
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// A task runs.
    pub fn scheduled(&self, after: Duration) {
        self.scheduling_seconds.observe(after.as_secs_f64());
    }
}
