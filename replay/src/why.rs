//! Why an object is as it is: a walk from its newest record down to a user's command.
//! Each record either names the record that led to it, or follows from what happened to its own object before.

use std::collections::BTreeSet;

use skein_events::envelope::{Planner, Who};
use skein_events::event::Event;
use skein_events::id::ObjectId;
use skein_events::record::Position;
use skein_events::task::TaskState;
use skein_events::task::event::TaskCreated;

use crate::history::{History, Recorded};
use crate::step::Step;

/// Longest chain that is told: a task restarted a thousand times has a thousand causes. What is left out in the middle
/// is named, and the user's command is told in any case.
pub const STEPS_MAX: usize = 64;

/// The answer to "why".
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Why {
    /// The object, e.g. `task/5uwx…`.
    pub object: String,
    /// What it is or was called.
    pub name: String,
    /// The newest first, down to the user's command.
    pub chain: Vec<Step>,
}

/// Why an object is as it was at a position. An object nobody recorded has an empty chain.
pub fn why(history: &impl History, object: ObjectId, upto: Position) -> Why {
    let mut chain: Vec<Step> = Vec::new();
    let mut next = newest(history, history.of_object(object, upto));
    // What the object is in the place of, while the chain tells why that one had to be replaced.
    let mut instead: Option<ObjectId> = None;
    while let Some(record) = next.and_then(|position| history.record(position)) {
        let (mut cause, passed) = cause(history, &record);
        if let Event::TaskCreated(TaskCreated { replaces: Some(old), .. }) = record.event() {
            instead = Some(ObjectId::Task(*old));
        }
        if instead.is_some() && matches!(record.event(), Event::NodeStateChanged(_)) {
            let earlier = |old| newest(history, history.of_object(old, before(&record)));
            cause = record.envelope().cause.or_else(|| instead.take().and_then(earlier));
        }
        let (room, last) = (chain.len() < STEPS_MAX, cause.is_none());
        if room || last {
            let mut step = Step::of(history, &record);
            step.details.extend(passed);
            if !room {
                step.details.push(format!("only the last {STEPS_MAX} steps since then are told"));
            }
            chain.push(step);
        }
        next = cause;
    }
    Why { object: object.to_string(), name: history.catalog().name(object), chain }
}

/// What happened to an object and to what belongs to it, the oldest first: a service's tasks, a node's tasks.
/// The newest `limit` steps of it.
pub fn timeline(
    history: &impl History,
    object: ObjectId,
    upto: Position,
    limit: usize,
) -> Vec<Step> {
    let catalog = history.catalog();
    let members = std::iter::once(object).chain(catalog.members(object));
    let mut newest: BTreeSet<Position> = BTreeSet::new();
    for position in members.flat_map(|object| history.of_object(object, upto)) {
        newest.insert(position);
        if newest.len() > limit {
            newest.pop_first();
        }
    }
    let records = newest.into_iter().filter_map(|p| history.record(p));
    records.map(|record| Step::of(history, &record)).collect()
}

fn before(record: &Recorded) -> Position {
    Position(record.position.0.saturating_sub(1))
}

/// The record that led to this one, always an earlier one; and what lies between and is not told by itself.
fn cause(history: &impl History, record: &Recorded) -> (Option<Position>, Vec<String>) {
    let before = before(record);
    let own = || record.event().subject().map(|o| history.of_object(o, before)).unwrap_or_default();
    let named = record.envelope().cause.filter(|p| *p < record.position);
    match &record.envelope().who {
        Who::User { .. } => (None, Vec::new()),
        Who::Node { .. } => {
            let (position, passed) = past_statuses(history, own());
            (position.or(named), passed)
        }
        Who::Planner { name } => {
            let cause = match name {
                // These plan many objects in one command, whose cause is the newest of all: their own past tells more.
                Planner::Scheduler | Planner::Withdraw | Planner::Reaper => {
                    newest(history, own()).or(named)
                }
                // Told to run after a delay: what happened to it in between tells more than its birth.
                Planner::Replicated | Planner::Global | Planner::Update
                    if starts(record.event()) =>
                {
                    newest(history, own()).or(named)
                }
                Planner::Replicated | Planner::Global | Planner::Update => named
                    .or_else(|| of_service(history, record, before))
                    .or_else(|| newest(history, own())),
                Planner::Liveness | Planner::Checkpoint => named.or_else(|| newest(history, own())),
            };
            (cause, Vec::new())
        }
    }
}

/// The newest of an object's records that can be why it is as it is.
fn newest(history: &impl History, own: Vec<Position>) -> Option<Position> {
    let event = |position: &Position| history.record(*position);
    own.into_iter().find(|p| event(p).is_none_or(|record| !leads_to_nothing(record.event())))
}

/// A command run inside a task led to nothing that a record tells.
fn leads_to_nothing(event: &Event) -> bool {
    matches!(event, Event::TaskExecStarted(_))
}

/// Whether a task that was made ready is told to run.
fn starts(event: &Event) -> bool {
    matches!(event, Event::TaskDesiredChanged(e) if e.desired == TaskState::Running)
}

/// The newest record that is no step of a task's way up; the steps passed over are named.
fn past_statuses(history: &impl History, own: Vec<Position>) -> (Option<Position>, Vec<String>) {
    let mut passed = Vec::new();
    for position in own {
        match history.record(position).as_ref().map(Recorded::event) {
            Some(Event::TaskStatusChanged(e)) if !e.status.state.is_terminal() => {
                passed.push(format!("{} at {position}", e.status.state.as_str()));
            }
            Some(event) if leads_to_nothing(event) => {}
            Some(_) => {
                let line = format!("on its way: {}", passed.join(", "));
                let told = if passed.is_empty() { Vec::new() } else { vec![line] };
                return (Some(position), told);
            }
            None => {}
        }
    }
    (None, Vec::new())
}

/// The newest record about the service of a record's task.
fn of_service(history: &impl History, record: &Recorded, before: Position) -> Option<Position> {
    let Some(ObjectId::Task(task)) = record.event().subject() else { return None };
    let service = history.catalog().service_of(task)?;
    history.of_object(ObjectId::Service(service), before).first().copied()
}
