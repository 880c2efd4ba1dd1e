//! One container of a task: an image, and what differs from the image's own configuration.
//! Values of environment variables are not here: they may have to be forgotten, so they sit in the record's detachable part.

use crate::time::Span;

use super::mount::Mount;

/// One container, as an image and what differs from the image's own configuration.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct ContainerSpec {
    /// Image reference as the user wrote it, e.g. `busybox:latest`.
    pub image: String,
    /// Replaces the image's entrypoint when not empty.
    pub command: Vec<String>,
    /// Replaces the image's command when not empty.
    pub args: Vec<String>,
    /// Working directory; the image's when absent.
    pub dir: Option<String>,
    /// `user[:group]`, names or numbers; the image's when absent.
    pub user: Option<String>,
    /// Further groups of the process, names or numbers.
    pub groups: Vec<String>,
    /// Host name inside; the container id's first 12 characters when absent.
    pub hostname: Option<String>,
    /// Further lines of `/etc/hosts`, each an address and its names.
    pub hosts: Vec<String>,
    /// Who is asked for names the swarm does not know.
    pub dns: Dns,
    /// Container labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Signal that asks the process to end, e.g. `SIGTERM`; the image's or SIGTERM when absent.
    pub stop_signal: Option<String>,
    /// How long the process may take to end before SIGKILL.
    pub stop_grace: Span,
    /// What is mounted besides the image.
    pub mounts: Vec<Mount>,
    /// The image's own files cannot be written.
    pub read_only: bool,
    /// The process gets a terminal.
    pub tty: bool,
    /// Its standard input stays open.
    pub open_stdin: bool,
    /// A small process comes first that reaps what others leave; the node's choice (none) when absent.
    pub init: Option<bool>,
    /// How it is found to be well.
    pub health: HealthCheck,
    /// Capabilities beside the usual ones, `CAP_…` or `ALL`.
    pub cap_add: Vec<String>,
    /// Usual capabilities it does not get, `CAP_…` or `ALL`.
    pub cap_drop: Vec<String>,
    /// Limits of its processes.
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of its namespaces, sorted by name.
    pub sysctls: Vec<(String, String)>,
    /// How readily the kernel ends it when memory is short: -1000 to 1000.
    pub oom_score_adj: i32,
}

/// Who is asked for names the swarm does not know; empty lists mean what the node asks.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Dns {
    /// Addresses of name servers.
    pub nameservers: Vec<String>,
    /// Domains tried for short names.
    pub search: Vec<String>,
    /// Options of the resolver, as in resolv.conf(5).
    pub options: Vec<String>,
}

/// How a container is found to be well. A zero means the image's value, or else Docker's.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct HealthCheck {
    /// What is run.
    pub test: HealthTest,
    /// Time between two runs.
    pub interval: Span,
    /// How long a run may take.
    pub timeout: Span,
    /// Failures in a row until it is not well.
    pub retries: u64,
    /// Failures this soon after its start do not count.
    pub start_period: Span,
    /// Time between two runs meanwhile.
    pub start_interval: Span,
}

/// What is run to find out whether a container is well.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum HealthTest {
    /// What the image says.
    #[default]
    Inherit,
    /// Nothing, whatever the image says.
    None,
    /// A program and its arguments.
    Command(Vec<String>),
    /// A line for the container's shell.
    Shell(String),
}

/// A limit of processes, as in setrlimit(2).
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Ulimit {
    /// Its name in small letters, without `RLIMIT_`: `nofile`.
    pub name: String,
    /// What holds; -1 means without limit.
    pub soft: i64,
    /// How far the process may raise it; -1 means without limit.
    pub hard: i64,
}
