//! What a task is to run and where it may: the part of a service's spec that each of its tasks carries out.
//! The container itself is in `container`, where it may run in `placement`.

use crate::id::NetworkId;
use crate::name::Name;
use crate::time::Span;
use crate::unit::{Bytes, NanoCpus};

use super::container::ContainerSpec;
use super::placement::Placement;

/// Amounts of a node's resources.
#[derive(
    Clone,
    Copy,
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
pub struct Resources {
    /// Processor time.
    pub cpus: NanoCpus,
    /// Memory.
    pub memory: Bytes,
}

/// What the container may use at most; zero means no limit.
#[derive(
    Clone,
    Copy,
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
pub struct Limits {
    /// Processor time and memory.
    pub resources: Resources,
    /// Processes and threads.
    pub pids: u64,
}

/// When a task that ended is replaced.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Never.
    None,
    /// Only when it failed.
    OnFailure,
    /// Always.
    Any,
}

/// How a task that ended is replaced.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct RestartPolicy {
    /// When.
    pub condition: RestartCondition,
    /// Time between the end of one task and the start of the next.
    pub delay: Span,
    /// How often per slot; zero means without limit.
    pub max_attempts: u64,
    /// Within which time restarts count; zero means always.
    pub window: Span,
}

impl Default for RestartPolicy {
    /// Swarm's: any, after 5 s, for ever.
    fn default() -> Self {
        Self {
            condition: RestartCondition::Any,
            delay: Span::seconds(5),
            max_attempts: 0,
            window: Span(0),
        }
    }
}

/// One network a task joins.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Attachment {
    /// The network.
    pub network: NetworkId,
    /// Further names of the service on that network.
    pub aliases: Vec<Name>,
}

/// What one task runs and needs.
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
pub struct TaskSpec {
    /// The container.
    pub container: ContainerSpec,
    /// What the scheduler keeps free for it.
    pub reservations: Resources,
    /// What the kernel holds it to.
    pub limits: Limits,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// Where it may run.
    pub placement: Placement,
    /// Networks in the order they were given: the first one wins where names clash.
    pub networks: Vec<Attachment>,
    /// Where its output goes; the node's log files when absent.
    pub log_driver: Option<LogDriver>,
    /// Another number makes all tasks anew: Docker's `--force`.
    pub force_update: u64,
}

/// Where output goes.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct LogDriver {
    /// Its name: `json-file`, `none`.
    pub name: String,
    /// Its options, sorted by key.
    pub options: Vec<(String, String)>,
}
