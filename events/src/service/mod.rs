//! Services: what users ask for; tasks carry it out.

pub mod event;
pub(crate) mod fold;
pub mod update;
pub(crate) mod v1;

use crate::id::ServiceId;
use crate::name::Name;
use crate::record::{Hash, Position};
use crate::task::spec::TaskSpec;
use crate::time::Time;

use update::{Update, UpdateConfig};

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
    /// So many, wherever there is room.
    Replicated {
        /// How many.
        replicas: u64,
    },
    /// One on each node that fits.
    Global,
}

/// How a service's name leads to its tasks.
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
pub enum EndpointMode {
    /// To the tasks' own addresses.
    Dnsrr,
    /// The service joins no network and has no name to resolve.
    Unnamed,
}

/// What a user asked for, without what may have to be forgotten (environment values).
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
pub struct ServiceSpec {
    /// Its name.
    pub name: Name,
    /// Labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// How many tasks.
    pub mode: Mode,
    /// How its name is answered.
    pub endpoint: EndpointMode,
    /// How tasks are replaced when what they run changes.
    pub update: UpdateConfig,
    /// How they are replaced on the way back.
    pub rollback: UpdateConfig,
    /// What each task runs.
    pub task: TaskSpec,
}

/// One version of what a service's tasks run; kept as long as one of them is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Version {
    /// The service's name then.
    pub name: Name,
    /// Whether each of its tasks belongs to one node, and has its number for a slot.
    pub global: bool,
    /// What a task runs.
    pub task: TaskSpec,
    /// Commitment to the detached values (environment), if there are any.
    pub detached: Option<Hash>,
    /// How many tasks carry it out; with the service it keeps this alive.
    pub tasks: u64,
}

/// What was asked for before.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Previous {
    /// What was asked for.
    pub spec: ServiceSpec,
    /// Which version of what tasks run that was; it is kept.
    pub version: u64,
}

/// A service as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// What was asked for.
    pub spec: ServiceSpec,
    /// Counts changes of what tasks run.
    pub version: u64,
    /// The record that last changed the spec: Docker's Version.Index.
    pub changed: Position,
    /// What was asked for before: one level, so that going back twice undoes it.
    pub previous: Option<Previous>,
    /// What is asked for is what it was before.
    pub backwards: bool,
    /// How its tasks follow the last change.
    pub update: Option<Update>,
    /// When it was made.
    pub created: Time,
    /// When it last changed.
    pub updated: Time,
}

impl Service {
    /// The settings of the update under way.
    pub fn config(&self) -> &UpdateConfig {
        if self.backwards { &self.spec.rollback } else { &self.spec.update }
    }
    /// Its update, if slots are being updated.
    pub fn updating(&self) -> Option<&Update> {
        self.update.as_ref().filter(|update| update.state.is_active())
    }
    /// How many tasks it should have; of a global one the nodes tell, not the spec.
    pub fn replicas(&self) -> u64 {
        match self.spec.mode {
            Mode::Replicated { replicas } => replicas,
            Mode::Global => 0,
        }
    }
}
