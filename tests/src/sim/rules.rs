//! What must hold of each record by the rules of placement, updates and restarts, judged on the state it was decided on.
//! Keeps its own account of updates and restarts and asks no planner and no look-up, so that a wrong plan does not vouch
//! for itself.

use std::collections::{BTreeMap, BTreeSet};

use skein_events::codec::Batch;
use skein_events::envelope::{Planner, Who};
use skein_events::event::Event;
use skein_events::id::{NodeId, ServiceId, TaskId};
use skein_events::node::{Availability, Node, NodeState};
use skein_events::record::Position;
use skein_events::service::event::{ServiceUpdateChanged, ServiceUpdated};
use skein_events::service::update::{FailureAction, UpdateOrder, UpdateState, Way};
use skein_events::service::{Mode, Service};
use skein_events::state::State;
use skein_events::task::event::{TaskAssigned, TaskCreated};
use skein_events::task::placement::{Constraint, Operator};
use skein_events::task::spec::{RestartCondition, TaskSpec};
use skein_events::task::{Task, TaskState};
use skein_events::time::{Span, Time};

use super::check::Check;

type Judged = Result<(), (Check, String)>;

/// A task waits so long for the one it follows to stop.
const STOP_WAIT: Span = Span::seconds(60);
/// A planner's wish comes in so long at most after the state it was made on; what a node was until then may have led to it.
const STALE: Span = Span::seconds(2);

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    updates: BTreeMap<ServiceId, Course>,
    /// When the tasks of a slot were restarted, running the same.
    restarts: BTreeMap<(ServiceId, u64), Vec<Time>>,
    /// Tasks that may not be told to run earlier.
    held: BTreeMap<TaskId, Time>,
    /// Tasks that may run before the one they replace has stopped.
    beside: BTreeSet<TaskId>,
    /// When nodes last changed.
    nodes: BTreeMap<NodeId, Time>,
}

/// An update as its records tell it.
#[derive(Debug, Default)]
struct Course {
    slots: u64,
    failed: u64,
    /// Since when more failed than may.
    too_many: Option<Time>,
    made: BTreeMap<TaskId, Made>,
}

/// A task an update made.
#[derive(Debug, Default)]
struct Made {
    /// By the update itself, not because the one before it ended.
    chosen: bool,
    ran: Option<Time>,
    /// When it ended without being told to.
    ended: Option<Time>,
}

/// A batch on its way: the state it was decided on, and what it led to.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) before: &'a State,
    pub(super) after: &'a State,
    pub(super) first: Position,
    pub(super) batch: &'a Batch,
}

impl Step<'_> {
    fn at(&self) -> Time {
        self.batch.envelope.at
    }

    fn planner(&self) -> Option<Planner> {
        match self.batch.envelope.who {
            Who::Planner { name } => Some(name),
            Who::User { .. } | Who::Node { .. } => None,
        }
    }
}

/// Whether a node may keep a task: asked of a node that is there.
fn fits(node: &Node, spec: &TaskSpec) -> bool {
    node.state != NodeState::Down
        && node.availability != Availability::Drain
        && spec.placement.constraints.iter().all(|c| meets(node, c))
}

/// Only what histories ask for.
fn meets(node: &Node, constraint: &Constraint) -> bool {
    let Constraint { key, operator, value } = constraint;
    let label = key.strip_prefix("node.labels.").expect("histories ask for labels only");
    let has = node.labels.iter().find(|(k, _)| k == label).map_or("", |(_, v)| v);
    match operator {
        Operator::Is => has == value,
        Operator::IsNot => has != value,
    }
}

fn node_of<'a>(state: &'a State, task: &Task) -> Option<&'a Node> {
    task.node.and_then(|id| state.nodes.get(&id)).map(|n| &**n)
}

/// Whether a task may stay where it is, as far as its node goes; one without a node may.
fn may_stay(state: &State, service: &Service, task: &Task) -> bool {
    if task.node.is_none() {
        return true;
    }
    let spec = &state.version_of(task).task;
    node_of(state, task).is_some_and(|n| fits(n, spec) && fits(n, &service.spec.task))
}

/// Whether something of a task may run.
fn may_run(state: &State, task: &Task) -> bool {
    !task.has_ended() && node_of(state, task).is_some_and(|n| n.state != NodeState::Down)
}

fn ended_by_itself(task: &Task) -> bool {
    matches!(task.status.state, TaskState::Complete | TaskState::Failed | TaskState::Rejected)
}

/// Whether two tasks run the same wherever they are.
fn alike(state: &State, task: &Task, service: &Service) -> bool {
    let runs = |spec: &TaskSpec| {
        let mut spec = spec.clone();
        spec.placement.constraints.clear();
        spec
    };
    task.version == service.version
        || runs(&state.version_of(task).task) == runs(&service.spec.task)
}

fn others_of_slot<'a>(state: &'a State, task: &'a Task) -> impl Iterator<Item = &'a Task> {
    let same = move |t: &&Task| {
        (t.service, t.slot) == (task.service, task.slot)
            && t.id != task.id
            && t.desired <= TaskState::Running
    };
    state.tasks.values().map(|t| &**t).filter(same)
}

impl Rules {
    /// Judges a batch.
    pub(super) fn judge(&mut self, step: Step<'_>) -> Judged {
        let mut placed: BTreeMap<(ServiceId, NodeId), u64> = BTreeMap::new();
        for record in step.batch.records(step.first) {
            let position = record.position;
            let told = match record.event {
                Event::TaskAssigned(e) => assigned(step.before, e, &mut placed),
                Event::NodeUpdated(e) => {
                    self.nodes.insert(e.id, step.at());
                    Ok(())
                }
                Event::NodeStateChanged(e) => {
                    self.nodes.insert(e.id, step.at());
                    Ok(())
                }
                Event::ServiceUpdated(e) => self.updated(step, e),
                Event::ServiceUpdateChanged(e) => self.update_changed(step, e),
                Event::ServiceRemoved(e) => {
                    self.updates.remove(&e.id);
                    self.restarts.retain(|(service, _), _| *service != e.id);
                    Ok(())
                }
                Event::TaskCreated(e) => self.created(step, e),
                Event::TaskStatusChanged(e) => {
                    self.came_to(step, e.id, e.status.state);
                    Ok(())
                }
                Event::TaskGone(e) => {
                    self.came_to(step, e.id, TaskState::Orphaned);
                    Ok(())
                }
                Event::TaskDesiredChanged(e) if e.desired == TaskState::Running => {
                    self.started(step, e.id)
                }
                Event::TaskDesiredChanged(e) if e.desired == TaskState::Shutdown => {
                    self.told_to_end(step, e.id)
                }
                Event::TaskRemoved(e) => {
                    self.held.remove(&e.id);
                    self.beside.remove(&e.id);
                    for course in self.updates.values_mut() {
                        course.made.remove(&e.id);
                    }
                    Ok(())
                }
                _ => Ok(()),
            };
            told.map_err(|(check, text)| (check, format!("{position}: {text}")))?;
        }
        Ok(())
    }

    fn updated(&mut self, step: Step<'_>, event: &ServiceUpdated) -> Judged {
        let course = self.updates.remove(&event.id);
        let service = &step.before.services[&event.id];
        if event.way == Way::Forward {
            return Ok(());
        }
        let failed = |text: &str| Err((Check::Failure, format!("{}: {text}", service.spec.name)));
        if service.previous.as_ref().map(|p| &p.spec) != Some(&event.spec) {
            return failed("rolled back to something else than before");
        }
        let asked = service.config().failure_action == FailureAction::Rollback;
        let many = course.is_some_and(|course| course.too_many(service));
        if event.way == Way::Fallback && (!asked || !many || service.backwards) {
            return failed("rolled back by itself without a cause");
        }
        Ok(())
    }

    fn update_changed(&mut self, step: Step<'_>, event: &ServiceUpdateChanged) -> Judged {
        if event.state.is_active() {
            self.updates.insert(event.id, Course { slots: event.slots, ..Course::default() });
            return Ok(());
        }
        let service = &step.before.services[&event.id];
        let name = &service.spec.name;
        // A way back with nothing to do is complete at once.
        let Some(course) = self.updates.get(&event.id) else { return Ok(()) };
        let config = service.config();
        match event.state {
            UpdateState::Paused | UpdateState::RollbackPaused => {
                let pauses = match config.failure_action {
                    FailureAction::Pause => true,
                    FailureAction::Continue => false,
                    FailureAction::Rollback => service.backwards || service.previous.is_none(),
                };
                if !pauses || !course.too_many(service) {
                    return Err((Check::Failure, format!("{name} is paused without a cause")));
                }
            }
            UpdateState::Completed | UpdateState::RollbackCompleted => {
                let global = service.spec.mode == Mode::Global;
                let takes = |n: &Node| {
                    n.state == NodeState::Ready && n.availability == Availability::Active
                };
                let tasks = step.before.tasks.values().filter(|t| t.service == event.id);
                for task in tasks.filter(|t| t.is_live()) {
                    // As in Swarm, a node that takes nothing now gets what is asked for when it does.
                    if global && !node_of(step.before, task).is_some_and(takes) {
                        continue;
                    }
                    let made = course.made.get(&task.id);
                    let watched = made.and_then(|m| m.ran).map(|ran| ran.after(config.monitor));
                    if watched.is_some_and(|until| step.at() < until) {
                        let text = format!("{name} is updated, {} is not watched", task.id);
                        return Err((Check::Failure, text));
                    }
                    // One that failed beside it is tried again, and takes its place then.
                    let followed = others_of_slot(step.before, task).any(|t| t.born > task.born);
                    let stays = !followed && may_stay(step.before, service, task);
                    if stays && !alike(step.before, task, service) {
                        let text = format!("{name} is updated, {} is not", task.id);
                        return Err((Check::Failure, text));
                    }
                }
                if course.too_many(service) && config.failure_action != FailureAction::Continue {
                    return Err((Check::Failure, format!("{name} failed and is complete")));
                }
            }
            UpdateState::Updating | UpdateState::RollbackStarted => {}
        }
        Ok(())
    }

    fn created(&mut self, step: Step<'_>, event: &TaskCreated) -> Judged {
        let old = event.replaces.and_then(|old| step.before.tasks.get(&old));
        let service = &step.before.services[&event.service];
        let slot = (event.service, event.slot);
        match old {
            Some(old) if old.version != event.version => {
                self.restarts.remove(&slot);
                self.follows(step, service, event, old)?;
            }
            Some(old) => {
                self.restarted(step, service, event, old)?;
                self.restarts.entry(slot).or_default().push(step.at());
            }
            None => drop(self.restarts.remove(&slot)),
        }
        if event.desired == TaskState::Running { self.started(step, event.id) } else { Ok(()) }
    }

    /// A task that runs something else than the one in whose place it comes.
    fn follows(
        &mut self,
        step: Step<'_>,
        service: &Service,
        event: &TaskCreated,
        old: &Task,
    ) -> Judged {
        let name = &service.spec.name;
        let first = service.config().order == UpdateOrder::StartFirst;
        if old.is_live() {
            let stays = may_stay(step.before, service, old);
            if stays && service.updating().is_none() {
                let text = format!("{name}.{} is followed although nothing is updated", old.slot);
                return Err((Check::Held, text));
            }
            if !first {
                return Err((Check::Order, format!("{name}.{} still serves", old.slot)));
            }
            self.beside.insert(event.id);
        }
        let Some(course) = self.updates.get_mut(&event.service) else { return Ok(()) };
        if service.updating().is_none() {
            return Ok(()); // a task that ended comes back as what is asked for now
        }
        if step.planner() != Some(Planner::Update) {
            course.made.insert(event.id, Made::default());
            return Ok(()); // so it does while an update is under way
        }
        let (config, at) = (service.config(), step.at());
        let failed = course.too_many.is_some_and(|since| at >= since.after(STALE));
        if failed && config.failure_action != FailureAction::Continue {
            return Err((Check::Held, format!("{name} goes on after too many failures")));
        }
        let (mut busy, mut cooling) = (0, 0);
        for (id, made) in course.made.iter().filter(|(_, made)| made.chosen) {
            // Its slot may have been given up, or its node.
            let Some(task) = step.after.tasks.get(id) else { continue };
            let fits = match service.spec.mode {
                Mode::Replicated { .. } => true,
                Mode::Global => may_stay(step.before, service, task),
            };
            match made.ran.or(made.ended) {
                _ if !fits || task.desired >= TaskState::Remove => {}
                Some(then) => cooling += u64::from(at < then.after(config.delay)),
                None => busy += u64::from(task.desired <= TaskState::Running),
            }
        }
        if config.parallelism > 0 && busy + cooling >= config.parallelism {
            let text = format!(
                "{name}.{} is updated beside {busy} on their way and {cooling} within the delay",
                event.slot
            );
            return Err((Check::Parallel, text));
        }
        course.made.insert(event.id, Made { chosen: true, ..Made::default() });
        Ok(())
    }

    /// A task that runs the same as the one in whose place it comes.
    fn restarted(
        &mut self,
        step: Step<'_>,
        service: &Service,
        event: &TaskCreated,
        old: &Task,
    ) -> Judged {
        // What ends with its node goes elsewhere at once.
        let news = old.node.and_then(|id| self.nodes.get(&id));
        let is_new = news.is_some_and(|then| step.at() < then.after(STALE));
        if !ended_by_itself(old) || is_new || !may_stay(step.before, service, old) {
            return Ok(());
        }
        let policy = step.before.version_of(old).task.restart;
        let wrong = |text: &str| {
            let name = &service.spec.name;
            Err((Check::Restart, format!("{name}.{}: {text}", old.slot)))
        };
        let may = match policy.condition {
            RestartCondition::None => false,
            RestartCondition::OnFailure => old.status.state != TaskState::Complete,
            RestartCondition::Any => true,
        };
        if !may {
            return wrong("is restarted against its condition");
        }
        let within =
            |at: &&Time| policy.window.0 == 0 || old.status_at.since(**at) <= policy.window;
        let earlier = self.restarts.get(&(event.service, event.slot));
        let attempts = earlier.map_or(0, |times| times.iter().filter(within).count());
        if policy.max_attempts > 0 && attempts as u64 >= policy.max_attempts {
            return wrong("is restarted too often");
        }
        self.held.insert(event.id, old.status_at.after(policy.delay));
        Ok(())
    }

    /// A task is told to run.
    fn started(&mut self, step: Step<'_>, id: TaskId) -> Judged {
        let task = &step.after.tasks[&id];
        let at = step.at();
        if let Some(from) = self.held.get(&id).filter(|from| at < **from) {
            let early = Span(from.0 - at.0);
            return Err((Check::Restart, format!("{id} is started {early} before its delay ends")));
        }
        let Some(old) = task.replaces.and_then(|old| step.before.tasks.get(&old)) else {
            return Ok(());
        };
        let waited = at >= task.created.after(STOP_WAIT);
        if may_run(step.before, old) && !waited && !self.beside.contains(&id) {
            return Err((Check::Order, format!("{id} is started while {} runs", old.id)));
        }
        Ok(())
    }

    /// A task is told to end, and its slot is kept.
    fn told_to_end(&self, step: Step<'_>, id: TaskId) -> Judged {
        let state = step.before;
        let Some(task) = state.tasks.get(&id).filter(|t| t.is_live()) else { return Ok(()) };
        let Some(service) = state.services.get(&task.service) else { return Ok(()) };
        if !may_stay(state, service, task) {
            return Ok(());
        }
        let (name, slot) = (&service.spec.name, task.slot);
        let mut others = others_of_slot(state, task).peekable();
        let global = service.spec.mode == Mode::Global;
        if others.peek().is_none() && service.updating().is_none() && !global {
            return Err((Check::Held, format!("{name}.{slot} is ended for nothing")));
        }
        let first = service.config().order == UpdateOrder::StartFirst;
        let runs = task.ran.is_some()
            && task.status.state == TaskState::Running
            && !task.status.is_unwell();
        let updates = service.updating().is_some();
        if updates && first && runs && !others.any(|t| t.ran.is_some()) {
            return Err((Check::Order, format!("{name}.{slot} is ended before another runs")));
        }
        Ok(())
    }

    /// Keeps account of what became of an update's task.
    fn came_to(&mut self, step: Step<'_>, id: TaskId, state: TaskState) {
        let Some(task) = step.before.tasks.get(&id) else { return };
        let Some(service) = step.before.services.get(&task.service) else { return };
        let Some(course) = self.updates.get_mut(&task.service) else { return };
        let Some(made) = course.made.get_mut(&id) else { return };
        let at = step.at();
        if state == TaskState::Running {
            made.ran.get_or_insert(at);
        }
        if state <= TaskState::Running || made.ended.is_some() || !task.is_live() {
            return;
        }
        made.ended = Some(at);
        let watched = made.ran.is_none_or(|ran| at.since(ran) < service.config().monitor);
        course.failed += u64::from(watched && service.updating().is_some());
        if course.too_many(service) {
            course.too_many.get_or_insert(at);
        }
    }
}

impl Course {
    fn too_many(&self, service: &Service) -> bool {
        let may = u128::from(service.config().max_failure_ratio.0) * u128::from(self.slots);
        u128::from(self.failed) * 1_000_000 > may
    }
}

/// A task is put on a node.
fn assigned(
    state: &State,
    event: &TaskAssigned,
    placed: &mut BTreeMap<(ServiceId, NodeId), u64>,
) -> Judged {
    let task = &state.tasks[&event.id];
    let version = state.version_of(task);
    let wrong = |text: String| Err((Check::Placement, format!("{}: {text}", event.id)));
    let Some(node) = state.nodes.get(&event.node) else {
        return wrong("its node is not there".to_owned());
    };
    let name = &node.description.hostname;
    if node.state != NodeState::Ready || node.availability != Availability::Active {
        return wrong(format!("{name} is {:?} and {:?}", node.state, node.availability));
    }
    if let Some(unmet) = version.task.placement.constraints.iter().find(|c| !meets(node, c)) {
        return wrong(format!("{name} is not {unmet}"));
    }
    if version.global && node.number != task.slot {
        return wrong(format!("{name} is not the node it is for"));
    }
    let there = state
        .tasks
        .values()
        .filter(|t| t.service == task.service && t.node == Some(node.id) && t.holds_resources());
    let before = there.count() as u64;
    let now = placed.entry((task.service, node.id)).or_default();
    let max = version.task.placement.max_per_node;
    if max > 0 && before + *now >= max {
        return wrong(format!("{name} has {before} and {now} more of {max} already"));
    }
    *now += 1;
    Ok(())
}
