//! Waits until a service runs as it was asked to, as `service create` and `service scale` do unless detached.
//! It asks again and again like Docker's client, so that it works with any Engine API. A terminal sees bars, anything else a
//! line for what changed.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard_stubs::models::{
    Service, ServiceUpdateStatusStateEnum, Task, TaskSpecRestartPolicyConditionEnum, TaskState,
};

use crate::args::At;
use crate::client::Query;
use crate::failure::Failure;
use crate::screen::{Meter, Part, Step};
use crate::session::Session;

/// Pause between two looks, as Docker's client.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the tasks have to stay up when the service's update configuration does not say.
const MONITOR: Duration = Duration::from_secs(5);

/// How long a global service may have no task before it is taken for one that fits no node.
const NODES_KNOWN: Duration = Duration::from_secs(1);

/// What a task goes through until it runs, as Docker's client counts it.
const STAGES: [&str; 9] = [
    "new",
    "allocated",
    "pending",
    "assigned",
    "accepted",
    "preparing",
    "ready",
    "starting",
    "running",
];

/// What one look shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    running: u64,
    desired: u64,
    /// How far the newest task of each slot or node has come.
    steps: BTreeMap<Part, Step>,
    /// The newest error of each slot or node that has none running, by task name.
    errors: BTreeMap<String, String>,
    /// Why what was asked for is being taken back, or was.
    taken_back: Option<String>,
}

/// What was seen of an update so far.
#[derive(Debug, Default)]
struct Course {
    /// It was under way: what is a rollback now is this one's, and not one of before.
    updating: bool,
    /// Why it is taken back, as was said first.
    why: Option<String>,
}

impl Course {
    /// Why the update that was under way is taken back.
    fn taken_back(&mut self, service: &Service) -> Option<String> {
        let status = service.update_status.as_ref()?;
        match status.state? {
            ServiceUpdateStatusStateEnum::UPDATING => self.updating = true,
            ServiceUpdateStatusStateEnum::ROLLBACK_STARTED
            | ServiceUpdateStatusStateEnum::ROLLBACK_COMPLETED
                if self.updating =>
            {
                let said = || status.message.clone().unwrap_or_default();
                return Some(self.why.get_or_insert_with(said).clone());
            }
            _ => {}
        }
        None
    }
}

/// Prints progress, unless it is to be quiet, until every task has run for the service's monitor period.
pub(super) async fn wait(session: &mut Session, id: &str, quiet: bool) -> Result<(), Failure> {
    let mut looks = tokio::time::interval(PAUSE);
    let mut shown = Progress::default();
    let mut complete_since: Option<tokio::time::Instant> = None;
    let mut meter = if quiet { None } else { session.screen.meter() };
    let mut course = Course::default();
    let mut begun = None;
    loop {
        let look = looks.tick().await;
        let (service, tasks) = read(session, id).await?;
        failed_update(&service)?;
        let taken_back = course.taken_back(&service);
        let now = Progress { taken_back, ..progress(&service, &tasks) };
        // How many nodes there are for it is said a moment after it was made.
        let begun = *begun.get_or_insert(look);
        if is_global(&service) && now.desired == 0 && look.duration_since(begun) < NODES_KNOWN {
            continue;
        }
        let first = complete_since.is_none() && shown == Progress::default();
        match &mut meter {
            _ if quiet => {}
            Some(meter) => draw(meter, &shown, &now, complete_since.map(|_| monitor(&service)))?,
            None => report(session, &shown, &now, first)?,
        }
        over(&service, &tasks)?;
        if now.running < now.desired || is_updating(&service) {
            complete_since = None;
        } else {
            let monitor = monitor(&service);
            let since = *complete_since.get_or_insert(look);
            if since == look && !monitor.is_zero() && meter.is_none() && !quiet {
                session.screen.line(waiting(monitor))?;
            }
            if look.duration_since(since) >= monitor {
                if let Some(meter) = meter.take() {
                    meter.finish();
                }
                if let Some(why) = now.taken_back {
                    return Err(Failure::failed(format!("service update rolled back: {why}")));
                }
                if quiet {
                    return Ok(());
                }
                return session.screen.line(format_args!("verify: Service {id} converged"));
            }
        }
        shown = now;
    }
}

fn waiting(monitor: Duration) -> String {
    format!("verify: Waiting {} seconds to verify that tasks are stable...", monitor.as_secs())
}

/// Redraws the bars. Errors are in the lines of their slots; the first is told with a hint that stays.
fn draw(
    meter: &mut Meter,
    shown: &Progress,
    now: &Progress,
    verifying: Option<Duration>,
) -> Result<(), Failure> {
    let Progress { running, desired, steps, errors, taken_back } = now;
    if let (None, Some(why)) = (&shown.taken_back, taken_back) {
        meter.say(&format!("rollback: {why}"))?;
    }
    if let (true, Some((task, error))) = (shown.errors.is_empty(), errors.first_key_value()) {
        meter.say(&format!("{task}: {error}\nhint: skein why {task}"))?;
    }
    let end = verifying.map(waiting).unwrap_or_default();
    meter.show(*running.min(desired), *desired, steps, &end);
    Ok(())
}

async fn read(session: &Session, id: &str) -> Result<(Service, Vec<Task>), Failure> {
    let by_id =
        Query::default().filtered(&[("id".to_owned(), id.to_owned())]).with("status", "true");
    let services: Vec<Service> =
        session.client.read(&format!("/services{by_id}"), &At::default()).await?;
    let Some(service) = services.into_iter().find(|service| service.id.as_deref() == Some(id))
    else {
        return Err(Failure::failed(format!(
            "service {id} was removed while its tasks were awaited"
        )));
    };
    let of_service = Query::default().filtered(&[("service".to_owned(), id.to_owned())]);
    let tasks = session.client.read(&format!("/tasks{of_service}"), &At::default()).await?;
    Ok((service, tasks))
}

fn report(
    session: &mut Session,
    shown: &Progress,
    now: &Progress,
    first: bool,
) -> Result<(), Failure> {
    let Progress { running, desired, errors, taken_back, steps: _ } = now;
    if let (None, Some(why)) = (&shown.taken_back, taken_back) {
        session.screen.line(format_args!("rollback: {why}"))?;
    }
    if first || (shown.running, shown.desired) != (*running, *desired) {
        let running = running.min(desired);
        let what = if taken_back.is_some() { "rolling back update: " } else { "" };
        session
            .screen
            .line(format_args!("overall progress: {what}{running} out of {desired} tasks"))?;
    }
    for (task, error) in errors {
        if shown.errors.get(task) != Some(error) {
            session.screen.line(format_args!("{task}: {error}"))?;
            if shown.errors.is_empty() {
                session.screen.note(format_args!("hint: skein why {task}"))?;
            }
        }
    }
    Ok(())
}

fn progress(service: &Service, tasks: &[Task]) -> Progress {
    let status = service.service_status.clone().unwrap_or_default();
    let name = service.spec.as_ref().and_then(|spec| spec.name.as_deref()).unwrap_or_default();
    let mut newest: BTreeMap<Part, &Task> = BTreeMap::new();
    for task in tasks {
        let Some(part) = part(task) else { continue };
        if newest.get(&part).is_none_or(|other| other.created_at < task.created_at) {
            newest.insert(part, task);
        }
    }
    let steps =
        newest.iter().filter_map(|(part, task)| Some((part.clone(), step(task)?))).collect();
    let mut errors = BTreeMap::new();
    for task in tasks {
        let up = part(task).and_then(|part| newest.get(&part)?.status.as_ref()?.state);
        let error = task.status.as_ref().and_then(|status| status.err.clone()).unwrap_or_default();
        if up != Some(TaskState::RUNNING) && !error.is_empty() {
            errors.insert(task_name(name, task), error);
        }
    }
    Progress {
        running: status.running_tasks.unwrap_or_default()
            + status.completed_tasks.unwrap_or_default(),
        desired: status.desired_tasks.unwrap_or_default(),
        steps,
        errors,
        taken_back: None,
    }
}

/// The line a task belongs to; a global service's tasks have no slots.
fn part(task: &Task) -> Option<Part> {
    match task.slot.map(u64::try_from) {
        Some(Ok(slot)) if slot > 0 => Some(Part::Slot(slot)),
        _ => task.node_id.clone().map(Part::Node),
    }
}

/// What a task is called after its service, as Swarm does.
fn task_name(service: &str, task: &Task) -> String {
    match part(task) {
        Some(Part::Slot(slot)) => format!("{service}.{slot}"),
        Some(Part::Node(node)) => format!("{service}.{node}"),
        None => service.to_owned(),
    }
}

fn is_global(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.mode.as_ref()).is_some_and(|mode| mode.global.is_some())
}

/// A task that failed and that nobody starts again is waited for in vain.
fn over(service: &Service, tasks: &[Task]) -> Result<(), Failure> {
    let spec = service.spec.as_ref();
    let policy = spec.and_then(|s| s.task_template.as_ref()?.restart_policy.as_ref()?.condition);
    if policy != Some(TaskSpecRestartPolicyConditionEnum::NONE) || is_updating(service) {
        return Ok(());
    }
    let ended = |task: &&Task| {
        let state = task.status.as_ref().and_then(|status| status.state);
        matches!(state, Some(TaskState::FAILED | TaskState::REJECTED))
    };
    // What came after it, by an update say, is waited for.
    let newest = |task: &&Task| {
        !tasks.iter().any(|t| {
            (t.slot, &t.node_id) == (task.slot, &task.node_id) && t.created_at > task.created_at
        })
    };
    let Some(task) = tasks.iter().filter(ended).find(newest) else { return Ok(()) };
    let name = spec.and_then(|spec| spec.name.as_deref()).unwrap_or_default();
    let why = task.status.as_ref().and_then(|status| status.err.as_deref()).unwrap_or("it failed");
    Err(Failure::failed(format!(
        "{}: {why}; it is not started again (--restart-condition none)",
        task_name(name, task)
    )))
}

/// Stage of a task; none of one that is to end.
fn step(task: &Task) -> Option<Step> {
    let status = task.status.as_ref()?;
    if let Some(error) = status.err.as_ref().filter(|error| !error.is_empty()) {
        return Some(Step::Stuck(error.clone()));
    }
    let name = status.state.as_ref()?.to_string();
    let stage = STAGES.iter().position(|stage| *stage == name).map(|at| at as u64 + 1);
    let wanted = task.desired_state.as_ref().is_none_or(|state| state <= &TaskState::RUNNING);
    wanted.then(|| Step::Stage(stage.unwrap_or(STAGES.len() as u64), STAGES.len() as u64, name))
}

fn monitor(service: &Service) -> Duration {
    let update = service.spec.as_ref().and_then(|spec| spec.update_config.as_ref());
    match update.and_then(|update| update.monitor).map(u64::try_from) {
        Some(Ok(nanos)) if nanos > 0 => Duration::from_nanos(nanos),
        _ => MONITOR,
    }
}

/// While slots are updated, as many tasks run as before: that is not what was asked for.
fn is_updating(service: &Service) -> bool {
    let state = service.update_status.as_ref().and_then(|status| status.state);
    matches!(
        state,
        Some(
            ServiceUpdateStatusStateEnum::UPDATING | ServiceUpdateStatusStateEnum::ROLLBACK_STARTED
        )
    )
}

/// An update that has stopped without reaching its end never converges.
fn failed_update(service: &Service) -> Result<(), Failure> {
    let Some(status) = &service.update_status else { return Ok(()) };
    let text = status.message.clone().unwrap_or_default();
    match status.state {
        Some(ServiceUpdateStatusStateEnum::PAUSED) => {
            Err(Failure::failed(format!("service update paused: {text}")))
        }
        Some(ServiceUpdateStatusStateEnum::ROLLBACK_PAUSED) => {
            Err(Failure::failed(format!("service rollback paused: {text}")))
        }
        Some(
            ServiceUpdateStatusStateEnum::EMPTY
            | ServiceUpdateStatusStateEnum::UPDATING
            | ServiceUpdateStatusStateEnum::COMPLETED
            | ServiceUpdateStatusStateEnum::ROLLBACK_STARTED
            | ServiceUpdateStatusStateEnum::ROLLBACK_COMPLETED,
        )
        | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_global_services_tasks_are_told_apart_by_their_nodes() {
        let service =
            serde_json::from_value(json!({"Spec": {"Name": "each", "Mode": {"Global": {}}},
            "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 2}}))
            .unwrap();
        let task = |node: &str, created: &str, state: &str, err: Option<&str>| {
            let status = json!({"State": state, "Err": err});
            let task = json!({"NodeID": node, "CreatedAt": created, "DesiredState": "running", "Status": status});
            serde_json::from_value::<Task>(task).unwrap()
        };
        let tasks = [
            task("n1", "2026-11-26T07:00:00Z", "failed", Some("it ended")),
            task("n1", "2026-11-26T07:00:01Z", "running", None),
            task("n2", "2026-11-26T07:00:02Z", "failed", Some("no room")),
        ];
        let now = progress(&service, &tasks);
        let node = |id: &str| Part::Node(id.to_owned());
        let steps = [
            (node("n1"), Step::Stage(9, 9, "running".to_owned())),
            (node("n2"), Step::Stuck("no room".to_owned())),
        ];
        assert_eq!(now.steps, steps.into());
        assert_eq!(now.errors, [("each.n2".to_owned(), "no room".to_owned())].into());
    }
}
