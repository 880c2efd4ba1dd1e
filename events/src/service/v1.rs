//! What services looked like when `service.created` was at version 1. Frozen: only read, from logs that hold it.
//! Parts that have not changed since are those of today; a part that changes gets its frozen copy here.

use crate::name::Name;
use crate::task::container::{self, Dns, HealthCheck};
use crate::task::placement::Placement;
use crate::task::spec as task;
use crate::task::spec::{Attachment, Limits, Resources, RestartPolicy};
use crate::time::Span;

use super::update::UpdateConfig;
use super::{EndpointMode, event};

crate::event::payloads! {
    /// `service.created`, version 1.
    ServiceCreated {
        /// Its id.
        id: crate::id::ServiceId,
        /// What was asked for.
        spec: ServiceSpec,
        /// How many environment values the detachable part holds.
        env: u32,
    }
    /// What a user asked for.
    ServiceSpec {
        /// Its name.
        name: Name,
        /// Labels.
        labels: Vec<(String, String)>,
        /// How many tasks.
        mode: Mode,
        /// How its name is answered.
        endpoint: EndpointMode,
        /// What each task runs.
        task: TaskSpec,
    }
    /// What one task runs and needs.
    TaskSpec {
        /// The container.
        container: ContainerSpec,
        /// What the scheduler keeps free for it.
        reservations: Resources,
        /// What the kernel holds it to.
        limits: Limits,
        /// What happens when it ends.
        restart: RestartPolicy,
        /// Networks.
        networks: Vec<Attachment>,
    }
    /// One container.
    ContainerSpec {
        /// Image reference.
        image: String,
        /// In place of the image's entrypoint.
        command: Vec<String>,
        /// In place of the image's command.
        args: Vec<String>,
        /// Working directory.
        dir: Option<String>,
        /// `user[:group]`.
        user: Option<String>,
        /// Host name inside.
        hostname: Option<String>,
        /// Container labels.
        labels: Vec<(String, String)>,
        /// Signal that asks the process to end.
        stop_signal: Option<String>,
        /// How long it may take to end.
        stop_grace: Span,
    }
}

/// How many tasks there should be.
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
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// So many.
    Replicated {
        /// How many.
        replicas: u64,
    },
}

impl From<ServiceCreated> for event::ServiceCreated {
    fn from(old: ServiceCreated) -> Self {
        let ServiceCreated { id, spec, env } = old;
        let ServiceSpec { name, labels, mode: Mode::Replicated { replicas }, endpoint, task } =
            spec;
        let spec = super::ServiceSpec {
            name,
            labels,
            mode: super::Mode::Replicated { replicas },
            endpoint,
            update: UpdateConfig::default(),
            rollback: UpdateConfig::default(),
            task: task.into(),
        };
        Self { id, spec, env }
    }
}

impl From<TaskSpec> for task::TaskSpec {
    fn from(old: TaskSpec) -> Self {
        let TaskSpec { container, reservations, limits, restart, networks } = old;
        Self {
            container: container.into(),
            reservations,
            limits,
            restart,
            placement: Placement::default(),
            networks,
            log_driver: None,
            force_update: 0,
        }
    }
}

impl From<ContainerSpec> for container::ContainerSpec {
    fn from(old: ContainerSpec) -> Self {
        let ContainerSpec {
            image,
            command,
            args,
            dir,
            user,
            hostname,
            labels,
            stop_signal,
            stop_grace,
        } = old;
        Self {
            image,
            command,
            args,
            dir,
            user,
            groups: Vec::new(),
            hostname,
            hosts: Vec::new(),
            dns: Dns::default(),
            labels,
            stop_signal,
            stop_grace,
            mounts: Vec::new(),
            read_only: false,
            tty: false,
            open_stdin: false,
            init: None,
            health: HealthCheck::default(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            ulimits: Vec::new(),
            sysctls: Vec::new(),
            oom_score_adj: 0,
        }
    }
}
