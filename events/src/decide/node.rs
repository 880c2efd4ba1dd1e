//! Decisions about nodes.

use crate::codec::NewEvent;
use crate::command::{ImageNote, NewNode, VolumeNote};
use crate::id::NodeId;
use crate::node::event::{
    NodeDescribed, NodeFenced, NodeImageChanged, NodeJoined, NodeStateChanged, NodeUpdated,
    NodeVolumeChanged,
};
use crate::node::{Availability, Description, NodeState};
use crate::record::Position;
use crate::refusal::Refusal;
use crate::state::State;
use crate::time::Time;

use super::check;

/// Changes of images or volumes in one command; whoever has more sends several.
const NOTES_MAX: usize = 1_000;
/// Longest name of an image, and longest digest.
const IMAGE_TEXT_MAX: usize = 512;
/// Longest name of a volume: a file's.
const VOLUME_NAME_MAX: usize = 255;

pub(super) fn joined(new: &NewNode, number: u64) -> NodeJoined {
    NodeJoined {
        id: new.id,
        number,
        role: new.role,
        availability: new.availability,
        address: new.address,
        port: new.port,
        description: new.description.clone(),
    }
}

pub(super) fn join(state: &State, new: &NewNode) -> Result<Vec<NewEvent>, Refusal> {
    if state.nodes.contains_key(&new.id) {
        return Err(Refusal::NameConflict { noun: "node", name: new.id.to_string() });
    }
    let number = state.nodes.values().map(|n| n.number).max().unwrap_or(0) + 1;
    Ok(vec![joined(new, number).into()])
}

pub(super) fn describe(
    state: &State,
    id: NodeId,
    description: &Description,
) -> Result<Vec<NewEvent>, Refusal> {
    if check::node(state, id)?.description == *description {
        return Err(Refusal::Stale("the node is already described so".to_owned()));
    }
    Ok(vec![NodeDescribed { id, description: description.clone() }.into()])
}

pub(super) fn update(
    state: &State,
    id: NodeId,
    availability: Availability,
    labels: &[(String, String)],
    if_changed: Option<Position>,
) -> Result<Vec<NewEvent>, Refusal> {
    let node = check::node(state, id)?;
    if if_changed.is_some_and(|position| position != node.changed) {
        return Err(Refusal::OutOfSequence);
    }
    check::labels(labels)?;
    if check::size_of(labels) > check::SPEC_MAX {
        return Err(Refusal::TooLarge("the node's labels", check::SPEC_MAX));
    }
    let labels = check::sorted(labels);
    Ok(vec![NodeUpdated { id, availability, labels }.into()])
}

pub(super) fn set_state(
    state: &State,
    id: NodeId,
    to: NodeState,
    message: &str,
    now: Time,
) -> Result<Vec<NewEvent>, Refusal> {
    let node = check::node(state, id)?;
    let allowed = match (node.state, to) {
        (from, to) if from == to => false,
        // A node that is down comes back through ready only, never to be waited for again.
        (NodeState::Down, NodeState::Unknown) => false,
        (NodeState::Ready, NodeState::Down) => false,
        // Heard of again in between, it has a new grace.
        (NodeState::Unknown, NodeState::Down) => {
            state.node_deadline(node).is_some_and(|at| at <= now)
        }
        (NodeState::Unknown | NodeState::Ready | NodeState::Down, _) => true,
    };
    if !allowed {
        return Err(Refusal::Stale(format!("node {} is not to change so", id.short())));
    }
    Ok(vec![NodeStateChanged { id, state: to, message: message.to_owned() }.into()])
}

pub(super) fn fence(state: &State, id: NodeId, at: Position) -> Result<Vec<NewEvent>, Refusal> {
    let node = check::node(state, id)?;
    if node.state != NodeState::Down || node.fenced || at < node.state_at {
        return Err(Refusal::Stale(format!("node {} is not to be fenced", id.short())));
    }
    Ok(vec![NodeFenced { id, at }.into()])
}

pub(super) fn note_images(
    state: &State,
    node: NodeId,
    notes: &[ImageNote],
) -> Result<Vec<NewEvent>, Refusal> {
    check::node(state, node)?;
    if notes.is_empty() {
        return Err(Refusal::Stale("no image was changed".to_owned()));
    }
    if notes.len() > NOTES_MAX {
        return Err(Refusal::TooLarge("changes of images", NOTES_MAX));
    }
    if notes.iter().any(|note| note.name.len().max(note.digest.len()) > IMAGE_TEXT_MAX) {
        return Err(Refusal::TooLarge("an image's name", IMAGE_TEXT_MAX));
    }
    let event = |ImageNote { change, name, digest }: &ImageNote| {
        let (name, digest) = (name.clone(), digest.clone());
        NodeImageChanged { node, change: *change, name, digest }.into()
    };
    Ok(notes.iter().map(event).collect())
}

pub(super) fn note_volumes(
    state: &State,
    node: NodeId,
    notes: &[VolumeNote],
) -> Result<Vec<NewEvent>, Refusal> {
    check::node(state, node)?;
    if notes.is_empty() {
        return Err(Refusal::Stale("no volume was changed".to_owned()));
    }
    if notes.len() > NOTES_MAX {
        return Err(Refusal::TooLarge("changes of volumes", NOTES_MAX));
    }
    if notes.iter().any(|note| note.name.len() > VOLUME_NAME_MAX) {
        return Err(Refusal::TooLarge("a volume's name", VOLUME_NAME_MAX));
    }
    let event = |VolumeNote { change, name }: &VolumeNote| {
        NodeVolumeChanged { node, change: *change, name: name.clone() }.into()
    };
    Ok(notes.iter().map(event).collect())
}
