//! Why a command was not accepted: the user's fault, typed, with stable text, HTTP status and a way out.
//! Faults of the world are `Error`s of the crates that meet the world; they never come from here.

use crate::record::Position;

/// A refused command. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The object does not exist.
    #[error("{noun} {name} not found")]
    NotFound {
        /// `service`, `network`, …
        noun: &'static str,
        /// As the user wrote it.
        name: String,
    },
    /// Several objects fit.
    #[error("{noun} {name} is ambiguous ({} matches found): {}", .candidates.len(), listed(.candidates))]
    Ambiguous {
        /// `service`, `network`, …
        noun: &'static str,
        /// As the user wrote it.
        name: String,
        /// What fits, by name and short id.
        candidates: Vec<String>,
    },
    /// The name is taken.
    #[error("name conflicts with an existing object: {noun} {name} already exists")]
    NameConflict {
        /// `service`, `network`, …
        noun: &'static str,
        /// The name.
        name: String,
    },
    /// A network of that name exists (Docker has its own sentence for it).
    #[error("network with name {name} already exists")]
    NetworkExists {
        /// The name.
        name: String,
    },
    /// A value is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The object is used by another.
    #[error("{what} is in use by {by}")]
    InUse {
        /// `network demo`.
        what: String,
        /// `service web`.
        by: String,
    },
    /// A subnet cannot be had.
    #[error("{0}")]
    Subnet(String),
    /// The object changed since the client read it.
    #[error("update out of sequence")]
    OutOfSequence,
    /// What the command would change has changed since the position it was meant for.
    #[error("{object} changed at {changed}, after {since}")]
    Changed {
        /// `service web`.
        object: String,
        /// Its last record.
        changed: Position,
        /// What the user knew.
        since: Position,
    },
    /// This version cannot do it; the sentence says what to type instead.
    #[error("{0}")]
    Unsupported(String),
    /// There is no swarm here.
    #[error(
        "This node is not a swarm manager. Use \"skein swarm init\" or \"docker swarm init\" to connect this node to swarm and try again."
    )]
    NotInSwarm,
    /// There is a swarm here already.
    #[error(
        "This node is already part of a swarm. Use \"skein swarm leave\" or \"docker swarm leave\" to leave this swarm and join another one."
    )]
    AlreadyInSwarm,
    /// There is nothing to leave.
    #[error("This node is not part of a swarm")]
    NotPartOfSwarm,
    /// A manager does not leave by accident.
    #[error(
        "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message."
    )]
    LastManager,
    /// The record has no detachable part, or it was erased before.
    #[error("record {0} has nothing to redact")]
    NothingToRedact(Position),
    /// A planner's command that no longer fits; planned again from the new state.
    #[error("stale plan: {0}")]
    Stale(String),
    /// A command would make a batch over its limit.
    #[error("{0} is over the limit of {1}")]
    TooLarge(&'static str, usize),
    /// `decide` failed on this command; the state is untouched.
    #[error("this command cannot be carried out: {0}")]
    Broken(String),
}

/// Candidates that a sentence names.
const LISTED_MAX: usize = 5;

fn listed(candidates: &[String]) -> String {
    let named = &candidates[..candidates.len().min(LISTED_MAX)];
    match candidates.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

impl Refusal {
    /// HTTP status, as Docker's daemon answers in the same case.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::NameConflict { .. } | Self::NetworkExists { .. } => 409,
            Self::Invalid(_)
            | Self::InUse { .. }
            | Self::Subnet(_)
            | Self::Ambiguous { .. }
            | Self::NothingToRedact(_)
            | Self::TooLarge(..) => 400,
            Self::Changed { .. } => 412,
            Self::OutOfSequence | Self::Stale(_) | Self::Broken(_) => 500,
            Self::Unsupported(_) => 501,
            Self::NotInSwarm | Self::NotPartOfSwarm | Self::AlreadyInSwarm | Self::LastManager => {
                503
            }
        }
    }
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Ambiguous { .. } => "ambiguous",
            Self::NameConflict { .. } | Self::NetworkExists { .. } => "name_conflict",
            Self::Invalid(_) => "invalid",
            Self::InUse { .. } => "in_use",
            Self::Subnet(_) => "subnet",
            Self::Changed { .. } => "changed",
            Self::OutOfSequence => "out_of_sequence",
            Self::Unsupported(_) => "unsupported",
            Self::NotInSwarm | Self::NotPartOfSwarm => "not_in_swarm",
            Self::AlreadyInSwarm => "already_in_swarm",
            Self::LastManager => "last_manager",
            Self::NothingToRedact(_) => "nothing_to_redact",
            Self::Stale(_) => "stale",
            Self::TooLarge(..) => "too_large",
            Self::Broken(_) => "broken",
        }
    }
}
