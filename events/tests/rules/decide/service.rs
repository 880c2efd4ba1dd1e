//! Decisions about services.

use skein_events::command::Command;
use skein_events::event::Event;
use skein_events::id::{NetworkId, ServiceId};
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::service::update::Millionths;
use skein_events::service::{EndpointMode, Mode, ServiceSpec};
use skein_events::task::mount::{Mount, MountSource, Propagation};
use skein_events::task::spec::LogDriver;
use skein_events::time::Span;
use skein_events::unit::{Bytes, NanoCpus};

use super::{given, given_nothing};
use crate::world::service;

fn create(change: impl FnOnce(&mut ServiceSpec)) -> Command {
    let mut spec = service("web", 1, &[]);
    change(&mut spec);
    Command::CreateService { spec: Box::new(spec), env: Vec::new() }
}
fn with_env(env: &[&str]) -> Command {
    let env = env.iter().map(|e| (*e).to_owned()).collect();
    Command::CreateService { spec: Box::new(service("web", 1, &[])), env }
}
fn web(world: &mut crate::world::World) {
    world.user(create(|_| ()));
}

#[test]
fn values_of_the_environment_stand_apart_and_are_counted() {
    let mut world = given_nothing();
    let events = world.user(with_env(&["A=1", "B=2"]));
    let Event::ServiceCreated(made) = &events[0] else { panic!("that is what happens") };
    assert_eq!(made.env, 2);
    assert_eq!(world.state.detached.values().next().unwrap().env, ["A=1", "B=2"]);
    assert_eq!(
        world.state.versions[&(made.id, 1)].detached,
        world.state.detached.keys().next().copied()
    );
}

#[test]
fn a_services_name_has_one_holder_in_any_case() {
    let again = given(web).when(create(|s| s.name = "WEB".parse().unwrap()));
    again.refused(Refusal::NameConflict { noun: "service", name: "WEB".to_owned() });
}

#[test]
fn what_a_service_cannot_be_is_refused() {
    let refused = |command, code, text| given_nothing().when(command).refused_as(code, text);
    refused(
        create(|s| s.task.container.image.clear()),
        "invalid",
        "ContainerSpec: image reference must be provided",
    );
    refused(
        create(|s| s.task.container.image = "Shop/Web:1".to_owned()),
        "invalid",
        "invalid reference format: repository name must be lowercase",
    );
    refused(
        create(|s| s.task.container.image = "shop web".to_owned()),
        "invalid",
        "invalid reference format: \"shop web\"",
    );
    refused(
        create(|s| s.labels = vec![(String::new(), "x".to_owned())]),
        "invalid",
        "a label needs a key",
    );
    refused(
        create(|s| s.task.container.labels = vec![(String::new(), "x".to_owned())]),
        "invalid",
        "a label needs a key",
    );
    let large = "the service's spec is over the limit of 262144";
    refused(create(|s| s.task.container.args = vec!["x".repeat(300_000)]), "too_large", large);
    refused(create(|s| s.task.container.args = vec![String::new(); 40_000]), "too_large", large);
    refused(create(|s| s.task.container.dir = Some("/x".repeat(200_000))), "too_large", large);
    refused(create(|s| s.labels = vec![("k".to_owned(), "x".repeat(300_000))]), "too_large", large);
    refused(
        create(|s| s.task.container.dir = Some("rel".to_owned())),
        "invalid",
        "the working directory 'rel' is invalid, it needs to be an absolute path",
    );
    refused(
        create(|s| s.task.restart.max_attempts = 1_001),
        "invalid",
        "invalid restart-max-attempts value 1001: it must be at most 1000",
    );
    let mount = |target: &str, path: &str| Mount {
        target: target.to_owned(),
        read_only: false,
        source: MountSource::Bind {
            path: path.to_owned(),
            propagation: Propagation::default(),
            non_recursive: false,
            create: false,
        },
    };
    refused(
        create(|s| s.task.container.mounts = vec![mount("a", "/a")]),
        "invalid",
        "invalid mount target, must be an absolute path in the container: \"a\"",
    );
    refused(
        create(|s| s.task.container.mounts = vec![mount("/a", "a")]),
        "invalid",
        "invalid bind mount source, must be an absolute path: \"a\"",
    );
    refused(
        create(|s| s.task.container.mounts = vec![mount("/a", "/b"), mount("/a/", "/c")]),
        "invalid",
        "Duplicate mount point: /a/",
    );
    refused(
        create(|s| s.task.container.hosts = vec!["db 10.0.0.1".to_owned()]),
        "invalid",
        "invalid entry of the hosts file \"db 10.0.0.1\": write HOST:IP",
    );
    refused(
        create(|s| {
            s.task.log_driver = Some(LogDriver { name: "syslog".to_owned(), options: Vec::new() });
        }),
        "unsupported",
        "log driver \"syslog\" is not there: json-file, local and none are; to send output on, follow \"service logs\"",
    );
    for (list, sentence) in [
        (["10.0.0.1", "web"].as_slice(), "name server \"web\" is no IP address"),
        (&["::1", "::2", "::3", "::4"], "a container asks at most 3 name servers"),
    ] {
        let texts = list.iter().map(|text| (*text).to_owned()).collect();
        refused(create(|s| s.task.container.dns.nameservers = texts), "invalid", sentence);
    }
    for (text, sentence) in [
        ("", "\"\" is no word of resolv.conf"),
        ("a b", "\"a b\" is no word of resolv.conf"),
        ("a\nb", "\"a\\nb\" is no word of resolv.conf"),
    ] {
        let search = vec![text.to_owned()];
        refused(create(|s| s.task.container.dns.search = search), "invalid", sentence);
        let options = vec![text.to_owned()];
        refused(create(|s| s.task.container.dns.options = options), "invalid", sentence);
    }
    refused(
        create(|s| s.task.container.hostname = Some("x{{.Task.Slot".to_owned())),
        "invalid",
        "invalid hostname: a placeholder that begins with {{ has no }}",
    );
    refused(
        create(|s| s.task.container.oom_score_adj = 1_001),
        "invalid",
        "Invalid value 1001, range for oom score adj is [-1000, 1000]",
    );
    refused(
        create(|s| s.task.container.health.interval = Span(1)),
        "invalid",
        "Interval in Healthcheck cannot be less than 1ms",
    );
    refused(
        create(|s| s.update.max_failure_ratio = Millionths(1_000_001)),
        "invalid",
        "update-maxfailureratio cannot be less than 0 or bigger than 1",
    );
    let memory = "invalid memory value 4194303: Must be at least 4MiB";
    refused(create(|s| s.task.reservations.memory = Bytes(4_194_303)), "invalid", memory);
    refused(create(|s| s.task.limits.resources.memory = Bytes(4_194_303)), "invalid", memory);
    let cpu = "invalid cpu value 999999: Must be at least 0.001";
    refused(create(|s| s.task.reservations.cpus = NanoCpus(999_999)), "invalid", cpu);
    refused(create(|s| s.task.limits.resources.cpus = NanoCpus(999_999)), "invalid", cpu);
    refused(
        create(|s| s.mode = Mode::Replicated { replicas: 100_001 }),
        "invalid",
        "invalid replicas value 100001: it must be at most 100000",
    );
    refused(
        create(|s| s.endpoint = EndpointMode::Dnsrr),
        "invalid",
        "endpoint mode dnsrr needs a network: add --network NAME",
    );
}

#[test]
fn networks_of_a_service_exist_and_are_given_once() {
    let id = NetworkId::from_random([77; 16]);
    let refusal = Refusal::NotFound { noun: "network", name: id.to_string() };
    let spec = service("web", 1, &[id]);
    given_nothing()
        .when(Command::CreateService { spec: Box::new(spec), env: Vec::new() })
        .refused(refusal);

    let mut world = given_nothing();
    let net = world.network("demo");
    let spec = service("web", 1, &[net, net]);
    world
        .clone()
        .when(Command::CreateService { spec: Box::new(spec), env: Vec::new() })
        .refused_as("invalid", "network demo is given twice");
    let spec = ServiceSpec { endpoint: EndpointMode::Unnamed, ..service("web", 1, &[net]) };
    world.when(Command::CreateService { spec: Box::new(spec), env: Vec::new() }).refused_as(
        "unsupported",
        "a service on a network needs a name to resolve: add --endpoint-mode dnsrr",
    );
}

#[test]
fn environment_is_checked() {
    let text = "invalid environment variable: it needs a name before the =";
    for bad in ["", "=x", "A=\0"] {
        given_nothing().when(with_env(&[bad])).refused_as("invalid", text);
    }
    let large = "x".repeat(300_000);
    given_nothing()
        .when(with_env(&[&format!("A={large}")]))
        .refused(Refusal::TooLarge("the environment", 262_144));
}

#[test]
fn a_service_is_scaled_when_it_is_as_the_client_saw_it() {
    let mut world = given(web);
    let id = world.state.index.service_names.values().next().copied().unwrap();
    let changed = world.state.services[&id].changed;
    let scale = |replicas, if_changed| Command::ScaleService { id, replicas, if_changed };
    world.clone().when(scale(2, Some(Position(1)))).refused(Refusal::OutOfSequence);
    world
        .clone()
        .when(scale(100_001, None))
        .refused_as("invalid", "invalid replicas value 100001: it must be at most 100000");
    world.user(scale(2, Some(changed)));
    assert_eq!(world.state.services[&id].replicas(), 2);
    world.when(scale(3, Some(changed))).refused(Refusal::OutOfSequence);
}

#[test]
fn services_nobody_knows_are_not_found() {
    let id = ServiceId::from_random([77; 16]);
    let refusal = || Refusal::NotFound { noun: "service", name: id.to_string() };
    let scale = Command::ScaleService { id, replicas: 1, if_changed: None };
    given_nothing().when(scale).refused(refusal());
    given_nothing().when(Command::RemoveService(id)).refused(refusal());
    let tasks = Command::CreateTasks { service: id, tasks: Vec::new() };
    given_nothing().when(tasks).refused(refusal());
}
