//! What one node is to do, and nothing else: the only part of State that leaves a manager.
//! Sent as a whole once, then as differences; both are made here, so that the hand that sends never looks inside.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::id::{NetworkId, NodeId, ServiceId, TaskId};
use crate::record::Position;
use crate::state::State;
use crate::task::container::ContainerSpec;
use crate::task::mount::{Mount, MountSource};
use crate::task::spec::TaskSpec;
use crate::task::template;
use crate::task::{Task, TaskState};
use crate::unit::{Mac, Subnet};

use super::dns::Zone;
use super::overlay::NodeOverlay;
use super::{dns, overlay};

/// How far a node is to bring a task.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Order {
    /// Make everything ready, start nothing.
    Prepare,
    /// Run it.
    Run,
    /// End it and leave nothing behind.
    Stop,
}

/// How far a node had come with a task, as the log knows it: tells a node that has lost its memory what not to start again.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Phase {
    /// Its process was never started.
    New,
    /// Its process was started.
    Started,
    /// It ended; something of it may be left.
    Ended,
}

/// A task's place on one network, with what its interface needs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AssignedLeg {
    /// The network.
    pub network: NetworkId,
    /// Its address there.
    pub ip: Ipv4Addr,
    /// Its Ethernet address there.
    pub mac: Mac,
    /// The network's addresses.
    pub subnet: Subnet,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// No way out through this network.
    pub internal: bool,
}

/// One task as its node sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AssignedTask {
    /// Its id.
    pub id: TaskId,
    /// Its service's id.
    pub service: ServiceId,
    /// Its service's name.
    pub service_name: String,
    /// Its place in the service.
    pub slot: u64,
    /// What tells it from its service's others: its slot, or its node.
    pub place: String,
    /// How far it is to come.
    pub order: Order,
    /// How far it came.
    pub phase: Phase,
    /// What it runs.
    pub spec: TaskSpec,
    /// Environment, `KEY=value`.
    pub env: Vec<String>,
    /// Its addresses, in the order of its networks.
    pub legs: Vec<AssignedLeg>,
}

impl AssignedTask {
    /// The container's name, as Docker writes it: `web.1.<task id>`.
    pub fn container_name(&self) -> String {
        format!("{}.{}.{}", self.service_name, self.place, self.id)
    }
    /// `web.1`.
    pub fn task_name(&self) -> String {
        format!("{}.{}", self.service_name, self.place)
    }
}

/// Everything one node is to do at a position.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Assignment {
    /// Epoch of the history.
    pub epoch: u32,
    /// Position it was computed at.
    pub position: Position,
    /// Its tasks.
    pub tasks: BTreeMap<TaskId, AssignedTask>,
    /// Its overlays.
    pub overlay: NodeOverlay,
    /// Names of the networks its tasks are on.
    pub zones: BTreeMap<NetworkId, Zone>,
}

/// How to get from one assignment to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Change {
    /// Epoch of the next one.
    pub epoch: u32,
    /// Position of the next one.
    pub position: Position,
    /// New or different tasks.
    pub tasks: Vec<AssignedTask>,
    /// Tasks that are not the node's any more.
    pub removed_tasks: Vec<TaskId>,
    /// The overlays, if they differ.
    pub overlay: Option<NodeOverlay>,
    /// New or different zones.
    pub zones: Vec<Zone>,
    /// Zones that are of no use any more.
    pub removed_zones: Vec<NetworkId>,
}

impl Change {
    /// Whether there is nothing to do but to note the position.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
            && self.removed_tasks.is_empty()
            && self.overlay.is_none()
            && self.zones.is_empty()
            && self.removed_zones.is_empty()
    }
}

/// What a node is to do.
pub fn assignment(state: &State, node: NodeId) -> Assignment {
    let tasks: BTreeMap<TaskId, AssignedTask> =
        state.tasks_on(node).map(|t| (t.id, assigned(state, t))).collect();
    let mut networks: Vec<NetworkId> =
        tasks.values().flat_map(|t| t.legs.iter().map(|l| l.network)).collect();
    networks.sort_unstable();
    networks.dedup();
    Assignment {
        epoch: state.epoch,
        position: state.position,
        overlay: overlay::node_overlay(state, node, &networks),
        zones: networks
            .into_iter()
            .filter_map(|id| dns::zone(state, id).map(|zone| (id, zone)))
            .collect(),
        tasks,
    }
}

/// One task as its node is told of it, its placeholders filled in.
pub fn assigned(state: &State, task: &Task) -> AssignedTask {
    let version = state.version_of(task);
    let legs = task
        .legs
        .iter()
        .filter_map(|leg| {
            let network = state.networks.get(&leg.network)?;
            Some(AssignedLeg {
                network: leg.network,
                ip: leg.ip,
                mac: leg.mac,
                subnet: network.subnet,
                gateway: network.gateway,
                internal: network.spec.internal,
            })
        })
        .collect();
    let detached = version.detached.and_then(|c| state.detached.get(&c));
    let mut filled = AssignedTask {
        id: task.id,
        service: task.service,
        service_name: version.name.to_string(),
        slot: task.slot,
        place: state.place_of(task),
        order: match task.desired {
            TaskState::Pending
            | TaskState::Assigned
            | TaskState::Accepted
            | TaskState::Preparing
            | TaskState::Ready => Order::Prepare,
            TaskState::Starting | TaskState::Running => Order::Run,
            // It answers to its name a moment longer than it is wanted: connections are not cut off.
            TaskState::Complete
            | TaskState::Shutdown
            | TaskState::Failed
            | TaskState::Rejected
            | TaskState::Remove
            | TaskState::Orphaned => {
                if task.withdrawn {
                    Order::Stop
                } else {
                    Order::Run
                }
            }
        },
        phase: match task.status.state {
            state if state.is_terminal() => Phase::Ended,
            TaskState::Starting | TaskState::Running => Phase::Started,
            TaskState::Pending
            | TaskState::Assigned
            | TaskState::Accepted
            | TaskState::Preparing
            | TaskState::Ready
            | TaskState::Complete
            | TaskState::Shutdown
            | TaskState::Failed
            | TaskState::Rejected
            | TaskState::Remove
            | TaskState::Orphaned => Phase::New,
        },
        spec: version.task.clone(),
        env: detached.map(|d| d.env.clone()).unwrap_or_default(),
        legs,
    };
    fill_in(state, task, &mut filled);
    filled
}

/// The texts of a task that may have placeholders.
fn templates(assigned: &mut AssignedTask) -> impl Iterator<Item = &mut String> {
    let ContainerSpec { hostname, mounts, .. } = &mut assigned.spec.container;
    assigned.env.iter_mut().chain(hostname).chain(mounts.iter_mut().flat_map(of_mount))
}

fn of_mount(mount: &mut Mount) -> Vec<&mut String> {
    match &mut mount.source {
        MountSource::Bind { path, .. } => vec![path],
        MountSource::Volume { name, labels, options, .. } => {
            let values = labels.iter_mut().chain(options).map(|(_, value)| value);
            name.iter_mut().chain(values).collect()
        }
        MountSource::Tmpfs { .. } => Vec::new(),
    }
}

fn fill_in(state: &State, task: &Task, assigned: &mut AssignedTask) {
    if !templates(assigned).any(|text| text.contains("{{")) {
        return;
    }
    let name = assigned.container_name();
    with_values(state, task, &name, |values| {
        for text in templates(assigned).filter(|text| text.contains("{{")) {
            *text = template::fill(text, values);
        }
    });
}

/// The host name its service gives a task, its placeholders filled in.
pub(super) fn hostname(state: &State, task: &Task) -> Option<String> {
    let version = state.version_of(task);
    let mut hostname = version.task.container.hostname.clone()?;
    if hostname.contains("{{") {
        let name = format!("{}.{}.{}", version.name, state.place_of(task), task.id);
        with_values(state, task, &name, |values| hostname = template::fill(&hostname, values));
    }
    Some(hostname)
}

/// Does something with what placeholders of a task stand for, if it has a node.
fn with_values(
    state: &State,
    task: &Task,
    container_name: &str,
    work: impl FnOnce(&template::Values<'_>),
) {
    let Some(node) = task.node.and_then(|id| state.nodes.get(&id)) else { return };
    work(&template::Values {
        service_id: &task.service.to_string(),
        service_name: state.version_of(task).name.as_str(),
        service_labels: state.services.get(&task.service).map_or(&[], |s| &s.spec.labels),
        node_id: &node.id.to_string(),
        node_hostname: &node.description.hostname,
        node_os: &node.description.os,
        node_architecture: &node.description.architecture,
        task_id: &task.id.to_string(),
        task_name: container_name,
        task_slot: &state.place_of(task),
    });
}

impl Assignment {
    /// What leads from `self` to `next`.
    pub fn change_to(&self, next: &Self) -> Change {
        let gone = |id: &&TaskId| !next.tasks.contains_key(*id);
        let unused = |id: &&NetworkId| !next.zones.contains_key(*id);
        Change {
            epoch: next.epoch,
            position: next.position,
            tasks: next
                .tasks
                .values()
                .filter(|t| self.tasks.get(&t.id) != Some(t))
                .cloned()
                .collect(),
            removed_tasks: self.tasks.keys().filter(gone).copied().collect(),
            overlay: (self.overlay != next.overlay).then(|| next.overlay.clone()),
            zones: next
                .zones
                .values()
                .filter(|z| self.zones.get(&z.network) != Some(z))
                .cloned()
                .collect(),
            removed_zones: self.zones.keys().filter(unused).copied().collect(),
        }
    }

    /// Carries a change out; afterwards `self` equals the assignment it was made for.
    pub fn carry_out(&mut self, change: Change) {
        let Change { epoch, position, tasks, removed_tasks, overlay, zones, removed_zones } =
            change;
        (self.epoch, self.position) = (epoch, position);
        self.tasks.extend(tasks.into_iter().map(|t| (t.id, t)));
        for id in removed_tasks {
            self.tasks.remove(&id);
        }
        if let Some(overlay) = overlay {
            self.overlay = overlay;
        }
        self.zones.extend(zones.into_iter().map(|z| (z.network, z)));
        for id in removed_zones {
            self.zones.remove(&id);
        }
    }
}
