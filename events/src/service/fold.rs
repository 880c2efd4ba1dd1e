//! How State changes by what happens to services.

use std::sync::Arc;

use crate::codec::Apart;
use crate::event::ServiceEvent;
use crate::id::ObjectId;
use crate::state::touched::Touched;
use crate::state::{Record, State, VersionKey};

use super::{Mode, Service, Version};

pub(crate) fn apply(
    state: &mut State,
    record: Record<'_>,
    event: ServiceEvent<'_>,
    touched: &mut Touched,
) {
    let (at, position) = (state.at, record.position);
    match event {
        ServiceEvent::ServiceCreated(event) => {
            let spec = &event.spec;
            // The fixed part says whether there are values, so an erased part folds to the same.
            let detached = record.apart.commitment().filter(|_| event.env > 0);
            if let (Some(commitment), Apart::Present { value, .. }) = (detached, record.apart) {
                state.detached.insert(commitment, Arc::new(value.clone()));
            }
            let version =
                Version { name: spec.name.clone(), task: spec.task.clone(), detached, tasks: 0 };
            state.versions.insert((event.id, 1), Arc::new(version));
            let before = state.index.service_names.insert(spec.name.folded(), event.id);
            assert!(before.is_none(), "a service's name has one holder");
            for attachment in &spec.task.networks {
                state.index.network_services.insert((attachment.network, event.id));
            }
            let service = Service {
                id: event.id,
                spec: spec.clone(),
                version: 1,
                changed: position,
                created: at,
                updated: at,
            };
            state.services.insert(event.id, Arc::new(service));
            touched.add(ObjectId::Service(event.id));
        }
        ServiceEvent::ServiceScaled(event) => {
            let service = state.services.get_mut(&event.id).expect("a scaled service exists");
            let service = Arc::make_mut(service);
            service.spec.mode = Mode::Replicated { replicas: event.replicas };
            (service.changed, service.updated) = (position, at);
            touched.add(ObjectId::Service(event.id));
        }
        ServiceEvent::ServiceRemoved(event) => {
            let service = state.services.remove(&event.id).expect("a removed service exists");
            state.index.service_names.remove(&service.spec.name.folded());
            for attachment in &service.spec.task.networks {
                state.index.network_services.remove(&(attachment.network, event.id));
            }
            let slots: Vec<_> = state
                .restarts
                .range((event.id, 0)..=(event.id, u64::MAX))
                .map(|(k, _)| *k)
                .collect();
            for slot in slots {
                state.restarts.remove(&slot);
            }
            for version in 1..=service.version {
                forget_version_if_unused(state, (event.id, version));
            }
            touched.add(ObjectId::Service(event.id));
        }
    }
}

/// A version is kept while its service is at it or a task carries it out.
pub(crate) fn forget_version_if_unused(state: &mut State, key: VersionKey) {
    let current = state.services.get(&key.0).is_some_and(|s| s.version == key.1);
    let Some(version) = state.versions.get(&key) else { return };
    if current || version.tasks > 0 {
        return;
    }
    if let Some(commitment) = version.detached {
        state.detached.remove(&commitment);
    }
    state.versions.remove(&key);
    state.mark_dirty(ObjectId::Service(key.0));
}
