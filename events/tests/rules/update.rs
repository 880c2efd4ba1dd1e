//! Updates: how the tasks of a service follow what is asked for, and how they go back.

use skein_events::command::Command;
use skein_events::event::Event;
use skein_events::id::ServiceId;
use skein_events::node::Availability;
use skein_events::plan::{self, update::is_dirty};
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::service::update::{
    FailureAction, Millionths, UpdateConfig, UpdateOrder, UpdateState,
};
use skein_events::service::{EndpointMode, ServiceSpec};
use skein_events::task::TaskState;
use skein_events::time::Span;

use crate::world::{World, node_id, root, service, status};

fn updated(world: &World, id: ServiceId, change: impl FnOnce(&mut ServiceSpec)) -> Command {
    let mut spec = world.state.services[&id].spec.clone();
    change(&mut spec);
    let env = Vec::new();
    Command::UpdateService { id, spec: Box::new(spec), env, if_changed: None }
}
fn image(spec: &mut ServiceSpec) {
    spec.task.container.image = "busybox:2".to_owned();
}
fn bad(spec: &mut ServiceSpec) {
    spec.task.container.image = "busybox:bad".to_owned();
}
fn back(id: ServiceId) -> Command {
    Command::RollbackService { id, if_changed: None, failed: None }
}

/// A service of four tasks that run on two nodes, updated so.
fn running(config: UpdateConfig) -> (World, ServiceId) {
    let mut world = World::of(2);
    let mut spec = service("web", 4, &[]);
    (spec.update, spec.rollback) = (config, config);
    spec.task.restart.delay = Span(0);
    let web = world.service(spec);
    world.run();
    (world, web)
}

impl World {
    fn update(&mut self, id: ServiceId, change: impl FnOnce(&mut ServiceSpec)) -> Vec<Event> {
        let command = updated(self, id, change);
        self.user(command)
    }
    /// Slots whose task runs what is asked for.
    fn clean(&self, id: ServiceId) -> Vec<u64> {
        let service = &self.state.services[&id];
        let heads = self.state.heads_of(id).into_iter();
        heads.filter(|t| !is_dirty(&self.state, service, t)).map(|t| t.slot).collect()
    }
    fn update_state(&self, id: ServiceId) -> (UpdateState, String) {
        let update = self.state.services[&id].update.clone().unwrap();
        (update.state, update.message)
    }
    /// The node of a task's slot says so of it.
    fn said(&mut self, id: ServiceId, slot: u64, state: TaskState) {
        let task = self.state.head_of_slot(id, slot).unwrap().clone();
        self.report(task.node.unwrap(), vec![(task.id, status(state))]).unwrap();
        self.settle();
    }
    /// Tasks with the bad image fail; the others obey. Until nothing happens.
    fn run_badly(&mut self) {
        for _ in 0..50 {
            let before = self.state.position;
            self.settle();
            let tasks: Vec<_> = self.state.tasks.values().cloned().collect();
            for task in tasks {
                let bad = self.state.version_of(&task).task.container.image == "busybox:bad";
                let Some(node) = task.node.filter(|_| !task.gone) else { continue };
                let said = match crate::world::obedient(&task) {
                    Some(_) if bad && !task.has_ended() && task.desired == TaskState::Running => {
                        Some(status(TaskState::Failed))
                    }
                    said => said,
                };
                if let Some(said) = said {
                    self.report(node, vec![(task.id, said)]).unwrap();
                }
            }
            for id in self.state.nodes.keys() {
                self.acked.insert(*id, self.state.position);
            }
            if self.state.position == before {
                return;
            }
        }
    }
}

#[test]
fn so_many_slots_at_once_each_after_the_old_task_stopped() {
    let (mut world, web) = running(UpdateConfig { parallelism: 2, ..UpdateConfig::default() });
    let kinds: Vec<_> = world.update(web, image).iter().map(|e| e.kind().name).collect();
    assert_eq!(kinds, ["service.updated", "service.update-changed"]);
    assert_eq!(world.update_state(web), (UpdateState::Updating, "update in progress".to_owned()));
    world.settle();
    assert_eq!(world.clean(web), [1, 2]);
    for slot in [1, 2] {
        let new = world.state.head_of_slot(web, slot).unwrap();
        let old = &world.state.tasks[&new.replaces.unwrap()];
        assert_eq!((new.desired, old.desired), (TaskState::Ready, TaskState::Shutdown));
        assert!(new.node.is_some() && new.by_update, "it gets ready while the old one stops");
    }
    world.run();
    assert_eq!((world.clean(web).len(), world.running(web)), (4, 4));
    assert_eq!(world.update_state(web).0, UpdateState::Updating, "the last one is watched");
    world.pass(Span::seconds(5));
    assert_eq!(world.update_state(web), (UpdateState::Completed, "update completed".to_owned()));
    assert!(world.state.services[&web].update.as_ref().unwrap().ended.is_some());
    let images: Vec<_> = world.state.heads_of(web).iter().map(|t| t.version).collect();
    assert_eq!(images, [2; 4]);
}

#[test]
fn start_first_lets_the_old_task_run_until_the_new_one_does() {
    let order = UpdateOrder::StartFirst;
    let (mut world, web) = running(UpdateConfig { order, ..UpdateConfig::default() });
    world.update(web, image);
    world.settle();
    assert_eq!(world.running(web), 4);
    let new = world.state.head_of_slot(web, 1).unwrap().clone();
    assert_eq!((new.version, new.desired), (2, TaskState::Running));
    world.said(web, 1, TaskState::Running);
    let old = &world.state.tasks[&new.replaces.unwrap()];
    assert_eq!(old.desired, TaskState::Shutdown);
    assert_eq!(world.clean(web), [1, 2], "the next one follows");
    world.run();
    world.pass(Span::seconds(5));
    assert_eq!((world.clean(web).len(), world.running(web)), (4, 4));
    assert_eq!(world.update_state(web).0, UpdateState::Completed);
}

#[test]
fn a_slot_is_waited_for_before_the_next() {
    let delay = Span::seconds(10);
    let (mut world, web) = running(UpdateConfig { delay, ..UpdateConfig::default() });
    world.update(web, image);
    world.run();
    assert_eq!(world.clean(web), [1]);
    let until = world.state.services[&web].update.as_ref().unwrap().until;
    assert_eq!(until, Some(world.now.after(delay)));
    world.user(Command::Checkpoint);
    assert_eq!(plan::wake_at(&world.state), until, "the deadline is in the state, not in a timer");
    world.pass(Span::seconds(9));
    assert_eq!(world.clean(web), [1]);
    world.pass(Span::seconds(1));
    assert_eq!(world.clean(web), [1, 2]);
}

#[test]
fn a_slot_whose_task_failed_and_was_replaced_is_followed_by_the_delay_too() {
    let (delay, failure_action) = (Span::seconds(10), FailureAction::Continue);
    let config = UpdateConfig { delay, failure_action, ..UpdateConfig::default() };
    let (mut world, web) = running(config);
    world.update(web, |spec| {
        bad(spec);
        spec.task.restart.delay = Span::seconds(60);
    });
    world.run_badly();
    let head = world.state.head_of_slot(web, 1).unwrap();
    assert!(head.desired == TaskState::Ready && !head.by_update, "it is to be tried again");
    assert_eq!(world.clean(web), [1]);
    world.pass(Span::seconds(9));
    world.run_badly();
    assert_eq!(world.clean(web), [1]);
    world.pass(Span::seconds(1));
    world.run_badly();
    assert_eq!(world.clean(web), [1, 2]);
}

#[test]
fn the_first_failure_pauses_and_a_new_spec_goes_on() {
    let (mut world, web) = running(UpdateConfig::default());
    world.update(web, bad);
    world.run_badly();
    let (state, message) = world.update_state(web);
    assert_eq!(state, UpdateState::Paused);
    assert!(message.starts_with("update paused due to failure or early termination of task "));
    assert_eq!((world.clean(web), world.running(web)), (vec![1], 3));
    world.pass(Span::seconds(60));
    assert_eq!(world.clean(web), [1], "it stays so");
    world.update(web, image);
    world.run();
    world.pass(Span::seconds(5));
    assert_eq!((world.update_state(web).0, world.running(web)), (UpdateState::Completed, 4));
}

#[test]
fn a_task_that_fails_while_it_is_watched_counts_and_a_later_one_does_not() {
    for (after, state) in [(4, UpdateState::Paused), (6, UpdateState::Updating)] {
        let delay = Span::seconds(20);
        let (mut world, web) = running(UpdateConfig { delay, ..UpdateConfig::default() });
        world.update(web, image);
        world.run();
        world.pass(Span::seconds(after));
        world.said(web, 1, TaskState::Failed);
        assert_eq!(world.update_state(web).0, state);
    }
}

#[test]
fn a_task_that_is_not_healthy_yet_is_waited_for_serves_nobody_and_counts_when_it_fails() {
    let order = UpdateOrder::StartFirst;
    let (mut world, web) = running(UpdateConfig { order, ..UpdateConfig::default() });
    world.update(web, image);
    world.settle();
    world.said(web, 1, TaskState::Starting);
    world.pass(Span::seconds(3_600));
    let starting = world.state.head_of_slot(web, 1).unwrap().clone();
    assert!(!world.state.is_named(&starting));
    assert_eq!(world.clean(web), [1], "no second slot is begun");
    assert_eq!(world.running(web), 4, "the old task serves on");
    // One may look why.
    world.user(Command::StartExec { task: starting.id, program: "sh".to_owned() });
    world.said(web, 1, TaskState::Failed);
    assert_eq!(world.update_state(web).0, UpdateState::Paused);
}

#[test]
fn so_many_may_fail_and_all_may_when_it_goes_on_regardless() {
    let max_failure_ratio = Millionths(250_000);
    let config = UpdateConfig { max_failure_ratio, ..UpdateConfig::default() };
    let (mut world, web) = running(config);
    world.update(web, bad);
    world.run_badly();
    let update = world.state.services[&web].update.clone().unwrap();
    assert_eq!((update.state, update.failed, update.slots), (UpdateState::Paused, 2, 4));

    let failure_action = FailureAction::Continue;
    let mut config = UpdateConfig { failure_action, ..UpdateConfig::default() };
    config.order = UpdateOrder::StartFirst;
    let (mut world, web) = running(config);
    world.update(web, |spec| {
        bad(spec);
        spec.task.restart.delay = Span::seconds(5);
    });
    world.run_badly();
    let update = world.state.services[&web].update.clone().unwrap();
    assert_eq!((update.state, update.failed), (UpdateState::Updating, 4));
    assert_eq!(world.running(web), 4, "the old ones serve on");
}

#[test]
fn too_many_failures_lead_back_and_what_failed_is_not_kept() {
    for order in [UpdateOrder::StopFirst, UpdateOrder::StartFirst] {
        let failure_action = FailureAction::Rollback;
        let (mut world, web) =
            running(UpdateConfig { failure_action, order, ..UpdateConfig::default() });
        let before = world.state.services[&web].spec.task.clone();
        world.update(web, bad);
        world.run_badly();
        world.pass(Span::seconds(5));
        world.run_badly();
        let service = world.state.services[&web].clone();
        assert_eq!((&service.spec.task, service.version), (&before, 1));
        assert_eq!(service.previous, None);
        assert_eq!(
            world.update_state(web),
            (UpdateState::RollbackCompleted, "rollback completed".to_owned())
        );
        assert_eq!(world.running(web), 4);
        let began = world.log.iter().flat_map(|l| &l.batch.entries).find_map(|e| match &e.event {
            Event::ServiceUpdateChanged(e) if e.state == UpdateState::RollbackStarted => {
                Some(e.message.clone())
            }
            _ => None,
        });
        assert!(
            began.unwrap().starts_with("update rolled back due to failure or early termination")
        );
    }
}

#[test]
fn going_back_twice_undoes_it() {
    let (mut world, web) = running(UpdateConfig::default());
    world.clone().when_refused(
        back(web),
        &Refusal::Invalid(format!("service {web} does not have a previous spec")),
    );
    world.update(web, image);
    world.run();
    world.pass(Span::seconds(5));
    let kinds: Vec<_> = world.user(back(web)).iter().map(|e| e.kind().name).collect();
    assert_eq!(kinds, ["service.updated", "service.update-changed"]);
    assert_eq!(
        world.update_state(web),
        (UpdateState::RollbackStarted, "manually requested rollback".to_owned())
    );
    world.run();
    world.pass(Span::seconds(5));
    assert_eq!(world.update_state(web).0, UpdateState::RollbackCompleted);
    assert_eq!(world.state.heads_of(web).iter().map(|t| t.version).collect::<Vec<_>>(), [1; 4]);
    world.user(back(web));
    world.run();
    world.pass(Span::seconds(5));
    assert_eq!(world.state.heads_of(web).iter().map(|t| t.version).collect::<Vec<_>>(), [2; 4]);

    // Another number of tasks is taken back as well.
    world.user(Command::ScaleService { id: web, replicas: 1, if_changed: None });
    world.user(back(web));
    assert_eq!(world.state.services[&web].replicas(), 4);
}

#[test]
fn what_changes_no_task_makes_none_anew() {
    let (mut world, web) = running(UpdateConfig::default());
    let before: Vec<_> = world.state.tasks.keys().copied().collect();
    let kinds = |events: Vec<Event>| events.iter().map(|e| e.kind().name).collect::<Vec<_>>();
    let harmless: [fn(&mut ServiceSpec); 4] = [
        |spec| spec.labels = vec![("a".to_owned(), "b".to_owned())],
        |spec| spec.update.parallelism = 7,
        |spec| spec.task.placement.constraints = vec!["node.role!=nothing".parse().unwrap()],
        |_| (),
    ];
    for change in harmless {
        let events = world.update(web, change);
        assert_eq!(kinds(events), ["service.updated"]);
        world.run();
        world.pass(Span::seconds(10));
        assert_eq!(world.state.tasks.keys().copied().collect::<Vec<_>>(), before);
    }
    world.update(web, |spec| spec.task.force_update += 1);
    world.run();
    world.pass(Span::seconds(10));
    assert!(world.state.heads_of(web).iter().all(|t| !before.contains(&t.id)), "forced");
}

#[test]
fn tasks_whose_node_is_not_what_is_asked_for_are_moved() {
    let (mut world, web) = running(UpdateConfig::default());
    let elsewhere = format!("node.hostname!={}", "n2");
    world.update(web, |spec| spec.task.placement.constraints = vec![elsewhere.parse().unwrap()]);
    let update = world.state.services[&web].update.clone().unwrap();
    assert_eq!(update.slots, 2, "those on the other node stay");
    world.run();
    world.pass(Span::seconds(10));
    assert_eq!((world.running(web), world.state.tasks_on(node_id(2)).count()), (4, 0));
}

#[test]
fn a_new_spec_takes_the_place_of_an_update_under_way() {
    let order = UpdateOrder::StartFirst;
    let (mut world, web) = running(UpdateConfig { order, ..UpdateConfig::default() });
    world.update(web, bad);
    world.settle();
    assert_eq!(world.clean(web), [1]);
    world.update(web, image);
    world.settle();
    world.run();
    world.pass(Span::seconds(5));
    assert_eq!(world.update_state(web).0, UpdateState::Completed);
    let service = &world.state.services[&web];
    assert_eq!((world.running(web), world.clean(web).len()), (4, 4));
    assert_eq!(service.spec.task.container.image, "busybox:2");
    let live = world.state.tasks_of(web).filter(|t| t.desired <= TaskState::Running).count();
    assert_eq!(live, 4);
}

#[test]
fn an_update_meets_a_drained_node_and_scaling() {
    let order = UpdateOrder::StartFirst;
    let (mut world, web) =
        running(UpdateConfig { order, parallelism: 0, ..UpdateConfig::default() });
    world.update(web, image);
    world.settle();
    world.availability(2, Availability::Drain);
    world.user(Command::ScaleService { id: web, replicas: 3, if_changed: None });
    world.run();
    world.pass(Span::seconds(5));
    world.run();
    assert_eq!((world.running(web), world.clean(web).len()), (3, 3));
    assert_eq!(world.state.tasks_on(node_id(2)).count(), 0);
    assert_eq!(world.update_state(web).0, UpdateState::Completed);
}

#[test]
fn values_of_the_environment_make_tasks_anew_and_come_back() {
    let (mut world, web) = running(UpdateConfig::default());
    let spec = world.state.services[&web].spec.clone();
    let env = vec!["A=1".to_owned()];
    let with = |env| Command::UpdateService {
        id: web,
        spec: Box::new(spec.clone()),
        env,
        if_changed: None,
    };
    let first = world.user(with(env.clone()));
    assert_eq!(first.len(), 2, "values alone are reason enough for an update");
    assert_eq!(world.state.services[&web].version, 2);
    let same = world.user(with(env.clone()));
    assert_eq!(same.len(), 2, "asked for again, it goes on");
    assert_eq!(world.state.services[&web].version, 2);
    world.run();
    world.pass(Span::seconds(5));
    world.user(with(Vec::new()));
    world.run();
    world.pass(Span::seconds(5));
    world.user(back(web));
    world.run();
    let version = world.state.version_of(world.state.head_of_slot(web, 4).unwrap());
    assert_eq!(world.state.environment(version), Some(&env[..]));
}

impl World {
    fn when_refused(mut self, command: Command, refusal: &Refusal) {
        assert_eq!(self.submit(root(), None, &command).as_ref(), Err(refusal));
    }
}

#[test]
fn what_an_update_cannot_do_is_refused() {
    let (world, web) = running(UpdateConfig::default());
    let refused = |change: fn(&mut ServiceSpec), refusal| {
        world.clone().when_refused(updated(&world, web, change), &refusal);
    };
    let unsupported = |text: &str| Refusal::Unsupported(text.to_owned());
    refused(
        |spec| spec.name = "other".parse().unwrap(),
        unsupported("renaming services is not supported"),
    );
    refused(
        |spec| spec.mode = skein_events::service::Mode::Global,
        unsupported("service mode change is not allowed"),
    );
    refused(
        |spec| spec.endpoint = EndpointMode::Dnsrr,
        Refusal::Invalid("endpoint mode dnsrr needs a network: add --network NAME".to_owned()),
    );
    let stale = Some(Position(1));
    let spec = Box::new(world.state.services[&web].spec.clone());
    let late = Command::UpdateService { id: web, spec, env: Vec::new(), if_changed: stale };
    world.clone().when_refused(late, &Refusal::OutOfSequence);
    let late = Command::RollbackService { id: web, if_changed: stale, failed: None };
    world.clone().when_refused(late, &Refusal::OutOfSequence);
    let nobody = ServiceId::from_random([77; 16]);
    let not_found = Refusal::NotFound { noun: "service", name: nobody.to_string() };
    world.clone().when_refused(back(nobody), &not_found);
}
