//! Decisions about services.

use crate::codec::NewEvent;
use crate::envelope::Detached;
use crate::id::ServiceId;
use crate::record::Position;
use crate::refusal::Refusal;
use crate::service::event::{ServiceCreated, ServiceRemoved, ServiceScaled};
use crate::service::{EndpointMode, ServiceSpec};
use crate::state::State;

use super::{Context, check};

pub(super) fn create(
    state: &State,
    spec: &ServiceSpec,
    env: &[String],
    context: &mut Context,
) -> Result<Vec<NewEvent>, Refusal> {
    if state.index.service_names.contains_key(&spec.name.folded()) {
        return Err(Refusal::NameConflict { noun: "service", name: spec.name.to_string() });
    }
    check_spec(state, spec)?;
    check::environment(env)?;
    let id = ServiceId::from_random(context.ids.bytes16());
    let detached = Detached { reason: None, env: env.to_vec() };
    let count = u32::try_from(env.len()).expect("check::environment bounds it");
    let event = ServiceCreated { id, spec: spec.clone(), env: count };
    Ok(vec![NewEvent { event: event.into(), detached }])
}

fn check_spec(state: &State, spec: &ServiceSpec) -> Result<(), Refusal> {
    let task = &spec.task;
    let container = &task.container;
    if container.image.is_empty() {
        return Err(Refusal::Invalid("ContainerSpec: image reference must be provided".to_owned()));
    }
    check::labels(&spec.labels)?;
    check::labels(&container.labels)?;
    let words = container.command.iter().chain(&container.args);
    let options = [&container.dir, &container.user, &container.hostname, &container.stop_signal];
    let texts = words.chain(options.into_iter().flatten()).map(|text| text.len() + check::ITEM);
    let aliases = task.networks.iter().map(|a| (a.aliases.len() + 1) * check::ITEM);
    let size = container.image.len() + texts.sum::<usize>() + aliases.sum::<usize>();
    if size + check::size_of(&spec.labels) + check::size_of(&container.labels) > check::SPEC_MAX {
        return Err(Refusal::TooLarge("the service's spec", check::SPEC_MAX));
    }
    if task.restart.max_attempts > check::ATTEMPTS_MAX {
        return Err(Refusal::Invalid(format!(
            "invalid restart-max-attempts value {}: it must be at most {}",
            task.restart.max_attempts,
            check::ATTEMPTS_MAX
        )));
    }
    for memory in [task.limits.resources.memory, task.reservations.memory] {
        if memory.0 != 0 && memory.0 < check::MEMORY_MIN {
            return Err(Refusal::Invalid(format!(
                "invalid memory value {}: Must be at least 4MiB",
                memory.0
            )));
        }
    }
    for cpus in [task.limits.resources.cpus, task.reservations.cpus] {
        if cpus.0 != 0 && cpus.0 < 1_000_000 {
            return Err(Refusal::Invalid(format!(
                "invalid cpu value {}: Must be at least 0.001",
                cpus.0
            )));
        }
    }
    check_replicas(match spec.mode {
        crate::service::Mode::Replicated { replicas } => replicas,
    })?;
    for (n, attachment) in task.networks.iter().enumerate() {
        check::network(state, attachment.network)?;
        if task.networks[..n].iter().any(|a| a.network == attachment.network) {
            return Err(Refusal::Invalid(format!(
                "network {} is given twice",
                check::network(state, attachment.network)?.spec.name
            )));
        }
    }
    if (spec.endpoint == EndpointMode::Dnsrr) && task.networks.is_empty() {
        return Err(Refusal::Invalid(
            "endpoint mode dnsrr needs a network: add --network NAME".to_owned(),
        ));
    }
    if (spec.endpoint == EndpointMode::Unnamed) && !task.networks.is_empty() {
        return Err(Refusal::Unsupported(
            "a service on a network needs a name to resolve: add --endpoint-mode dnsrr".to_owned(),
        ));
    }
    Ok(())
}

fn check_replicas(replicas: u64) -> Result<(), Refusal> {
    if replicas > check::REPLICAS_MAX {
        return Err(Refusal::Invalid(format!(
            "invalid replicas value {replicas}: it must be at most {}",
            check::REPLICAS_MAX
        )));
    }
    Ok(())
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
    check_replicas(replicas)?;
    Ok(vec![ServiceScaled { id, replicas }.into()])
}

pub(super) fn remove(state: &State, id: ServiceId) -> Result<Vec<NewEvent>, Refusal> {
    check::service(state, id)?;
    Ok(vec![ServiceRemoved { id }.into()])
}
