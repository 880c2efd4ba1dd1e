//! A service laid out to be read, as Docker's client lays it out; what that leaves out stands where it belongs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Write as _};

use bollard_stubs::models::{
    EndpointPortConfig, HealthConfig, Mount, Service, ServiceSpec, ServiceSpecMode,
    ServiceUpdateStatus, ServiceUpdateStatusStateEnum, TaskSpec, TaskSpecContainerSpec,
    TaskSpecPlacement, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};
use jiff::Timestamp;

use crate::screen::human;

/// Lines of text, some of which are only there when there is something to say.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: impl Display) {
        writeln!(self.0, "{text}").expect("text grows");
    }

    /// A name and its value, if there is one.
    fn field(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.line(format_args!("{name}{value}"));
        }
    }

    /// A name and several values in one line, if there are any.
    fn words(&mut self, name: &str, values: Option<&Vec<String>>) {
        let values = values.filter(|values| !values.is_empty());
        self.field(name, values.map(|values| values.join(" ")));
    }

    /// A heading and pairs below it, sorted, if there are any.
    fn pairs(
        &mut self,
        heading: &str,
        indent: &str,
        between: &str,
        pairs: Option<&HashMap<String, String>>,
    ) {
        let pairs: BTreeMap<_, _> = pairs.into_iter().flatten().collect();
        if pairs.is_empty() {
            return;
        }
        self.line(heading);
        for (key, value) in pairs {
            let between = if value.is_empty() { "" } else { between };
            self.line(format_args!("{indent}{key}{between}{value}"));
        }
    }
}

/// The layout of one service; networks by name.
pub(super) fn layout(service: &Service, networks: &[String], now: Timestamp) -> String {
    let spec = service.spec.clone().unwrap_or_default();
    let task = spec.task_template.clone().unwrap_or_default();
    let mut page = Page::default();
    page.line("");
    page.field("ID:\t\t", service.id.as_ref());
    page.field("Name:\t\t", spec.name.as_ref());
    page.pairs("Labels:", " ", "=", spec.labels.as_ref());
    mode(&mut page, &spec.mode.clone().unwrap_or_default());
    if let Some(status) = &service.update_status {
        update_status(&mut page, status, now);
    }
    placement(&mut page, &task.placement.clone().unwrap_or_default());
    updates(&mut page, &spec);
    restart(&mut page, task.restart_policy.as_ref());
    container(&mut page, &task.container_spec.clone().unwrap_or_default());
    output(&mut page, &task);
    if let Some(amounts) = &task.resources {
        resources(&mut page, amounts);
    }
    if !networks.is_empty() {
        page.line(format_args!("Networks: {}", networks.join(" ")));
    }
    let endpoint = service.endpoint.clone().unwrap_or_default();
    let mode = spec.endpoint_spec.and_then(|endpoint| endpoint.mode);
    page.field("Endpoint Mode:\t", mode);
    ports(&mut page, endpoint.ports.as_deref().unwrap_or_default());
    if let Some(health) = task.container_spec.and_then(|container| container.health_check) {
        self::health(&mut page, &health);
    }
    page.0
}

fn mode(page: &mut Page, mode: &ServiceSpecMode) {
    let ServiceSpecMode { replicated, global, replicated_job, global_job } = mode;
    if global.is_some() {
        page.line("Service Mode:\tGlobal");
    }
    if let Some(replicated) = replicated {
        page.line("Service Mode:\tReplicated");
        page.field(" Replicas:\t", replicated.replicas);
    }
    if replicated_job.is_some() || global_job.is_some() {
        page.line("Service Mode:\tJob");
    }
}

fn update_status(page: &mut Page, status: &ServiceUpdateStatus, now: Timestamp) {
    let ServiceUpdateStatus { state, started_at, completed_at, message } = status;
    let Some(state) = state.filter(|state| *state != ServiceUpdateStatusStateEnum::EMPTY) else {
        return;
    };
    page.line("UpdateStatus:");
    page.line(format_args!(" State:\t\t{state}"));
    page.field(" Started:\t", started_at.as_ref().map(|at| human::ago(at, now)));
    if state == ServiceUpdateStatusStateEnum::COMPLETED {
        page.field(" Completed:\t", completed_at.as_ref().map(|at| human::ago(at, now)));
    }
    page.field(" Message:\t", message.as_ref());
}

fn placement(page: &mut Page, placement: &TaskSpecPlacement) {
    let TaskSpecPlacement { constraints, preferences, max_replicas, platforms: _ } = placement;
    page.line("Placement:");
    let list = |words: Vec<String>| (!words.is_empty()).then(|| format!("[{}]", words.join(" ")));
    page.field(" Constraints:\t", list(constraints.clone().unwrap_or_default()));
    let spread = preferences.iter().flatten().filter_map(|preference| {
        let label = preference.spread.as_ref()?.spread_descriptor.as_ref()?;
        Some(format!("spread={label}"))
    });
    page.field(" Preferences:   ", list(spread.collect()));
    page.field(" Max Replicas Per Node:   ", max_replicas.filter(|most| *most != 0));
}

fn updates(page: &mut Page, spec: &ServiceSpec) {
    let time = |nanos: Option<i64>| nanos.filter(|nanos| *nanos != 0).map(human::duration);
    if let Some(update) = &spec.update_config {
        page.line("UpdateConfig:");
        page.field(" Parallelism:\t", update.parallelism);
        page.field(" Delay:\t\t", time(update.delay));
        page.field(" On failure:\t", update.failure_action);
        page.field(" Monitoring Period: ", time(update.monitor));
        page.field(" Max failure ratio: ", update.max_failure_ratio);
        page.field(" Update order:      ", update.order);
    }
    if let Some(rollback) = &spec.rollback_config {
        page.line("RollbackConfig:");
        page.field(" Parallelism:\t", rollback.parallelism);
        page.field(" Delay:\t\t", time(rollback.delay));
        page.field(" On failure:\t", rollback.failure_action);
        page.field(" Monitoring Period: ", time(rollback.monitor));
        page.field(" Max failure ratio: ", rollback.max_failure_ratio);
        page.field(" Rollback order:    ", rollback.order);
    }
}

/// Only a policy that is not the usual one.
fn restart(page: &mut Page, policy: Option<&TaskSpecRestartPolicy>) {
    let Some(TaskSpecRestartPolicy { condition, delay, max_attempts, window }) = policy else {
        return;
    };
    let condition = condition.unwrap_or(TaskSpecRestartPolicyConditionEnum::ANY);
    let usual = condition == TaskSpecRestartPolicyConditionEnum::ANY
        && delay.is_none_or(|delay| delay == 5_000_000_000)
        && max_attempts.unwrap_or(0) == 0
        && window.unwrap_or(0) == 0;
    if usual {
        return;
    }
    page.line("RestartPolicy:");
    page.line(format_args!(" Condition:\t{condition}"));
    page.field(" Delay:\t\t", delay.map(human::duration));
    page.field(" Max attempts:\t", max_attempts.filter(|most| *most != 0));
    page.field(" Window:\t", window.filter(|window| *window != 0).map(human::duration));
}

fn container(page: &mut Page, spec: &TaskSpecContainerSpec) {
    page.line("ContainerSpec:");
    page.field(" Image:\t\t", spec.image.as_ref());
    page.words(" Command:\t", spec.command.as_ref());
    page.words(" Args:\t\t", spec.args.as_ref());
    page.words(" Env:\t\t", spec.env.as_ref());
    page.field(" Dir:\t\t", spec.dir.as_ref());
    page.field(" Hostname:\t", spec.hostname.as_ref());
    page.field(" Init:\t\t", spec.init);
    page.field(" User: ", spec.user.as_ref());
    page.words(" Groups: ", spec.groups.as_ref());
    page.field(" ReadOnly:\t", spec.read_only);
    page.field(" TTY:\t\t", spec.tty);
    page.field(" StopSignal:\t", spec.stop_signal.as_ref());
    let grace = spec.stop_grace_period.filter(|nanos| *nanos != 10_000_000_000);
    page.field(" StopGracePeriod: ", grace.map(human::duration));
    page.field(" OomScoreAdj:\t", spec.oom_score_adj);
    page.pairs(" Labels:", "  ", "=", spec.labels.as_ref());
    let dns = spec.dns_config.clone().unwrap_or_default();
    page.words(" DNS:\t\t", dns.nameservers.as_ref());
    page.words(" DNS search:\t", dns.search.as_ref());
    page.words(" DNS options:\t", dns.options.as_ref());
    for entry in spec.hosts.iter().flatten() {
        page.line(format_args!(" Host:\t\t{entry}"));
    }
    let added = spec.capability_add.as_ref().filter(|names| !names.is_empty());
    let dropped = spec.capability_drop.as_ref().filter(|names| !names.is_empty());
    if added.is_some() || dropped.is_some() {
        page.line("Capabilities:");
        page.field(" Add: ", added.map(|names| names.join(", ")));
        page.field(" Drop: ", dropped.map(|names| names.join(", ")));
    }
    page.pairs("SysCtls:", " ", ": ", spec.sysctls.as_ref());
    let ulimits = spec.ulimits.iter().flatten().map(|limit| {
        let value = format!("{}:{}", limit.soft.unwrap_or(0), limit.hard.unwrap_or(0));
        (limit.name.clone().unwrap_or_default(), value)
    });
    page.pairs("Ulimits:", " ", ": ", Some(&ulimits.collect()));
    mounts(page, spec.mounts.as_deref().unwrap_or_default());
}

fn mounts(page: &mut Page, mounts: &[Mount]) {
    if !mounts.is_empty() {
        page.line("Mounts:");
    }
    for mount in mounts {
        page.field(" Target:\t", mount.target.as_ref());
        page.line(format_args!("  Source:\t{}", mount.source.as_deref().unwrap_or_default()));
        page.line(format_args!("  ReadOnly:\t{}", mount.read_only.unwrap_or(false)));
        page.field("  Type:\t\t", mount.typ);
    }
}

fn output(page: &mut Page, task: &TaskSpec) {
    let Some(driver) = &task.log_driver else { return };
    page.line("Log Driver:");
    page.field(" Name:\t\t", driver.name.as_ref());
    page.pairs(" LogOpts:", "  ", ":       ", driver.options.as_ref());
}

fn resources(page: &mut Page, resources: &TaskSpecResources) {
    let cpus = |nanos: Option<i64>| nanos.filter(|n| *n > 0).map(human::cpus);
    let memory = |bytes: Option<i64>| bytes.filter(|n| *n > 0).map(human::memory);
    page.line("Resources:");
    let kept = resources.reservations.clone().unwrap_or_default();
    let (kept_cpus, kept_memory) = (cpus(kept.nano_cpus), memory(kept.memory_bytes));
    if kept_cpus.is_some() || kept_memory.is_some() {
        page.line(" Reservations:");
        page.field("  CPU:\t\t", kept_cpus);
        page.field("  Memory:\t", kept_memory);
    }
    let most = resources.limits.clone().unwrap_or_default();
    let (most_cpus, most_memory) = (cpus(most.nano_cpus), memory(most.memory_bytes));
    let pids = most.pids.filter(|n| *n > 0);
    if most_cpus.is_some() || most_memory.is_some() || pids.is_some() {
        page.line(" Limits:");
        page.field("  CPU:\t\t", most_cpus);
        page.field("  Memory:\t", most_memory);
        page.field("  PIDs:\t\t", pids);
    }
}

fn ports(page: &mut Page, ports: &[EndpointPortConfig]) {
    if !ports.is_empty() {
        page.line("Ports:");
    }
    for port in ports {
        page.line(format_args!(" PublishedPort = {}", port.published_port.unwrap_or(0)));
        page.field("  Protocol = ", port.protocol);
        page.field("  TargetPort = ", port.target_port);
        page.field("  PublishMode = ", port.publish_mode);
    }
}

fn health(page: &mut Page, health: &HealthConfig) {
    let HealthConfig { test, interval, timeout, retries, start_period, start_interval } = health;
    let time = |nanos: Option<i64>| human::duration(nanos.unwrap_or(0));
    page.line(" Healthcheck:");
    page.line(format_args!("  Interval = {}", time(*interval)));
    page.line(format_args!("  Retries = {}", retries.unwrap_or(0)));
    page.line(format_args!("  StartPeriod =\t{}", time(*start_period)));
    page.field("  StartInterval =\t", start_interval.map(human::duration));
    page.line(format_args!("  Timeout =\t{}", time(*timeout)));
    if let Some(test) = test.as_ref().filter(|test| !test.is_empty()) {
        page.line("  Tests:");
        for word in test {
            page.line(format_args!("\t Test = {word}"));
        }
    }
}
