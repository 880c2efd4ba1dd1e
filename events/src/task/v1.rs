//! What tasks' events looked like at version 1. Frozen: only read, from logs that hold it.

use crate::id::{NodeId, TaskId};

use super::{TaskLeg, event, explain};

crate::event::payloads! {
    /// `task.assigned`, version 1.
    TaskAssigned {
        /// The task.
        id: TaskId,
        /// The node.
        node: NodeId,
        /// Its addresses.
        legs: Vec<TaskLeg>,
        /// What the scheduler looked at.
        explanation: Explanation,
    }
    /// What the scheduler looked at.
    Explanation {
        /// How many nodes it evaluated.
        evaluated: u32,
        /// Its verdicts.
        verdicts: Vec<Verdict>,
    }
    /// The verdict on one node.
    Verdict {
        /// The node.
        node: NodeId,
        /// What was found.
        finding: Finding,
    }
}

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
pub enum Finding {
    /// Fit, and chosen.
    Chosen {
        /// Tasks of the same service there.
        of_service: u32,
        /// Tasks there in all.
        in_all: u32,
    },
    /// Fit.
    Fit {
        /// Tasks of the same service there.
        of_service: u32,
        /// Tasks there in all.
        in_all: u32,
    },
    /// Not ready.
    NotReady,
    /// Takes no new tasks.
    NotActive,
    /// Too little processor time.
    Cpus {
        /// Asked for.
        need: u64,
        /// Left.
        free: u64,
    },
    /// Too little memory.
    Memory {
        /// Asked for.
        need: u64,
        /// Left.
        free: u64,
    },
}

impl From<TaskAssigned> for event::TaskAssigned {
    fn from(old: TaskAssigned) -> Self {
        let TaskAssigned { id, node, legs, explanation: Explanation { evaluated, verdicts } } = old;
        let verdict = |Verdict { node, finding }| {
            let finding = match finding {
                Finding::Chosen { of_service, in_all } => {
                    explain::Finding::Chosen { of_service, in_all }
                }
                Finding::Fit { of_service, in_all } => explain::Finding::Fit { of_service, in_all },
                Finding::NotReady => explain::Finding::NotReady,
                Finding::NotActive => explain::Finding::NotActive,
                Finding::Cpus { need, free } => explain::Finding::Cpus { need, free },
                Finding::Memory { need, free } => explain::Finding::Memory { need, free },
            };
            explain::Verdict { node, finding }
        };
        let verdicts = verdicts.into_iter().map(verdict).collect();
        Self { id, node, legs, explanation: explain::Explanation { evaluated, verdicts } }
    }
}
