//! Why an object is as it is: a walk from its newest record down to a user's command.
//! Each record either names the record that led to it, or follows from what happened to its own object before.
//! What only happened beside it, a command run in a task or a label, is passed over and named.

use std::collections::BTreeSet;

use skein_events::envelope::{Planner, Who};
use skein_events::event::Event;
use skein_events::id::ObjectId;
use skein_events::record::Position;
use skein_events::task::TaskState;
use skein_events::task::event::TaskCreated;

use crate::aside;
use crate::history::{History, Recorded};
use crate::step::Step;
use crate::text;

/// Longest chain that is told: a task restarted a thousand times has a thousand causes. What is left out in the middle
/// is named, and the user's command is told in any case.
pub const STEPS_MAX: usize = 64;
/// As many of the records that left an object what it was are told; of the others, how many there are.
const ASIDE_MAX: usize = 3;

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
    let (mut next, aside) = aside::newest(history, object, upto);
    let mut chain: Vec<Step> = Vec::new();
    // What the object is in the place of, while the chain tells why that one had to be replaced.
    let mut instead: Option<ObjectId> = None;
    while let Some(record) = next.and_then(|position| history.record(position)) {
        let (mut cause, passed) = cause(history, &record);
        if let Event::TaskCreated(TaskCreated { replaces: Some(old), .. }) = record.event() {
            instead = Some(ObjectId::Task(*old));
        }
        if instead.is_some() && matches!(record.event(), Event::NodeStateChanged(_)) {
            let earlier = |old| aside::newest(history, old, record.before()).0;
            cause = record.envelope().cause.or_else(|| instead.take().and_then(earlier));
        }
        let (room, last) = (chain.len() < STEPS_MAX, cause.is_none());
        if room || last {
            let mut step = Step::of(history, &record);
            step.details.extend(passed);
            if chain.is_empty() {
                step.details.extend(since(history, &aside));
            }
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

/// What happened to an object since and left it what it was.
fn since(history: &impl History, aside: &[Position]) -> Vec<String> {
    let told = aside.iter().take(ASIDE_MAX).filter_map(|position| history.record(*position));
    let mut lines: Vec<String> = told
        .map(|record| {
            let what = text::sentence(history.catalog(), record.event());
            format!("since then: {what}, at {}", record.position)
        })
        .collect();
    match aside.len().saturating_sub(ASIDE_MAX) {
        0 => {}
        1 => lines.push("since then: 1 more record of that kind".to_owned()),
        more => lines.push(format!("since then: {more} more records of that kind")),
    }
    lines
}

/// The record that led to this one, always an earlier one; and what lies between and is not told by itself.
fn cause(history: &impl History, record: &Recorded) -> (Option<Position>, Vec<String>) {
    let before = record.before();
    let own = || record.event().subject().and_then(|o| aside::newest(history, o, before).0);
    let named = record.envelope().cause.filter(|p| *p < record.position);
    let named = named.and_then(|position| aside::passed(history, position));
    match &record.envelope().who {
        Who::User { .. } => (None, Vec::new()),
        Who::Node { .. } => {
            let own = record.event().subject().map(|o| history.of_object(o, before));
            let (position, passed) = past_statuses(history, own.unwrap_or_default());
            (position.or(named), passed)
        }
        Who::Planner { name } => {
            let cause = match name {
                // These plan many objects in one command, whose cause is the newest of all: their own past tells more.
                Planner::Scheduler | Planner::Withdraw | Planner::Reaper => own().or(named),
                // Told to run after a delay: what happened to it in between tells more than its birth.
                Planner::Replicated | Planner::Global | Planner::Update
                    if starts(record.event()) =>
                {
                    own().or(named)
                }
                Planner::Replicated | Planner::Global | Planner::Update => {
                    named.or_else(|| of_service(history, record, before)).or_else(own)
                }
                Planner::Liveness | Planner::Checkpoint => named.or_else(own),
            };
            (cause, Vec::new())
        }
    }
}

/// Whether a task that was made ready is told to run.
fn starts(event: &Event) -> bool {
    matches!(event, Event::TaskDesiredChanged(e) if e.desired == TaskState::Running)
}

/// The newest record that is no step of a task's way up; the steps passed over are named.
fn past_statuses(history: &impl History, own: Vec<Position>) -> (Option<Position>, Vec<String>) {
    let mut passed = Vec::new();
    for position in own {
        let Some(record) = history.record(position) else { continue };
        match record.event() {
            Event::TaskStatusChanged(e) if !e.status.state.is_terminal() => {
                passed.push(format!("{} at {position}", e.status.state.as_str()));
            }
            _ if aside::is_aside(history, &record) => {}
            _ => {
                let line = format!("on its way: {}", passed.join(", "));
                let told = if passed.is_empty() { Vec::new() } else { vec![line] };
                return (Some(position), told);
            }
        }
    }
    (None, Vec::new())
}

/// The newest record about the service of a record's task.
fn of_service(history: &impl History, record: &Recorded, before: Position) -> Option<Position> {
    let Some(ObjectId::Task(task)) = record.event().subject() else { return None };
    let service = history.catalog().service_of(task)?;
    aside::newest(history, ObjectId::Service(service), before).0
}
