//! How State changes by what happens to services.

use std::sync::Arc;

use crate::codec::Apart;
use crate::event::ServiceEvent;
use crate::id::{ObjectId, ServiceId};
use crate::state::index::Due;
use crate::state::touched::Touched;
use crate::state::{Record, State, VersionKey};
use crate::time::Time;

use super::update::{Update, Way};
use super::{Mode, Previous, Service, ServiceSpec, Version};

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
            keep_version(state, record, (event.id, 1), spec, event.env);
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
                previous: None,
                backwards: false,
                update: None,
                created: at,
                updated: at,
            };
            state.services.insert(event.id, Arc::new(service));
            touched.add(ObjectId::Service(event.id));
        }
        ServiceEvent::ServiceScaled(event) => {
            let service = state.services.get_mut(&event.id).expect("a scaled service exists");
            let service = Arc::make_mut(service);
            let previous = Previous { spec: service.spec.clone(), version: service.version };
            let unused = service.previous.replace(previous).map(|p| p.version);
            service.spec.mode = Mode::Replicated { replicas: event.replicas };
            (service.changed, service.updated) = (position, at);
            if let Some(version) = unused {
                forget_version_if_unused(state, (event.id, version));
            }
            touched.add(ObjectId::Service(event.id));
        }
        ServiceEvent::ServiceUpdated(event) => {
            if !state.versions.contains_key(&(event.id, event.version)) {
                keep_version(state, record, (event.id, event.version), &event.spec, event.env);
            }
            let old = Arc::clone(state.services.get(&event.id).expect("an updated service exists"));
            for attachment in &old.spec.task.networks {
                state.index.network_services.remove(&(attachment.network, event.id));
            }
            for attachment in &event.spec.task.networks {
                state.index.network_services.insert((attachment.network, event.id));
            }
            state.update_service(event.id, |service| {
                service.spec = event.spec.clone();
                service.version = event.version;
                service.previous = match event.way {
                    Way::Forward | Way::Back => {
                        Some(Previous { spec: old.spec.clone(), version: old.version })
                    }
                    Way::Fallback => None,
                };
                service.backwards = event.way != Way::Forward;
                service.update = None;
                (service.changed, service.updated) = (position, at);
            });
            let before = old.previous.as_ref().map(|p| p.version);
            for version in before.into_iter().chain([old.version]) {
                forget_version_if_unused(state, (event.id, version));
            }
            touched.add(ObjectId::Service(event.id));
        }
        ServiceEvent::ServiceUpdateChanged(event) => {
            state.update_service(event.id, |service| {
                let begun = Update {
                    state: event.state,
                    message: event.message.clone(),
                    started: at,
                    ended: None,
                    began: position,
                    slots: event.slots,
                    failed: 0,
                    last_failed: None,
                    until: None,
                };
                let earlier = service.update.take().filter(|_| !event.state.is_active());
                let update = service.update.insert(earlier.unwrap_or(begun));
                update.state = event.state;
                update.message.clone_from(&event.message);
                update.until = None;
                update.ended = event.state.is_complete().then_some(at);
                service.updated = at;
            });
            touched.add(ObjectId::Service(event.id));
        }
        ServiceEvent::ServiceUpdateDelayed(event) => {
            state.update_service(event.id, |service| {
                if let Some(update) = &mut service.update {
                    update.until = event.until;
                }
            });
            touched.add(ObjectId::Service(event.id));
        }
        ServiceEvent::ServiceRemoved(event) => {
            state.update_service(event.id, |service| service.update = None);
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
            let all = (event.id, 0)..=(event.id, u64::MAX);
            let versions: Vec<_> = state.versions.range(all).map(|(key, _)| *key).collect();
            for key in versions {
                forget_version_if_unused(state, key);
            }
            touched.add(ObjectId::Service(event.id));
        }
    }
}

/// Keeps what tasks run. The fixed part says whether there are values, so an erased part folds to the same.
fn keep_version(
    state: &mut State,
    record: Record<'_>,
    key: VersionKey,
    spec: &ServiceSpec,
    env: u32,
) {
    let detached = record.apart.commitment().filter(|_| env > 0);
    if let (Some(commitment), Apart::Present { value, .. }) = (detached, record.apart) {
        state.detached.insert(commitment, Arc::new(value.clone()));
    }
    let (name, task) = (spec.name.clone(), spec.task.clone());
    let version = Version { name, global: spec.mode == Mode::Global, task, detached, tasks: 0 };
    state.versions.insert(key, Arc::new(version));
}

impl State {
    /// When a service's update goes on although nothing happens.
    pub(crate) fn update_deadline(service: &Service) -> Option<Time> {
        service.updating().and_then(|update| update.until)
    }

    pub(crate) fn update_service(&mut self, id: ServiceId, change: impl FnOnce(&mut Service)) {
        let slot = self.services.get_mut(&id).expect("events name services that exist");
        let before = Self::update_deadline(slot);
        let service = Arc::make_mut(slot);
        change(service);
        let after = Self::update_deadline(service);
        if before != after {
            before.map(|at| self.index.deadlines.remove(&(at, Due::Service(id))));
            after.map(|at| self.index.deadlines.insert((at, Due::Service(id))));
        }
        self.mark_dirty(ObjectId::Service(id));
    }
}

/// A version is kept while its service is at it, or may go back to it, or a task carries it out.
pub(crate) fn forget_version_if_unused(state: &mut State, key: VersionKey) {
    let current = state.services.get(&key.0).is_some_and(|s| {
        s.version == key.1 || s.previous.as_ref().is_some_and(|p| p.version == key.1)
    });
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
