//! Why: from what is down to the user's command, and the sentences on the way.

use std::sync::Arc;

use expect_test::{Expect, expect};
use skein_events::command::{Command, Sighting};
use skein_events::id::ObjectId;
use skein_events::node::{Availability, NodeState};
use skein_events::record::Position;
use skein_events::task::spec::{Resources, RestartCondition};
use skein_events::task::{TaskState, TaskStatus};
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};
use skein_replay::history::{History, Memory};
use skein_replay::why::{timeline, why};

use crate::world::{World, node_id, service, status};

fn memory(world: &World) -> Memory {
    let mut memory = Memory::default();
    for logged in &world.log {
        memory.add(logged.first, Arc::new(logged.batch.clone()));
    }
    memory
}

fn check_why(world: &World, object: &str, expected: &Expect) {
    let memory = memory(world);
    let newest = world.state.position;
    let object = memory.catalog().find(object, newest).unwrap();
    let answer = why(&memory, object, newest);
    let lines: Vec<String> = answer
        .chain
        .iter()
        .flat_map(|s| std::iter::once(s.line()).chain(s.details.iter().map(|d| format!("    {d}"))))
        .collect();
    expected.assert_eq(&(lines.join("\n") + "\n"));
    for pair in answer.chain.windows(2) {
        assert!(pair[0].position > pair[1].position, "causes come before what they cause");
    }
}

#[test]
fn a_running_task_leads_to_the_users_command() {
    let mut world = World::of(3);
    let net = world.network("demo");
    let mut spec = service("web", 1, &[net]);
    spec.task.reservations = Resources { cpus: NanoCpus(3_000_000_000), memory: Bytes(0) };
    let web = world.service(spec);
    world.run();
    world.reason = Some("more room for the launch".to_owned());
    world.user(Command::ScaleService { id: web, replicas: 2, if_changed: None });
    world.run();
    check_why(
        &world,
        "web.2",
        &expect![[r#"
            @16 task web.2 runs on node n2 (node 7p30x3cetigr)
            @15 task web.2 was put on node n2 (scheduler)
                address 10.0.1.3 on network demo
                3 nodes looked at
                node n2: chosen: 0 tasks of this service, 0 in all
                node n3: fit, but had 0 tasks of this service, 0 in all
                node n1: ruled out: needs 3.000 CPUs, 1.000 left
            @14 task web.2 was created (replicated)
            @13 service web was scaled to 2 (root: "more room for the launch")
        "#]],
    );
    check_why(
        &world,
        "web",
        &expect![[r#"
        @13 service web was scaled to 2 (root: "more room for the launch")
    "#]],
    );
    check_why(
        &world,
        "demo",
        &expect![[r#"
        @8 network demo was created with addresses 10.0.1.0/24 (root)
            gateway 10.0.1.1, VXLAN identifier 4097
    "#]],
    );
    check_why(
        &world,
        "n2",
        &expect![[r#"
        @6 node n2 became ready: test: Ready (liveness)
        @3 node n2 joined as a worker at 192.168.0.2:2377 (root)
    "#]],
    );
}

#[test]
fn what_only_happened_to_an_object_hides_no_cause() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    world.run();
    let task = world.task(web, 1).id;
    for program in ["true", "ls", "ps", "sh"] {
        world.user(Command::StartExec { task, program: program.to_owned() });
    }
    let labels = vec![("rack".to_owned(), "7".to_owned())];
    let availability = Availability::Active;
    world.user(Command::UpdateNode { id: node_id(1), availability, labels, if_changed: None });
    world.user(Command::ScaleService { id: web, replicas: 2, if_changed: None });
    let mut spec = Box::new(world.state.services[&web].spec.clone());
    spec.labels = vec![("tier".to_owned(), "front".to_owned())];
    world.user(Command::UpdateService { id: web, spec, env: Vec::new(), if_changed: None });
    world.run();
    check_why(
        &world,
        "web.1",
        &expect![[r#"
        @7 task web.1 runs on node n1 (node 7mxzxt6776na)
            since then: a command was run in task web.1: sh, at @11
            since then: a command was run in task web.1: ps, at @10
            since then: a command was run in task web.1: ls, at @9
            since then: 1 more record of that kind
        @6 task web.1 was put on node n1 (scheduler)
            1 node looked at
            node n1: chosen: 0 tasks of this service, 0 in all
        @5 task web.1 was created (replicated)
        @4 service web was created with 1 task of busybox:latest (root)
    "#]],
    );
    check_why(
        &world,
        "web.2",
        &expect![[r#"
        @17 task web.2 runs on node n1 (node 7mxzxt6776na)
        @16 task web.2 was put on node n1 (scheduler)
            1 node looked at
            node n1: chosen: 1 task of this service, 1 in all
        @15 task web.2 was created (replicated)
        @13 service web was scaled to 2 (root)
    "#]],
    );
    check_why(
        &world,
        "web",
        &expect![[r#"
        @13 service web was scaled to 2 (root)
            since then: service web was updated to busybox:latest, at @14
    "#]],
    );
    check_why(
        &world,
        "n1",
        &expect![[r#"
        @3 node n1 became ready: test: Ready (liveness)
            since then: node n1 takes tasks, at @12
        @2 node n1 joined as a manager at 192.168.0.1:2377 (root)
    "#]],
    );
}

#[test]
fn a_replaced_task_leads_through_the_failure_of_the_one_before() {
    let mut world = World::of(1);
    let web = world.service(service("web", 2, &[]));
    world.run();
    let failed = world.task(web, 2).id;
    let mut last_words = TaskStatus::new(TaskState::Failed, "exited");
    last_words.exit_code = Some(137);
    last_words.error = Some("task: non-zero exit (137)".to_owned());
    world.report(node_id(1), vec![(failed, Sighting::Status(last_words))]).unwrap();
    world.pass(Span::seconds(5));
    world.run();
    check_why(
        &world,
        "web.2",
        &expect![[r#"
            @16 task web.2 is ready to be started on node n1 (node 7mxzxt6776na)
            @14 task web.2 was put on node n1 (scheduler)
                1 node looked at
                node n1: chosen: 1 task of this service, 1 in all
            @13 task web.2 was created in the place of 8macx8l2eelm (replicated)
                its start is delayed by 5s
            @11 task web.2 failed on node n1: exit code 137 (node 7mxzxt6776na)
                task: non-zero exit (137)
                exited
                on its way: running at @10
            @8 task web.2 was put on node n1 (scheduler)
                1 node looked at
                node n1: chosen: 1 task of this service, 1 in all
            @6 task web.2 was created (replicated)
            @4 service web was created with 2 tasks of busybox:latest (root)
        "#]],
    );
}

#[test]
fn a_task_that_moved_leads_to_its_lost_node() {
    let mut world = World::of(2);
    world.service(service("web", 2, &[]));
    world.run();
    world.node_state(2, NodeState::Unknown).unwrap();
    world.pass(Span::seconds(15));
    world.run();
    check_why(
        &world,
        "web.2",
        &expect![[r#"
            @19 task web.2 runs on node n1 (node 7mxzxt6776na)
            @18 task web.2 was put on node n1 (scheduler)
                2 nodes looked at
                node n1: chosen: 1 task of this service, 1 in all
                node n2: ruled out: not ready
            @17 task web.2 was created in the place of eij3t5qjy653 (replicated)
            @14 node n2 was declared down: heartbeat failure (liveness)
            @13 node n2 was not heard of any more: test: Unknown (liveness)
            @12 task web.2 runs on node n2 (node 7p30x3cetigr)
            @10 task web.2 was put on node n2 (scheduler)
                2 nodes looked at
                node n2: chosen: 0 tasks of this service, 0 in all
                node n1: fit, but had 1 task of this service, 1 in all
            @8 task web.2 was created (replicated)
            @6 service web was created with 2 tasks of busybox:latest (root)
        "#]],
    );
}

#[test]
fn a_forgotten_task_still_has_its_name_and_its_reasons() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    world.run();
    let task = world.task(web, 1).id;
    world.user(Command::StartExec { task, program: "sh".to_owned() });
    // It runs for the same reason as before; what was done since is named beside it.
    let why = |upto| skein_replay::why::why(&memory(&world), ObjectId::Task(task), upto).chain;
    let (mut now, before) = (why(Position(8)), why(Position(7)));
    assert_eq!(now[0].details, ["since then: a command was run in task web.1: sh, at @8"]);
    now[0].details.clear();
    assert_eq!(now, before);
    world.reason = Some("not needed any more".to_owned());
    world.user(Command::RemoveService(web));
    world.run();
    assert!(world.state.tasks.is_empty());
    check_why(
        &world,
        "web.1",
        &expect![[r#"
            @14 task web.1 was forgotten (reaper)
            @13 nothing of task web.1 is left on node n1 (node 7mxzxt6776na)
            @12 task web.1 was stopped on node n1 (node 7mxzxt6776na)
            @11 no name leads to task web.1 any more (withdraw)
            @10 task web.1 was told to end and to be forgotten (replicated)
            @9 service web was removed (root: "not needed any more")
        "#]],
    );

    let memory = memory(&world);
    let told = timeline(&memory, ObjectId::Task(task), world.state.position, 100);
    let lines: Vec<String> = told.iter().map(skein_replay::step::Step::line).collect();
    expect![[r#"
        @5 task web.1 was created (replicated)
        @6 task web.1 was put on node n1 (scheduler)
        @7 task web.1 runs on node n1 (node 7mxzxt6776na)
        @8 a command was run in task web.1: sh (root)
        @10 task web.1 was told to end and to be forgotten (replicated)
        @11 no name leads to task web.1 any more (withdraw)
        @12 task web.1 was stopped on node n1 (node 7mxzxt6776na)
        @13 nothing of task web.1 is left on node n1 (node 7mxzxt6776na)
        @14 task web.1 was forgotten (reaper)
    "#]]
    .assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn a_waiting_task_says_what_it_waits_for() {
    let mut world = World::of(1);
    let mut spec = service("web", 1, &[]);
    spec.task.reservations = Resources { cpus: NanoCpus(64_000_000_000), memory: Bytes(0) };
    world.service(spec);
    world.run();
    check_why(
        &world,
        "web.1",
        &expect![[r#"
        @6 task web.1 has to wait: no suitable node (insufficient resources on 1 node) (scheduler)
        @5 task web.1 was created (replicated)
        @4 service web was created with 1 task of busybox:latest (root)
    "#]],
    );
}

#[test]
fn a_chain_without_end_is_cut_and_still_ends_with_the_user() {
    let mut world = World::of(1);
    let mut spec = service("web", 1, &[]);
    spec.task.restart.delay = Span(0);
    spec.task.restart.condition = RestartCondition::Any;
    // Without a pause between them, as in Docker.
    spec.labels.push(("skein.restart.backoff".to_owned(), "off".to_owned()));
    let web = world.service(spec);
    for _ in 0..40 {
        world.run();
        let task = world.task(web, 1).id;
        world.report(node_id(1), vec![(task, status(TaskState::Failed))]).unwrap();
    }
    world.run();
    let memory = memory(&world);
    let answer = why(&memory, ObjectId::Task(world.task(web, 1).id), world.state.position);
    assert_eq!(answer.chain.len(), skein_replay::why::STEPS_MAX + 1);
    assert_eq!(answer.chain.last().unwrap().kind, "service.created");
}

#[test]
fn a_task_that_is_cleared_away_late_does_not_take_its_name_back() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    world.run();
    let old = world.task(web, 1).id;
    world.report(node_id(1), vec![(old, status(TaskState::Failed))]).unwrap();
    world.settle();
    let new = world.task(web, 1).id;
    world.report(node_id(1), vec![(old, Sighting::Gone)]).unwrap();
    let found = memory(&world).catalog().find("web.1", world.state.position);
    assert_eq!((old != new, found), (true, Ok(ObjectId::Task(new))));
}

#[test]
fn objects_are_found_at_the_moment_they_are_asked_for() {
    let mut world = World::of(1);
    let first = world.service(service("web", 1, &[]));
    world.run();
    let then = world.state.position;
    world.user(Command::RemoveService(first));
    world.run();
    let second = world.service(service("Web", 1, &[]));
    let memory = memory(&world);
    let find = |text: &str, upto| memory.catalog().find(text, upto);
    assert_eq!(find("web", then), Ok(ObjectId::Service(first)));
    assert_eq!(find("service/web", world.state.position), Ok(ObjectId::Service(second)));
    assert_eq!(find(&first.to_string(), world.state.position), Ok(ObjectId::Service(first)));
    assert!(find("nothing", then).is_err());
    assert!(find("web", Position(1)).is_err(), "it was not there yet");
}

#[test]
fn a_timeline_tells_what_belongs_to_an_object_in_the_logs_order() {
    let mut world = World::of(2);
    let web = world.service(service("web", 2, &[]));
    world.service(service("other", 1, &[]));
    world.run();
    let (memory, newest) = (memory(&world), world.state.position);
    let all = timeline(&memory, ObjectId::Service(web), newest, 100);
    assert!(all.windows(2).all(|two| two[0].position < two[1].position));
    let about_web = |step: &skein_replay::step::Step| step.text.contains(" web");
    assert!(all.iter().all(about_web), "{all:?}");
    // Every record that names the service or one of its tasks is there, and nothing else.
    let named = (1..=newest.0).filter_map(|p| memory.record(Position(p))).filter(|record| {
        match record.event().subject() {
            Some(ObjectId::Service(id)) => id == web,
            Some(ObjectId::Task(id)) => world.state.tasks[&id].service == web,
            _ => false,
        }
    });
    assert_eq!(all.len(), named.count());
    // The newest of them, and only up to a moment.
    let last = timeline(&memory, ObjectId::Service(web), newest, 3);
    assert_eq!(last, all[all.len() - 3..]);
    let early = timeline(&memory, ObjectId::Service(web), all[0].position, 100);
    assert_eq!(early, all[..1]);
}
