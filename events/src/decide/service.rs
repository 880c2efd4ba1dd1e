//! Decisions about services.

use crate::codec::NewEvent;
use crate::envelope::Detached;
use crate::id::ServiceId;
use crate::record::Position;
use crate::refusal::Refusal;
use crate::service::event::{ServiceCreated, ServiceRemoved, ServiceScaled};
use crate::service::{Mode, ServiceSpec};
use crate::state::State;

use super::{Context, check, spec};

pub(super) fn create(
    state: &State,
    asked: &ServiceSpec,
    env: &[String],
    context: &mut Context,
) -> Result<Vec<NewEvent>, Refusal> {
    if state.index.service_names.contains_key(&asked.name.folded()) {
        return Err(Refusal::NameConflict { noun: "service", name: asked.name.to_string() });
    }
    spec::check(state, asked)?;
    check::environment(env)?;
    let id = ServiceId::from_random(context.ids.bytes16());
    let detached = Detached { reason: None, env: env.to_vec() };
    let count = u32::try_from(env.len()).expect("check::environment bounds it");
    let event = ServiceCreated { id, spec: asked.clone(), env: count };
    Ok(vec![NewEvent { event: event.into(), detached }])
}

pub(super) fn scale(
    state: &State,
    id: ServiceId,
    replicas: u64,
    if_changed: Option<Position>,
) -> Result<Vec<NewEvent>, Refusal> {
    let service = check::service(state, id)?;
    if if_changed.is_some_and(|position| position != service.changed) {
        return Err(Refusal::OutOfSequence);
    }
    if service.spec.mode == Mode::Global {
        return Err(Refusal::Invalid("scale can only be used with replicated mode".to_owned()));
    }
    spec::replicas(replicas)?;
    Ok(vec![ServiceScaled { id, replicas }.into()])
}

pub(super) fn remove(state: &State, id: ServiceId) -> Result<Vec<NewEvent>, Refusal> {
    check::service(state, id)?;
    Ok(vec![ServiceRemoved { id }.into()])
}
