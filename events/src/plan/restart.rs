//! Whether and when a task that ended is replaced.

use crate::decide::may_run;
use crate::id::ServiceId;
use crate::state::State;
use crate::state::index::{held_until, starts_by};
use crate::task::spec::{RestartCondition, RestartPolicy};
use crate::task::{Task, TaskState};
use crate::time::{Span, Time};

/// A task that ran so long did well: the next one waits no longer than was asked for.
const LASTS: Span = Span::seconds(60);
/// The second delay where none was asked for.
const FIRST: Span = Span::millis(100);
/// The longest delay of what fails.
const FAILED_MAX: Span = Span::seconds(300);
/// The longest of what ends well, as programs do that are started again and again on purpose: Docker's usual delay.
const ENDED_MAX: Span = Span::seconds(5);
/// Of a service whose tasks are always replaced after the same delay, as Docker does: `skein.restart.backoff=off`.
const LABEL: &str = "skein.restart.backoff";

/// How long to wait before the replacement may start; `None` means the task is not replaced.
/// A function of State alone: attempts are counted back from the task's own end, as Swarm does, so time changes nothing.
pub(super) fn delay(state: &State, task: &Task, leaves: bool) -> Option<Span> {
    let policy = state.version_of(task).task.restart;
    if leaves {
        // Nothing of the task's own making: it goes elsewhere at once, unless it is never to run twice.
        return (policy.condition != RestartCondition::None).then_some(Span(0));
    }
    let wanted = match policy.condition {
        RestartCondition::None => false,
        RestartCondition::OnFailure => task.status.state != TaskState::Complete,
        RestartCondition::Any => true,
    };
    (wanted && attempts_left(state, task.service, task.slot, &policy, task.status_at))
        .then(|| backed_off(state, task, &policy))
}

/// A task that ended within a minute waited long enough before it when it waited twice as long as the one before it: so what
/// fails again and again is tried less and less, and writes less and less history. The delay it had itself tells how often
/// that was, so nothing is counted: one of a new version, or in a new slot, had none.
fn backed_off(state: &State, task: &Task, policy: &RestartPolicy) -> Span {
    let asked = policy.delay;
    let lasted = task.ran.is_some_and(|ran| task.status_at.since(ran) >= LASTS);
    let constant = state.services.get(&task.service).is_some_and(|service| {
        service.spec.labels.iter().any(|(key, value)| key == LABEL && value == "off")
    });
    // Whoever limits attempts bounds them himself, and counts on the delay for what falls into their window.
    if lasted || constant || policy.max_attempts > 0 {
        return asked;
    }
    // In the place of one that ended, and not the first of its slot: a delay of nothing has no moment.
    let Some(_) = task.replaces else { return asked };
    let waited = task.start_at.map_or(Span(0), |at| at.since(task.created));
    let most = if task.status.state == TaskState::Complete { ENDED_MAX } else { FAILED_MAX };
    let longer = Span(waited.0.saturating_mul(2)).max(FIRST).min(most);
    asked.max(longer)
}

/// Whether a task that is ready may start: its delay is over, or the task it follows has stopped, or was waited for
/// long enough.
pub(super) fn may_start(state: &State, task: &Task, now: Time) -> bool {
    let follows = task.replaces.and_then(|old| state.tasks.get(&old));
    let free = follows.is_none_or(|old| !may_run(state, old));
    let too_early = task.start_at.map_or(mutated!(NotAwaited), |_| mutated!(AtOnce));
    if too_early {
        return true;
    }
    task.start_at.map_or(free, |at| at <= now) || starts_by(task) <= now
}

/// Whether a task ended before its restart delay was over, as one does that cannot be prepared: what comes in its place
/// waits until then, as in Swarm, so that a task without a chance is tried once a delay and not at once again.
pub(super) fn is_early(task: &Task, now: Time) -> bool {
    held_until(task).is_some_and(|at| at > now)
}

/// Whether a task ended, or never had a node to end on.
pub(super) fn is_over(task: &Task) -> bool {
    task.has_ended() || task.is_over()
}

fn attempts_left(
    state: &State,
    service: ServiceId,
    slot: u64,
    policy: &RestartPolicy,
    ended: Time,
) -> bool {
    if policy.max_attempts == 0 || mutated!(Tireless) {
        return true;
    }
    let Some(times) = state.restarts.get(&(service, slot)) else { return true };
    let counted = times
        .iter()
        .filter(|at| policy.window.0 == 0 || ended.since(**at) <= policy.window)
        .count();
    (counted as u64) < policy.max_attempts
}
