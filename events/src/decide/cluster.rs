//! Decisions about the swarm as a whole.

use crate::cluster::event::{Checkpointed, ClusterCreated, RecordRedacted, RedactionConfirmed};
use crate::codec::NewEvent;
use crate::command::NewNode;
use crate::id::NodeId;
use crate::record::{Hash, Position};
use crate::refusal::Refusal;
use crate::state::State;
use crate::state::digest::DIGEST_FORMAT;

use super::check;

pub(super) fn create(
    state: &State,
    event: ClusterCreated,
    node: &NewNode,
) -> Result<Vec<NewEvent>, Refusal> {
    if state.cluster.is_some() {
        return Err(Refusal::AlreadyInSwarm);
    }
    let spec = &event.spec;
    if spec.pool_prefix > 29 || spec.pool_prefix < spec.pool.prefix() {
        return Err(Refusal::Invalid(format!(
            "invalid default-addr-pool-mask-length {}: it must be between {} and 29",
            spec.pool_prefix,
            spec.pool.prefix()
        )));
    }
    if !(1024..=49151).contains(&spec.data_path_port) {
        return Err(Refusal::Invalid(format!(
            "invalid data-path-port {}: it must be between 1024 and 49151",
            spec.data_path_port
        )));
    }
    Ok(vec![event.into(), super::node::joined(node, 1).into()])
}

pub(super) fn redact(
    state: &State,
    position: Position,
    commitment: Hash,
) -> Result<Vec<NewEvent>, Refusal> {
    let again = state.cluster.as_ref().is_some_and(|c| c.redacted.contains(&position));
    if again || position == Position::default() || position > state.position {
        return Err(Refusal::NothingToRedact(position));
    }
    Ok(vec![RecordRedacted { position, commitment }.into()])
}

pub(super) fn confirm_redaction(
    state: &State,
    position: Position,
    node: NodeId,
) -> Result<Vec<NewEvent>, Refusal> {
    check::node(state, node)?;
    if !state.cluster.as_ref().is_some_and(|c| c.redacted.contains(&position)) {
        return Err(Refusal::NothingToRedact(position));
    }
    Ok(vec![RedactionConfirmed { position, node }.into()])
}

pub(super) fn checkpoint(state: &State) -> Result<Vec<NewEvent>, Refusal> {
    if state.unchecked_since.is_none() {
        return Err(Refusal::Stale("nothing happened since the last checkpoint".to_owned()));
    }
    let digest = state.clone().digest();
    Ok(vec![Checkpointed { upto: state.position, format: DIGEST_FORMAT, digest }.into()])
}
