//! Declares nodes down when their grace is over, and fenced when nobody reaches them any more.

use imbl::OrdMap;

use crate::command::Command;
use crate::envelope::Planner;
use crate::id::{NodeId, ObjectId};
use crate::node::{Node, NodeState};
use crate::record::Position;
use crate::state::State;
use crate::state::touched::Touched;
use crate::time::Time;

use super::{Plan, Proposal};

pub(super) fn plan(state: &State, touched: &Touched, now: Time, plan: &mut Plan) {
    let expired = |node: &Node| state.node_deadline(node).is_some_and(|at| at <= now);
    let nodes: Vec<&Node> = match touched {
        Touched::Everything => state.nodes.values().map(|n| &**n).collect(),
        Touched::Objects(objects) => objects
            .iter()
            .filter_map(|o| if let ObjectId::Node(id) = o { state.nodes.get(id) } else { None })
            .map(|n| &**n)
            .collect(),
        Touched::Ignored => Vec::new(),
    };
    for node in nodes.into_iter().filter(|n| expired(n)) {
        plan.proposals.push(Proposal {
            planner: Planner::Liveness,
            cause: Some(node.state_at),
            command: Command::SetNodeState {
                id: node.id,
                state: NodeState::Down,
                message: "heartbeat failure".to_owned(),
            },
        });
    }
}

/// Nodes that are down and that every ready node has let go of, given what sessions have confirmed.
pub fn fences(state: &State, acked: &OrdMap<NodeId, Position>) -> Vec<Proposal> {
    let ready = || state.nodes.values().filter(|n| n.state == NodeState::Ready);
    let confirmed = |at: Position| ready().all(|n| acked.get(&n.id).is_some_and(|p| *p >= at));
    state
        .nodes
        .values()
        .filter(|n| n.state == NodeState::Down && !n.fenced && confirmed(n.state_at))
        .map(|n| Proposal {
            planner: Planner::Liveness,
            cause: Some(n.state_at),
            command: Command::FenceNode { id: n.id, at: n.state_at },
        })
        .collect()
}
