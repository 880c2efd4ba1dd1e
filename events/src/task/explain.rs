//! Why the scheduler chose a node: what it looked at, as written into the record.
//! Data only; the judging is in `plan/schedule`.

use std::fmt;

use crate::id::NodeId;

/// At most this many verdicts are written per placement: enough to read, little enough to keep.
pub const VERDICTS_MAX: usize = 8;

/// What the scheduler found out about one node.
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
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Finding {
    /// Fit, and chosen: the fewest tasks of the service, then the fewest in all.
    Chosen {
        /// Tasks of the same service there.
        of_service: u32,
        /// Tasks there in all.
        in_all: u32,
    },
    /// Fit, but another was better.
    Fit {
        /// Tasks of the same service there.
        of_service: u32,
        /// Tasks there in all.
        in_all: u32,
    },
    /// Not ready.
    NotReady,
    /// Ready, but takes no new tasks.
    NotActive,
    /// Too little processor time left, in billionths of a core.
    Cpus {
        /// Asked for.
        need: u64,
        /// Left.
        free: u64,
    },
    /// Too little memory left, in bytes.
    Memory {
        /// Asked for.
        need: u64,
        /// Left.
        free: u64,
    },
    /// Not what the service asks for.
    Constraint {
        /// The first constraint it does not meet, as the user wrote it.
        unmet: String,
    },
    /// As many tasks of the service as may be on one node.
    MaxPerNode {
        /// How many may.
        max: u64,
    },
    /// Another node: a task of a global service belongs to one.
    NotItsNode,
}

fn tasks(n: u32) -> String {
    if n == 1 { "1 task".to_owned() } else { format!("{n} tasks") }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen { of_service, in_all } => {
                write!(f, "chosen: {} of this service, {in_all} in all", tasks(*of_service))
            }
            Self::Fit { of_service, in_all } => {
                write!(f, "fit, but had {} of this service, {in_all} in all", tasks(*of_service))
            }
            Self::NotReady => f.write_str("ruled out: not ready"),
            Self::NotActive => f.write_str("ruled out: takes no new tasks"),
            Self::Cpus { need, free } => write!(
                f,
                "ruled out: needs {}.{:03} CPUs, {}.{:03} left",
                need / 1_000_000_000,
                need / 1_000_000 % 1000,
                free / 1_000_000_000,
                free / 1_000_000 % 1000
            ),
            Self::Memory { need, free } => {
                write!(f, "ruled out: needs {need} bytes of memory, {free} left")
            }
            Self::Constraint { unmet } => write!(f, "ruled out: does not meet {unmet}"),
            Self::MaxPerNode { max } => {
                write!(f, "ruled out: has {max} of this service already, the most allowed")
            }
            Self::NotItsNode => f.write_str("ruled out: the task belongs to another node"),
        }
    }
}

/// The verdict on one node.
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
pub struct Verdict {
    /// The node.
    pub node: NodeId,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What the scheduler looked at for one placement.
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
pub struct Explanation {
    /// How many nodes it evaluated.
    pub evaluated: u32,
    /// Its verdicts, the chosen node first, at most `VERDICTS_MAX`.
    pub verdicts: Vec<Verdict>,
}
