//! After the last fault: every service comes to what was asked for or has a reason that holds, what runs is what should,
//! planning everything finds nothing to do, and the log falls silent.

use std::collections::BTreeSet;

use skein_events::command::Command;
use skein_events::decide::{Context, decide};
use skein_events::id::{IdSource, TaskId};
use skein_events::node::{Availability, NodeState};
use skein_events::plan::schedule::constraint;
use skein_events::plan::{self, allocate, liveness, withdraw};
use skein_events::service::{Mode, Service};
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::task::spec::{RestartCondition, TaskSpec};
use skein_events::task::{Task, TaskState};
use skein_events::time::Span;
use skein_net::overlay::Kernel as _;

use super::check::Check;
use super::fate;
use super::load::Client;
use super::time::nap;
use super::world::{Machine, World};

/// The swarm has so long to come to rest.
const CONVERGES_IN: Span = Span::seconds(200);
const LOOK: Span = Span::millis(500);
/// Nothing was written for so long: longer than any restart delay, any life cut short, and the wait for a checkpoint.
const CALM: Span = Span::seconds(17);
/// Then nothing is written for so long …
const SILENCE: Span = Span::seconds(20);
/// … and in some histories for longer than any agent's own rounds.
const LONG_SILENCE: Span = Span::seconds(90);

type Judged = Result<(), (Check, String)>;

/// Waits for rest and judges it.
pub(super) async fn comes_to_rest(world: &World, mut client: Client) -> Judged {
    let state = world.reach().await.face.state();
    for node in state.nodes.values() {
        let (id, labels) = (node.id, node.labels.clone());
        let availability = Availability::Active;
        let update = Command::UpdateNode { id, availability, labels, if_changed: None };
        client.ask(update, "make a node active").await;
    }
    let (mut waited, mut calm, mut last) = (Span(0), Span(0), state.position);
    while calm < CALM {
        nap(LOOK).await;
        waited = Span(waited.0 + LOOK.0);
        super::judge::machines(world)?;
        let state = world.reach().await.face.state();
        // What a client asked for before may come in only now.
        for service in state.services.values().filter(|s| never_rests(&state, s)) {
            client.ask(Command::RemoveService(service.id), "remove what never rests").await;
        }
        let rests = at_rest(world, &state).await;
        calm =
            if rests.is_ok() && state.position == last { Span(calm.0 + LOOK.0) } else { Span(0) };
        last = state.position;
        if waited >= CONVERGES_IN {
            rests?;
            return Err((Check::Quiet, format!("something is still written at {last}")));
        }
    }
    world.trace.line("sim", "rest", format_args!("after {waited}"));
    let face = world.reach().await.face;
    let before = face.state();
    plans_nothing(&before, face.time.now())?;
    nap(if client.dice.chance(20) { LONG_SILENCE } else { SILENCE }).await;
    let after = world.reach().await.face.state();
    if after.position != before.position {
        return Err((
            Check::Quiet,
            format!("{} at rest, {} later", before.position, after.position),
        ));
    }
    Ok(())
}

/// Whether a service's tasks end and are replaced for ever.
fn never_rests(state: &State, service: &Service) -> bool {
    let all = (service.id, 0)..=(service.id, u64::MAX);
    state.versions.range(all).any(|(_, version)| runs_for_ever(&version.task))
}

fn runs_for_ever(task: &TaskSpec) -> bool {
    let word = task.container.args.first().map(String::as_str);
    let bad = task.container.image != fate::IMAGE
        || matches!(word, Some(fate::NOSUCH | fate::CRASHES | fate::ENDS));
    // Attempts within a window may never be used up.
    let ends = task.restart.max_attempts > 0 && task.restart.window.0 == 0;
    bad && !ends && task.restart.condition != RestartCondition::None
}

async fn at_rest(world: &World, state: &State) -> Judged {
    let late = |text: String| (Check::Converges, text);
    if let Some(node) = state.nodes.values().find(|n| n.state != NodeState::Ready) {
        return Err(late(format!("{} is {:?}", node.description.hostname, node.state)));
    }
    for service in state.services.values() {
        let slots: BTreeSet<u64> = state.tasks_of(service.id).map(|t| t.slot).collect();
        let used: Vec<&Task> = slots
            .into_iter()
            .filter_map(|slot| state.head_of_slot(service.id, slot))
            .map(|t| &**t)
            .filter(|t| t.desired < TaskState::Remove)
            .collect();
        let name = &service.spec.name;
        let wanted = match service.spec.mode {
            Mode::Replicated { replicas } => replicas,
            Mode::Global => {
                let fits = |n: &&std::sync::Arc<_>| plan::global::fits(service, n);
                state.nodes.values().filter(fits).count() as u64
            }
        };
        // A node that does not fit any more keeps the history of its slot.
        let fits = |t: &&Task| match service.spec.mode {
            Mode::Replicated { .. } => true,
            Mode::Global => {
                state.node_numbered(t.slot).is_some_and(|n| plan::global::fits(service, n))
            }
        };
        if let Some(task) = used.iter().find(|t| !fits(t) && t.desired <= TaskState::Running) {
            return Err(late(format!("{name} keeps {} on a node that does not fit", task.id)));
        }
        let used: Vec<&Task> = used.into_iter().filter(fits).collect();
        if used.len() as u64 != wanted {
            return Err(late(format!("{name} has {} of {wanted} slots", used.len())));
        }
        for task in used {
            fulfilled(state, task)
                .map_err(|why| late(format!("{name}.{} {}: {why}", task.slot, task.id)))?;
        }
    }
    let lingers = |t: &&std::sync::Arc<Task>| t.desired > TaskState::Running && !t.is_over();
    if let Some(task) = state.tasks.values().find(lingers) {
        return Err(late(format!("{} is to be {:?} and lingers", task.id, task.desired)));
    }
    for machine in world.machines() {
        nothing_left(machine, state).await?;
    }
    Ok(())
}

/// Whether a slot has what was asked for, or a reason that holds.
fn fulfilled(state: &State, task: &Task) -> Result<(), String> {
    if state.is_named(task) {
        return Ok(());
    }
    if task.has_ended() {
        let policy = state.version_of(task).task.restart;
        let attempts = state.restarts.get(&(task.service, task.slot)).map_or(0, |t| t.len() as u64);
        let used_up = policy.max_attempts > 0 && attempts >= policy.max_attempts;
        let done = match policy.condition {
            RestartCondition::None => true,
            RestartCondition::OnFailure => task.status.state == TaskState::Complete || used_up,
            RestartCondition::Any => used_up,
        };
        return (done && task.desired > TaskState::Running)
            .then_some(())
            .ok_or_else(|| format!("ended as {:?} and is not replaced", task.status.state));
    }
    let Some(obstacle) = task.obstacle.as_ref().filter(|_| task.node.is_none()) else {
        return Err(format!("is {:?} and to be {:?}", task.status.state, task.desired));
    };
    if task.desired != TaskState::Running {
        return Err(format!("waits to be {:?}", task.desired));
    }
    let spec = &state.version_of(task).task;
    let full = spec.networks.iter().filter_map(|a| state.networks.get(&a.network));
    let no_address = full.into_iter().any(|n| allocate::address::left(state, n) == 0);
    let own = |number| !state.version_of(task).global || number == task.slot;
    let no_room = state.nodes.values().filter(|n| own(n.number)).all(|node| {
        if constraint::unmet(&spec.placement.constraints, node).is_some() {
            return true;
        }
        let held =
            || state.tasks.values().filter(|t| t.node == Some(node.id) && t.holds_resources());
        let of_service = held().filter(|t| t.service == task.service).count() as u64;
        if spec.placement.max_per_node > 0 && of_service >= spec.placement.max_per_node {
            return true;
        }
        let used: u64 = held().map(|t| state.version_of(t).task.reservations.cpus.0).sum();
        used + spec.reservations.cpus.0 > node.description.cpus.0
    });
    let redacted =
        state.version_of(task).detached.is_some_and(|c| !state.detached.contains_key(&c));
    (no_address || no_room || redacted)
        .then_some(())
        .ok_or_else(|| format!("waits without a cause: {obstacle}"))
}

async fn nothing_left(machine: &Machine, state: &State) -> Judged {
    let runs = |t: &&std::sync::Arc<Task>| t.status.state == TaskState::Running && !t.gone;
    let on =
        |id: &TaskId| state.tasks.get(id).is_some_and(|t| t.node == Some(machine.id) && !t.gone);
    let wanted: Vec<TaskId> = state
        .tasks
        .values()
        .filter(|t| t.node == Some(machine.id))
        .filter(runs)
        .map(|t| t.id)
        .collect();
    let running = machine.runtime.running();
    if running != wanted {
        let text = format!("{} runs {running:?}, wanted are {wanted:?}", machine.name);
        return Err((Check::NothingLeft, text));
    }
    let attached = machine.kernel.attached().await.expect("a fake kernel remembers");
    if let Some(left) = attached.iter().find(|id| !on(id)) {
        return Err((Check::NothingLeft, format!("{left} is still attached on {}", machine.name)));
    }
    Ok(())
}

/// Planning everything proposes nothing that would be accepted.
fn plans_nothing(state: &State, now: skein_events::time::Time) -> Judged {
    let acked = state.nodes.keys().map(|id| (*id, state.position)).collect();
    let mut proposals = plan::plan(state, &Touched::Everything, now).proposals;
    proposals.extend(liveness::fences(state, &acked));
    proposals.extend(withdraw::acknowledged(state, &acked));
    for proposal in proposals {
        let ids = IdSource::new([1; 32]);
        let mut context = Context { now, ids, reason: None, acked: acked.clone() };
        if decide(state, &proposal.command, &mut context).is_ok() {
            return Err((Check::PlanAtRest, format!("{:?}", proposal.command)));
        }
    }
    Ok(())
}

/// At last the manager loses power once more: everything is still there.
pub(super) async fn comes_back(world: &World) -> Judged {
    let before = world.reach().await.face.state();
    let mut up = world.up.subscribe();
    up.mark_unchanged();
    world.crash.notify_one();
    up.changed().await.expect("the world outlives its waiters");
    let face = world.reach().await.face;
    let mut head = face.published.head.subscribe();
    let there = head.wait_for(|h| h.position >= before.position);
    if tokio::time::timeout(CONVERGES_IN.as_std(), there).await.is_err() {
        let text = format!("{} before, {} after a start", before.position, face.state().position);
        return Err((Check::HistoryKept, text));
    }
    super::audit::audit(world, &face);
    Ok(())
}
