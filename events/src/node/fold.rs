//! How State changes by what happens to nodes.

use std::sync::Arc;

use crate::event::NodeEvent;
use crate::id::{NodeId, ObjectId};
use crate::state::index::Due;
use crate::state::touched::Touched;
use crate::state::{Record, State};
use crate::time::Time;

use super::{Node, NodeState};

impl State {
    /// Until when a node that is not heard of is waited for.
    pub(crate) fn node_deadline(&self, node: &Node) -> Option<Time> {
        let grace = self.cluster.as_ref()?.spec.node_grace;
        (node.state == NodeState::Unknown).then(|| node.state_since.after(grace))
    }

    fn update_node(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) {
        let old = Arc::clone(self.nodes.get(&id).expect("events name nodes that exist"));
        let before = self.node_deadline(&old);
        drop(old);
        change(Arc::make_mut(self.nodes.get_mut(&id).expect("it was there a moment ago")));
        let new = Arc::clone(self.nodes.get(&id).expect("it was there a moment ago"));
        let after = self.node_deadline(&new);
        if before != after {
            before.map(|at| self.index.deadlines.remove(&(at, Due::Node(id))));
            after.map(|at| self.index.deadlines.insert((at, Due::Node(id))));
        }
    }
}

pub(crate) fn apply(
    state: &mut State,
    record: Record<'_>,
    event: NodeEvent<'_>,
    touched: &mut Touched,
) {
    let (at, position) = (state.at, record.position);
    match event {
        NodeEvent::NodeJoined(event) => {
            let node = Node {
                id: event.id,
                number: event.number,
                role: event.role,
                availability: event.availability,
                labels: Vec::new(),
                changed: position,
                address: event.address,
                port: event.port,
                description: event.description.clone(),
                state: NodeState::Unknown,
                state_since: at,
                state_at: position,
                fenced: false,
                created: at,
                updated: at,
                last: position,
            };
            if let Some(deadline) = state.node_deadline(&node) {
                state.index.deadlines.insert((deadline, Due::Node(event.id)));
            }
            state.nodes.insert(event.id, Arc::new(node));
            touched.add(ObjectId::Node(event.id));
        }
        NodeEvent::NodeDescribed(event) => {
            state.update_node(event.id, |node| {
                node.description = event.description.clone();
                (node.updated, node.last) = (at, position);
            });
            touched.add(ObjectId::Node(event.id));
        }
        NodeEvent::NodeUpdated(event) => {
            state.update_node(event.id, |node| {
                node.availability = event.availability;
                node.labels.clone_from(&event.labels);
                node.changed = position;
                (node.updated, node.last) = (at, position);
            });
            touched.add(ObjectId::Node(event.id));
        }
        NodeEvent::NodeStateChanged(event) => {
            state.update_node(event.id, |node| {
                node.state = event.state;
                (node.state_since, node.state_at) = (at, position);
                if event.state != NodeState::Down {
                    node.fenced = false;
                }
                (node.updated, node.last) = (at, position);
            });
            touched.add(ObjectId::Node(event.id));
        }
        NodeEvent::NodeImageChanged(event) => {
            state.update_node(event.node, |node| node.last = position);
            touched.add(ObjectId::Node(event.node));
        }
        NodeEvent::NodeVolumeChanged(event) => {
            state.update_node(event.node, |node| node.last = position);
            touched.add(ObjectId::Node(event.node));
        }
        NodeEvent::NodeFenced(event) => {
            state.update_node(event.id, |node| {
                node.fenced = true;
                (node.updated, node.last) = (at, position);
            });
            // Nobody sends to its addresses any more: tasks that were to end there hold nothing now.
            let over: Vec<_> = state
                .tasks_on(event.id)
                .filter(|t| t.desired > crate::task::TaskState::Running)
                .map(|t| t.id)
                .collect();
            for id in over {
                let service = state.update_task(id, |task| {
                    task.gone = true;
                    (task.updated, task.last) = (at, position);
                });
                touched.add(ObjectId::Task(id));
                touched.add(ObjectId::Service(service));
                crate::task::fold::touch_networks(state, id, touched);
                state.mark_dirty(ObjectId::Task(id));
            }
            touched.add(ObjectId::Node(event.id));
        }
    }
}
