//! One container as `docker inspect` shows it: what the service asks for over what the image says, as Docker merges them.

use bollard_stubs::models;
use serde_json::Value;

use skein_events::state::State;
use skein_events::task::Task;
use skein_events::task::container::ContainerSpec;
use skein_events::view::assignment::assigned;

use crate::backend::{Health, ImageDetails};
use crate::http::moment::rfc3339;

use super::super::{map, spec};
use super::{Life, full_name, health_model, labels, networks};

/// When nothing has happened yet, in Go.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn model(
    state: &State,
    task: &Task,
    image: Option<&ImageDetails>,
    health: Option<Health>,
) -> models::ContainerInspectResponse {
    // With its placeholders filled in, as its node has it.
    let here = assigned(state, task);
    let spec = spec::task_model(&here.spec, &here.env, false);
    let container = spec.container_spec.clone().unwrap_or_default();
    let config = config(state, task, &container, image);
    let mut words = config.entrypoint.iter().chain(&config.cmd).flatten().cloned();
    let life = Life::of(task);
    let running = life == Life::Running;
    models::ContainerInspectResponse {
        id: task.status.container.clone(),
        created: Some(rfc3339(task.created)),
        path: Some(words.next().unwrap_or_default()),
        args: Some(words.collect()),
        state: Some(models::ContainerState {
            status: Some(match life {
                Life::Created => models::ContainerStateStatusEnum::CREATED,
                Life::Running => models::ContainerStateStatusEnum::RUNNING,
                Life::Exited => models::ContainerStateStatusEnum::EXITED,
            }),
            running: Some(running),
            paused: Some(false),
            restarting: Some(false),
            oom_killed: Some(task.status.is_out_of_memory()),
            dead: Some(false),
            pid: Some(task.status.pid.map_or(0, i64::from)),
            exit_code: Some(task.status.exit_code.map_or(0, i64::from)),
            error: Some(task.status.error.clone().unwrap_or_default()),
            started_at: Some(task.ran.map_or_else(|| NEVER.to_owned(), rfc3339)),
            finished_at: Some(match life {
                Life::Created | Life::Running => NEVER.to_owned(),
                Life::Exited => rfc3339(task.status_at),
            }),
            health: health.map(health_model),
        }),
        image: Some(image.map_or_else(String::new, |image| image.summary.id.clone())),
        name: Some(format!("/{}", full_name(state, task))),
        restart_count: Some(0),
        driver: Some("overlay2".to_owned()),
        platform: Some("linux".to_owned()),
        mounts: Some(mount_points(&container)),
        host_config: Some(host_config(&spec, container)),
        config: Some(config),
        network_settings: Some(models::NetworkSettings {
            networks: Some(networks(state, task).into_iter().collect()),
            ..models::NetworkSettings::default()
        }),
        ..models::ContainerInspectResponse::default()
    }
}

/// The program: the service's wishes over the image's. An entrypoint of its own makes the image's arguments meaningless.
fn config(
    state: &State,
    task: &Task,
    container: &models::TaskSpecContainerSpec,
    image: Option<&ImageDetails>,
) -> models::ContainerConfig {
    let said = image.map_or(&Value::Null, |image| &image.file["config"]);
    let entrypoint = container.command.clone().or_else(|| list(&said["Entrypoint"]));
    let inherited = if container.command.is_some() { None } else { list(&said["Cmd"]) };
    let mut env = list(&said["Env"]).unwrap_or_default();
    for variable in container.env.iter().flatten() {
        let name = variable.split('=').next().unwrap_or_default();
        env.retain(|known| known.split('=').next() != Some(name));
        env.push(variable.clone());
    }
    let id = task.status.container.as_deref().unwrap_or_default();
    models::ContainerConfig {
        hostname: container.hostname.clone().or_else(|| id.get(..12).map(str::to_owned)),
        user: container.user.clone().or_else(|| text(&said["User"])),
        tty: Some(container.tty == Some(true)),
        open_stdin: Some(container.open_stdin == Some(true)),
        env: Some(env),
        cmd: container.args.clone().or(inherited),
        entrypoint,
        healthcheck: container.health_check.clone(),
        image: container.image.clone(),
        working_dir: container.dir.clone().or_else(|| text(&said["WorkingDir"])),
        stop_signal: container.stop_signal.clone().or_else(|| text(&said["StopSignal"])),
        stop_timeout: container.stop_grace_period.map(|nanos| nanos / 1_000_000_000),
        labels: Some(map(&labels(state, task))),
        ..models::ContainerConfig::default()
    }
}

fn host_config(
    spec: &models::TaskSpec,
    container: models::TaskSpecContainerSpec,
) -> models::HostConfig {
    let limits = spec.resources.clone().and_then(|all| all.limits).unwrap_or_default();
    let dns = container.dns_config.unwrap_or_default();
    models::HostConfig {
        memory: limits.memory_bytes,
        nano_cpus: limits.nano_cpus,
        pids_limit: limits.pids,
        mounts: container.mounts,
        readonly_rootfs: Some(container.read_only == Some(true)),
        cap_add: container.capability_add,
        cap_drop: container.capability_drop,
        ulimits: container.ulimits,
        init: container.init,
        oom_score_adj: container.oom_score_adj,
        group_add: container.groups,
        extra_hosts: container.hosts,
        dns: dns.nameservers,
        dns_search: dns.search,
        dns_options: dns.options,
        log_config: spec
            .log_driver
            .clone()
            .map(|driver| models::HostConfigLogConfig { typ: driver.name, config: driver.options }),
        network_mode: Some("default".to_owned()),
        privileged: Some(false),
        ..models::HostConfig::default()
    }
}

/// What is mounted in a container, placeholders filled in.
pub(super) fn mounts(state: &State, task: &Task) -> Vec<models::MountPoint> {
    if state.version_of(task).task.container.mounts.is_empty() {
        return Vec::new();
    }
    let here = assigned(state, task);
    let spec = spec::task_model(&here.spec, &here.env, false);
    mount_points(&spec.container_spec.unwrap_or_default())
}

fn mount_points(container: &models::TaskSpecContainerSpec) -> Vec<models::MountPoint> {
    container.mounts.iter().flatten().map(mount_point).collect()
}

fn mount_point(mount: &models::Mount) -> models::MountPoint {
    let volume = mount.typ == Some(models::MountType::VOLUME);
    let driver = mount.volume_options.as_ref().and_then(|all| all.driver_config.clone());
    models::MountPoint {
        typ: mount.typ.map(|kind| kind.to_string()),
        name: mount.source.clone().filter(|_| volume),
        source: mount.source.clone().filter(|_| !volume),
        destination: mount.target.clone(),
        driver: volume.then(|| driver.and_then(|d| d.name).unwrap_or_else(|| "local".to_owned())),
        mode: Some(String::new()),
        rw: Some(mount.read_only != Some(true)),
        propagation: mount.bind_options.as_ref().map(|options| {
            options.propagation.map_or_else(|| "rprivate".to_owned(), |p| p.to_string())
        }),
    }
}

/// The words a container runs, for lists: an entrypoint of the service's own makes the image's arguments meaningless.
pub(super) fn words(container: &ContainerSpec, image: Option<&ImageDetails>) -> Vec<String> {
    let said = image.map_or(&Value::Null, |image| &image.file["config"]);
    let own = !container.command.is_empty();
    let inherited = |own: bool, key| (!own).then(|| list(&said[key])).flatten().unwrap_or_default();
    let mut words = container.command.clone();
    words.extend(inherited(own, "Entrypoint"));
    words.extend(container.args.iter().cloned());
    words.extend(inherited(own || !container.args.is_empty(), "Cmd"));
    words
}

/// A text of an image's configuration, which may hold anything.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn list(value: &Value) -> Option<Vec<String>> {
    let words: Vec<String> = value.as_array()?.iter().filter_map(text).collect();
    (!words.is_empty()).then_some(words)
}
