//! From a command to what happens, or why it may not. The only place where history is chosen.
//! A function of its arguments: time, identity and randomness come in `Context` and are written into the events.

mod check;
mod cluster;
mod consumer;
mod network;
mod node;
mod service;
mod spec;
mod task;
mod update;

pub(crate) use task::{may_run, must_leave, on_lost_node};

use imbl::OrdMap;

use crate::codec::NewEvent;
use crate::command::Command;
use crate::id::{IdSource, NodeId};
use crate::record::Position;
use crate::refusal::Refusal;
use crate::state::State;
use crate::time::Time;

/// What a command is decided with, besides State.
#[derive(Clone, Debug)]
pub struct Context {
    /// Cluster time of this decision.
    pub now: Time,
    /// New ids, addresses and salts.
    pub ids: IdSource,
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// What each node's session has confirmed to have applied.
    pub acked: OrdMap<NodeId, Position>,
}

/// Longest reason a user may give, in bytes.
pub const REASON_MAX: usize = 4096;

/// Refuses events about an object that has a record after `since`.
pub fn unchanged_since(state: &State, events: &[NewEvent], since: Position) -> Result<(), Refusal> {
    if since > state.position {
        let text = format!("there is no record {since} yet: the newest is {}", state.position);
        return Err(Refusal::Invalid(text));
    }
    for object in events.iter().filter_map(|new| new.event.subject()) {
        let Some(changed) = state.changed_at(object).filter(|at| *at > since) else { continue };
        let name = state.name_of(object).unwrap_or_default();
        return Err(Refusal::Changed {
            object: format!("{} {name}", object.noun()),
            changed,
            since,
        });
    }
    Ok(())
}

/// Decides a command on a state.
pub fn decide(
    state: &State,
    command: &Command,
    context: &mut Context,
) -> Result<Vec<NewEvent>, Refusal> {
    if context.reason.as_ref().is_some_and(|r| r.len() > REASON_MAX) {
        return Err(Refusal::TooLarge("the reason", REASON_MAX));
    }
    if !matches!(command, Command::CreateCluster { .. }) && state.cluster.is_none() {
        return Err(Refusal::NotInSwarm);
    }
    let mut events = match command {
        Command::CreateCluster { id, spec, ca_certificate, worker_token, manager_token, node } => {
            let event = crate::cluster::event::ClusterCreated {
                id: *id,
                spec: spec.clone(),
                ca_certificate: ca_certificate.clone(),
                worker_token: *worker_token,
                manager_token: *manager_token,
            };
            cluster::create(state, event, node)
        }
        Command::Redact { position, commitment } => cluster::redact(state, *position, *commitment),
        Command::ConfirmRedaction { position, node } => {
            cluster::confirm_redaction(state, *position, *node)
        }
        Command::CreateConsumer { name, at } => consumer::create(state, name, *at),
        Command::MoveConsumer { name, to, seek } => consumer::advance(state, name, *to, *seek),
        Command::RemoveConsumer(name) => consumer::remove(state, name),
        Command::Checkpoint => cluster::checkpoint(state),
        Command::JoinNode(new) => node::join(state, new),
        Command::DescribeNode { id, description } => node::describe(state, *id, description),
        Command::UpdateNode { id, availability, labels, if_changed } => {
            node::update(state, *id, *availability, labels, *if_changed)
        }
        Command::SetNodeState { id, state: to, message } => {
            node::set_state(state, *id, *to, message, context.now)
        }
        Command::FenceNode { id, at } => node::fence(state, *id, *at),
        Command::NoteImages { node, notes } => node::note_images(state, *node, notes),
        Command::NoteVolumes { node, notes } => node::note_volumes(state, *node, notes),
        Command::CreateNetwork(new) => network::create(state, new, context),
        Command::RemoveNetwork(id) => network::remove(state, *id),
        Command::CreateService { spec, env } => service::create(state, spec, env, context),
        Command::ScaleService { id, replicas, if_changed } => {
            service::scale(state, *id, *replicas, *if_changed)
        }
        Command::UpdateService { id, spec, env, if_changed } => {
            update::update(state, *id, spec, env, *if_changed)
        }
        Command::RollbackService { id, if_changed, failed } => {
            update::roll_back(state, *id, *if_changed, *failed)
        }
        Command::SetUpdateState { id, began, state: to, message } => {
            update::set_state(state, *id, *began, *to, message)
        }
        Command::DelayUpdate { id, began, until } => update::delay(state, *id, *began, *until),
        Command::RemoveService(id) => service::remove(state, *id),
        Command::StartExec { task, program } => task::start_exec(state, *task, program),
        Command::Report { node, sightings } => task::report(state, *node, sightings),
        Command::CreateTasks { service, tasks } => task::create(state, *service, tasks, context),
        Command::SetDesired { seen, tasks } => task::set_desired(state, *seen, tasks),
        Command::Schedule { placements, obstacles } => {
            task::schedule(state, placements, obstacles, context)
        }
        Command::Withdraw { tasks } => task::withdraw(state, tasks, context),
        Command::RemoveTasks { tasks } => task::remove(state, tasks),
    }?;
    if let Some(first) = events.first_mut() {
        first.detached.reason.clone_from(&context.reason);
    }
    Ok(events)
}
