//! How State changes by what happens to the swarm as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::event::ClusterEvent;
use crate::id::{ObjectId, ServiceId};
use crate::node::Role;
use crate::state::touched::Touched;
use crate::state::{Record, State};

use super::Cluster;
use super::consumer::Consumer;

pub(crate) fn apply(
    state: &mut State,
    record: Record<'_>,
    event: ClusterEvent<'_>,
    touched: &mut Touched,
) {
    match event {
        ClusterEvent::ClusterCreated(event) => {
            state.level = record.envelope.level;
            state.cluster = Some(Arc::new(Cluster {
                id: event.id,
                spec: event.spec.clone(),
                ca_certificate: event.ca_certificate.clone(),
                worker_token: event.worker_token,
                manager_token: event.manager_token,
                created: state.at,
                last: record.position,
                redacted: Vec::new(),
            }));
            touched.add(ObjectId::Cluster(event.id));
        }
        ClusterEvent::Checkpointed(_) => {
            state.checkpoint = record.position;
            state.unchecked_since = None;
        }
        ClusterEvent::LevelRaised(event) => state.level = event.level,
        ClusterEvent::RecordRedacted(event) => {
            state.detached.remove(&event.commitment);
            // Tasks that wait for a node and need the value are told so; and whether a task runs what is asked for
            // is told by comparing values, of its own version and of its service's: all tasks are looked at again.
            let services: BTreeSet<ServiceId> = state
                .versions
                .iter()
                .filter(|(_, version)| version.detached == Some(event.commitment))
                .map(|((service, _), _)| *service)
                .collect();
            for id in services {
                touched.add(ObjectId::Service(id));
                state.tasks_of(id).for_each(|t| touched.add(ObjectId::Task(t.id)));
            }
            if let Some(cluster) = &mut state.cluster {
                let cluster = Arc::make_mut(cluster);
                cluster.redacted.push(event.position);
                cluster.last = record.position;
            }
            let managers = state.nodes.values().filter(|n| n.role == Role::Manager);
            let orders = managers.map(|n| ((n.id, event.position), record.position));
            let orders: Vec<_> = orders.collect();
            state.unconfirmed.extend(orders);
        }
        ClusterEvent::ConsumerCreated(event) => {
            let name = event.name.clone();
            let consumer = Consumer {
                name: name.clone(),
                at: event.at,
                acknowledged: None,
                created: state.at,
                last: record.position,
            };
            state.consumers.insert(name, Arc::new(consumer));
        }
        ClusterEvent::ConsumerMoved(event) => {
            let now = state.at;
            if let Some(consumer) = state.consumers.get_mut(&event.name) {
                let consumer = Arc::make_mut(consumer);
                consumer.at = event.at;
                consumer.last = record.position;
                if !event.sought {
                    consumer.acknowledged = Some(now);
                }
            }
        }
        ClusterEvent::ConsumerRemoved(event) => {
            state.consumers.remove(&event.name);
        }
        ClusterEvent::RedactionConfirmed(event) => {
            state.unconfirmed.remove(&(event.node, event.position));
        }
    }
}
