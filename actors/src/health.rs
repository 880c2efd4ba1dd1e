//! Whether the daemon's threads answer and the node can serve: what watchdogs, probes and metrics ask.
//! Asks and compares; what to do about it is up to whoever asked.

use std::time::Duration;

use actix::Addr;
use futures::future::{BoxFuture, FutureExt as _};

use skein_events::node::NodeState;
use skein_net::backend::{Check, Failure, Standing};
use skein_store::FileDisk;

use crate::log::Beat;
use crate::member::{MemberActor, Running};

/// A thread that has not answered after so long does not answer: the longest commit and the longest plan take less.
const PATIENCE: Duration = Duration::from_secs(10);
/// Less room than this on the disk, and the next snapshot may not fit: users' commands are refused.
const ROOM_MIN: u64 = 64 << 20;

/// Asks the actors, the one writer, consensus and the log's writer for an answer, one after another.
pub(crate) async fn pulse(
    member: &Addr<MemberActor>,
    running: Option<&Running>,
) -> Result<(), Failure> {
    // One that has ended was told to: a panic ends the process. So only silence counts.
    let mut parts = vec![("actors", member.send(Beat).map(drop).boxed())];
    if let Some(Running { face, seat, .. }) = running {
        parts.push(("writer", face.writer.send(Beat).map(drop).boxed()));
        parts.push(("consensus", seat.beat().map(drop).boxed()));
        parts.push(("log-writer", face.log.beat().map(drop).boxed()));
    }
    answered(parts).await
}

async fn answered(parts: Vec<(&str, BoxFuture<'_, ()>)>) -> Result<(), Failure> {
    for (name, answer) in parts {
        if tokio::time::timeout(PATIENCE, answer).await.is_err() {
            return Err(Failure::Unavailable(format!("{name} does not answer")));
        }
    }
    Ok(())
}

/// Where this node stands: how far the log is agreed on, and how far it is applied.
pub(crate) fn standing(running: &Running) -> Standing {
    let Running { face, seat, .. } = running;
    let known = *seat.leadership().borrow();
    Standing {
        node: face.node,
        leads: known.leads,
        leader_known: known.leader.is_some(),
        term: known.term,
        committed: face.log.head().position,
        applied: face.published.head.borrow().position,
    }
}

/// Everything that has to hold before this node is sent requests.
pub(crate) fn checks(running: Option<&Running>, data_root: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(running) = running {
        let Standing { committed, applied, leader_known, .. } = standing(running);
        let behind = (applied < committed)
            .then(|| format!("{} records are not applied yet", committed.0 - applied.0));
        checks.push(Check { name: "applied", problem: behind });
        let unknown = (!leader_known).then(|| "no manager is known to lead".to_owned());
        checks.push(Check { name: "leader", problem: unknown });
        let state = running.face.state();
        let own = state.nodes.get(&running.face.node).map(|node| node.state);
        let away = own.filter(|state| *state != NodeState::Ready);
        let away = away.map(|_| "this node is not ready: its agent has no session".to_owned());
        checks.push(Check { name: "agent", problem: away });
    }
    let problem = match FileDisk::room(data_root.as_ref()) {
        Ok(room) if room >= ROOM_MIN => None,
        Ok(room) => Some(format!("{room} bytes are left in {data_root}")),
        Err(error) => Some(format!("{data_root} cannot be asked: {error}")),
    };
    checks.push(Check { name: "disk", problem });
    checks
}

/// Refuses what a user asks for while the disk is nearly full: what is left is for what happens by itself.
pub(crate) fn has_room(running: Option<&Running>, data_root: &str) -> Result<(), Failure> {
    let held = running.is_some_and(|running| running.face.log.is_held());
    match FileDisk::room(data_root.as_ref()) {
        Ok(room) if room >= ROOM_MIN && !held => Ok(()),
        Ok(room) => Err(Failure::Unavailable(format!(
            "no space left on the disk of {data_root}: {} MiB are free and {} are needed; nothing was changed, containers go on, and commands are taken again when there is space",
            room >> 20,
            ROOM_MIN >> 20,
        ))),
        Err(error) => Err(Failure::Internal(format!("{data_root} cannot be asked: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_is_silent_is_named() {
        let ready = || futures::future::ready(()).boxed();
        assert!(answered(vec![("actors", ready()), ("consensus", ready())]).await.is_ok());
        let silent = vec![("actors", ready()), ("consensus", futures::future::pending().boxed())];
        let failure = answered(silent).await.unwrap_err();
        assert_eq!(failure.to_string(), "consensus does not answer");
    }
}
