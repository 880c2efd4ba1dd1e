//! What should happen next: pure functions from State and what was touched to commands and a time to wake.
//! No planner keeps anything between calls; a new leader plans the same. Invariant: planning what was touched
//! gives the same commands as planning everything.

pub mod allocate;
pub mod checkpoint;
pub mod global;
pub mod liveness;
pub mod reap;
pub mod replicated;
pub mod restart;
pub mod schedule;
pub mod update;
pub mod withdraw;

use crate::command::Command;
use crate::envelope::Planner;
use crate::id::ObjectId;
use crate::record::Position;
use crate::state::State;
use crate::state::index::Due;
use crate::state::touched::Touched;
use crate::time::Time;

/// Most tasks one call plans for: a longer one would hold up the writer; then `Plan::more` is set.
pub const TASKS_PER_PLAN: usize = 1_000;

/// One wish of a planner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Whose.
    pub planner: Planner,
    /// What led to it.
    pub cause: Option<Position>,
    /// What.
    pub command: Command,
}

/// What should happen next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Wishes, in order.
    pub proposals: Vec<Proposal>,
    /// When to plan again although nothing happened.
    pub wake_at: Option<Time>,
    /// There was more to do than one call may: these are to be planned again.
    pub more: bool,
}

/// One kind of noun; each has its own planners, so that its actor wakes for what is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Checkpoints.
    Cluster,
    /// Liveness.
    Node,
    /// Tasks that wait for an address.
    Network,
    /// Enough tasks, and not too many.
    Service,
    /// Placement, leaving, forgetting.
    Task,
}

/// Every part, in the order in which a whole plan is made.
pub const PARTS: [Part; 5] = [Part::Node, Part::Service, Part::Network, Part::Task, Part::Cluster];

/// Plans all that was touched.
pub fn plan(state: &State, touched: &Touched, now: Time) -> Plan {
    let mut plan = Plan { wake_at: wake_at(state), ..Plan::default() };
    for part in PARTS {
        let one = plan_part(part, state, touched, now);
        plan.proposals.extend(one.proposals);
        plan.more |= one.more;
    }
    plan
}

/// Plans what was touched, one part of it.
pub fn plan_part(part: Part, state: &State, touched: &Touched, now: Time) -> Plan {
    let mut plan = Plan { wake_at: wake_at(state), ..Plan::default() };
    if state.cluster.is_none() {
        return plan;
    }
    let mut touched = touched.clone();
    for due in due(state, now) {
        match due {
            Due::Task(id) => {
                touched.add(ObjectId::Task(id));
                state.tasks.get(&id).inspect(|t| touched.add(ObjectId::Service(t.service)));
            }
            Due::Node(id) => touched.add(ObjectId::Node(id)),
            Due::Service(id) => touched.add(ObjectId::Service(id)),
        }
    }
    match part {
        Part::Cluster => checkpoint::plan(state, now, &mut plan),
        Part::Node => liveness::plan(state, &touched, now, &mut plan),
        Part::Network => schedule::plan_waiting(state, &touched, &mut plan),
        Part::Service => replicated::plan(state, &touched, now, &mut plan),
        Part::Task => {
            withdraw::plan(state, &touched, now, &mut plan);
            schedule::plan(state, &touched, &mut plan);
            reap::plan(state, &touched, &mut plan);
        }
    }
    plan
}

/// When the next deadline is.
pub fn wake_at(state: &State) -> Option<Time> {
    let object = state.index.deadlines.get_min().map(|(at, _)| *at);
    [object, checkpoint::deadline(state)].into_iter().flatten().min()
}

fn due(state: &State, now: Time) -> impl Iterator<Item = Due> {
    state.index.deadlines.iter().take_while(move |(at, _)| *at <= now).map(|(_, due)| *due)
}
