//! What a change of this machine's images and volumes is tied to by its caller (`--if-at`): looked at before it happens,
//! since a log that refuses the record of it afterwards undoes nothing.

use skein_events::command::{Command, VolumeNote};
use skein_events::node::VolumeChange;
use skein_events::refusal::Refusal;
use skein_net::backend::{Caller, Failure};

use crate::member::Membership;
use crate::rehearsal::rehearse;

/// Refuses what the caller does not want any more; gives the caller of the record, who wants it in any case.
pub(crate) fn unchanged(membership: &Membership, caller: Caller) -> Result<Caller, Failure> {
    if caller.if_at.is_some() {
        let running = membership.load_full().ok_or(Refusal::NotInSwarm)?;
        let face = &running.face;
        // Whatever the change is, its records are about this node.
        let notes = vec![VolumeNote { change: VolumeChange::Created, name: String::new() }];
        let command = Command::NoteVolumes { node: face.node, notes };
        rehearse(&face.state(), caller.clone(), &command, face.time.now())?;
    }
    Ok(Caller { if_at: None, ..caller })
}
