//! How the tasks of a service are replaced when what they run changes. Only the settings; who carries them out is `plan/update.rs`.

use crate::time::Span;

/// What happens when too many replaced tasks fail.
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
#[serde(rename_all = "lowercase")]
pub enum FailureAction {
    /// The update stops where it is.
    #[default]
    Pause,
    /// It goes on.
    Continue,
    /// The previous spec comes back.
    Rollback,
}

/// Which of the two tasks of a slot goes first.
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
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The old one ends before the new one starts.
    #[default]
    StopFirst,
    /// The new one runs before the old one ends.
    StartFirst,
}

/// A part of a whole, in millionths: whole numbers compare alike everywhere.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Millionths(pub u32);

/// Settings of an update, or of the way back.
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
pub struct UpdateConfig {
    /// How many slots at once; zero means all.
    pub parallelism: u64,
    /// Time between one slot (or group of slots) and the next.
    pub delay: Span,
    /// What happens when too many fail.
    pub failure_action: FailureAction,
    /// How long a new task is watched; it fails the update if it fails within.
    pub monitor: Span,
    /// Which part of the slots may fail.
    pub max_failure_ratio: Millionths,
    /// Which task of a slot goes first.
    pub order: UpdateOrder,
}

impl Default for UpdateConfig {
    /// Swarm's: one by one, without delay, watched for 5 s, paused at the first failure.
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay: Span(0),
            failure_action: FailureAction::Pause,
            monitor: Span::seconds(5),
            max_failure_ratio: Millionths(0),
            order: UpdateOrder::StopFirst,
        }
    }
}
