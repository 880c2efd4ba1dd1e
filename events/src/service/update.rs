//! How the tasks of a service are replaced when what they run changes. The settings, and how far an update is;
//! who carries it out is `plan/update.rs`.

use crate::id::TaskId;
use crate::record::Position;
use crate::time::{Span, Time};

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

/// Where a change of a service leads.
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
pub enum Way {
    /// To what a user asks for.
    Forward,
    /// A user asks for what it was before.
    Back,
    /// Back to what it was, because too many tasks failed; what failed is not kept.
    Fallback,
}

/// How far an update is, in Docker's words.
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
pub enum UpdateState {
    /// Slot after slot is updated.
    Updating,
    /// It stopped where it is.
    Paused,
    /// Every slot is updated.
    Completed,
    /// The way back is under way.
    RollbackStarted,
    /// The way back stopped where it is.
    RollbackPaused,
    /// Every slot is back.
    RollbackCompleted,
}

impl UpdateState {
    /// Docker's word, without its `_`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updating => "updating",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::RollbackStarted => "rollback_started",
            Self::RollbackPaused => "rollback_paused",
            Self::RollbackCompleted => "rollback_completed",
        }
    }
    /// Whether slots are being updated.
    pub fn is_active(self) -> bool {
        match self {
            Self::Updating | Self::RollbackStarted => true,
            Self::Paused | Self::Completed | Self::RollbackPaused | Self::RollbackCompleted => {
                false
            }
        }
    }
    /// Whether it has come to its end.
    pub fn is_complete(self) -> bool {
        match self {
            Self::Completed | Self::RollbackCompleted => true,
            Self::Updating | Self::Paused | Self::RollbackStarted | Self::RollbackPaused => false,
        }
    }
}

/// An update as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Update {
    /// How far it is.
    pub state: UpdateState,
    /// Docker's words for it.
    pub message: String,
    /// When it began.
    pub started: Time,
    /// When it ended.
    pub ended: Option<Time>,
    /// The record that began it: its tasks are younger.
    pub began: Position,
    /// How many slots there were to update.
    pub slots: u64,
    /// How many of its tasks failed.
    pub failed: u64,
    /// The last of those.
    pub last_failed: Option<TaskId>,
    /// It goes on no earlier.
    pub until: Option<Time>,
}
