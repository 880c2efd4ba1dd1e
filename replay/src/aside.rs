//! Records about an object that did not make it what it is: a command run in a task, a label, an image on a node.
//! Apart from the walk, which passes over them wherever it asks an object's own past: a look into a task to find out
//! what is wrong with it must not hide what is wrong.

use skein_events::event::Event;
use skein_events::id::{NodeId, ObjectId, ServiceId};
use skein_events::node::Availability;
use skein_events::record::Position;
use skein_events::service::event::ServiceUpdated;
use skein_events::service::update::Way;
use skein_events::service::{Mode, ServiceSpec};

use crate::history::{History, Recorded};

/// The newest record up to a position that made an object what it is; and those after it that did not, the newest first.
pub(crate) fn newest(
    history: &impl History,
    object: ObjectId,
    upto: Position,
) -> (Option<Position>, Vec<Position>) {
    let mut aside = Vec::new();
    for position in history.of_object(object, upto) {
        match history.record(position) {
            Some(record) if is_aside(history, &record) => aside.push(position),
            Some(_) => return (Some(position), aside),
            None => {}
        }
    }
    (None, aside)
}

/// A record, or, if it left its object what it was, the newest before it that did not.
pub(crate) fn passed(history: &impl History, position: Position) -> Option<Position> {
    let record = history.record(position)?;
    match record.event().subject().filter(|_| is_aside(history, &record)) {
        Some(object) => newest(history, object, position).0,
        None => Some(position),
    }
}

/// Whether a record left its object what it was.
pub(crate) fn is_aside(history: &impl History, record: &Recorded) -> bool {
    let before = record.before();
    match record.event() {
        Event::TaskExecStarted(_) | Event::NodeImageChanged(_) | Event::NodeVolumeChanged(_) => {
            true
        }
        Event::NodeUpdated(e) => availability(history, e.id, before) == Some(e.availability),
        Event::ServiceUpdated(e) => only_labels(history, e, before),
        Event::ClusterCreated(_)
        | Event::Checkpointed(_)
        | Event::LevelRaised(_)
        | Event::RecordRedacted(_)
        | Event::RedactionConfirmed(_)
        | Event::ConsumerCreated(_)
        | Event::ConsumerMoved(_)
        | Event::ConsumerRemoved(_)
        | Event::NodeJoined(_)
        | Event::NodeDescribed(_)
        | Event::NodeStateChanged(_)
        | Event::NodeFenced(_)
        | Event::NetworkCreated(_)
        | Event::NetworkRemoved(_)
        | Event::ServiceCreated(_)
        | Event::ServiceScaled(_)
        | Event::ServiceUpdateChanged(_)
        | Event::ServiceUpdateDelayed(_)
        | Event::ServiceRemoved(_)
        | Event::TaskCreated(_)
        | Event::TaskAssigned(_)
        | Event::TaskObstructed(_)
        | Event::TaskStatusChanged(_)
        | Event::TaskDesiredChanged(_)
        | Event::TaskWithdrawn(_)
        | Event::TaskGone(_)
        | Event::TaskRemoved(_) => false,
    }
}

/// Whether tasks might be put on a node.
fn availability(history: &impl History, node: NodeId, upto: Position) -> Option<Availability> {
    let own = history.of_object(ObjectId::Node(node), upto);
    own.into_iter().filter_map(|position| history.record(position)).find_map(|record| match record
        .event()
    {
        Event::NodeUpdated(e) => Some(e.availability),
        Event::NodeJoined(e) => Some(e.availability),
        _ => None,
    })
}

/// Whether an update asks for the same of tasks as before, and for as many.
fn only_labels(history: &impl History, event: &ServiceUpdated, upto: Position) -> bool {
    let Some((mut spec, version)) = asked(history, event.id, upto) else { return false };
    spec.labels.clone_from(&event.spec.labels);
    event.way == Way::Forward && version == event.version && spec == event.spec
}

/// What was asked for of a service, and which version of what its tasks run that was.
fn asked(history: &impl History, service: ServiceId, upto: Position) -> Option<(ServiceSpec, u64)> {
    let mut scaled = None;
    let (spec, version) = history
        .of_object(ObjectId::Service(service), upto)
        .into_iter()
        .filter_map(|position| history.record(position))
        .find_map(|record| match record.event() {
            Event::ServiceScaled(e) => {
                scaled = scaled.or(Some(e.replicas));
                None
            }
            Event::ServiceUpdated(e) => Some((e.spec.clone(), e.version)),
            Event::ServiceCreated(e) => Some((e.spec.clone(), 1)),
            _ => None,
        })?;
    let mode = scaled.map_or(spec.mode, |replicas| Mode::Replicated { replicas });
    Some((ServiceSpec { mode, ..spec }, version))
}
