//! What a task is to run and where it may: the part of a service's spec that each of its tasks carries out.
//! Values of environment variables are not here: they may have to be forgotten, so they sit in the record's detachable part.

use crate::id::NetworkId;
use crate::name::Name;
use crate::time::Span;
use crate::unit::{Bytes, NanoCpus};

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
    /// Host name inside; the container id's first 12 characters when absent.
    pub hostname: Option<String>,
    /// Container labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Signal that asks the process to end, e.g. `SIGTERM`; the image's or SIGTERM when absent.
    pub stop_signal: Option<String>,
    /// How long the process may take to end before SIGKILL.
    pub stop_grace: Span,
}

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
    /// Networks in the order they were given: the first one wins where names clash.
    pub networks: Vec<Attachment>,
}
