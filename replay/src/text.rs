//! One English sentence for each kind of event, and what is worth knowing besides.

use skein_events::event::Event;
use skein_events::id::{NodeId, ObjectId, TaskId};
use skein_events::node::{Availability, ImageChange, NodeState, Role, VolumeChange};
use skein_events::service::Mode;
use skein_events::service::event::ServiceUpdateDelayed;
use skein_events::service::update::{UpdateState, Way};
use skein_events::task::event::{TaskDesiredChanged, TaskStatusChanged};
use skein_events::task::{TaskState, TaskStatus};
use skein_events::time::Time;

use crate::catalog::Catalog;

/// What happened, in one sentence.
pub(crate) fn sentence(names: &Catalog, event: &Event) -> String {
    let node = |id: NodeId| format!("node {}", names.name(ObjectId::Node(id)));
    let network = |id| format!("network {}", names.name(ObjectId::Network(id)));
    let service = |id| format!("service {}", names.name(ObjectId::Service(id)));
    let task = |id: TaskId| format!("task {}", names.name(ObjectId::Task(id)));
    match event {
        Event::ClusterCreated(_) => "the swarm was created".to_owned(),
        Event::Checkpointed(e) => {
            format!("the state at {} was written down as digest {}", e.upto, e.digest.h8())
        }
        Event::LevelRaised(e) => format!("the swarm was raised to level {}", e.level),
        Event::RecordRedacted(e) => {
            format!("what was kept apart from record {} was ordered to be erased", e.position)
        }
        Event::ConsumerCreated(e) => {
            format!("consumer {} begins after {}", e.name, e.at)
        }
        Event::ConsumerMoved(e) if e.sought => {
            format!("consumer {} was told to go on after {}", e.name, e.at)
        }
        Event::ConsumerMoved(e) => format!("consumer {} acknowledged {}", e.name, e.at),
        Event::ConsumerRemoved(e) => format!("consumer {} was removed", e.name),
        Event::RedactionConfirmed(e) => {
            format!("{} erased what was kept apart from record {}", node(e.node), e.position)
        }
        Event::NodeJoined(e) => {
            let role = match e.role {
                Role::Manager => "manager",
                Role::Worker => "worker",
            };
            format!("{} joined as a {role} at {}:{}", node(e.id), e.address, e.port)
        }
        Event::NodeDescribed(e) => format!("{} described its machine anew", node(e.id)),
        Event::NodeUpdated(e) => {
            let takes = match e.availability {
                Availability::Active => "takes tasks",
                Availability::Pause => "takes no new tasks",
                Availability::Drain => "was drained: its tasks go elsewhere",
            };
            format!("{} {takes}", node(e.id))
        }
        Event::NodeStateChanged(e) => {
            let what = match e.state {
                NodeState::Unknown => "was not heard of any more",
                NodeState::Ready => "became ready",
                NodeState::Down => "was declared down",
            };
            with_message(format!("{} {what}", node(e.id)), &e.message)
        }
        Event::NodeImageChanged(e) => {
            let what = match e.change {
                ImageChange::Loaded => "was loaded from an archive",
                ImageChange::Pulled => "was pulled",
                ImageChange::Imported => "was imported",
                ImageChange::Tagged => "was tagged",
                ImageChange::Removed => "was removed",
            };
            let image = if e.name.is_empty() { &e.digest } else { &e.name };
            format!("image {image} {what} on {}", node(e.node))
        }
        Event::NodeVolumeChanged(e) => {
            let what = match e.change {
                VolumeChange::Created => "was created",
                VolumeChange::Removed => "was removed",
            };
            format!("volume {} {what} on {}", e.name, node(e.node))
        }
        Event::NodeFenced(e) => {
            format!("{} was fenced: nobody sends to its addresses any more", node(e.id))
        }
        Event::NetworkCreated(e) => {
            format!("{} was created with addresses {}", network(e.id), e.subnet)
        }
        Event::NetworkRemoved(e) => format!("{} was removed", network(e.id)),
        Event::ServiceCreated(e) => {
            let tasks = match e.spec.mode {
                Mode::Replicated { replicas: 1 } => "1 task".to_owned(),
                Mode::Replicated { replicas } => format!("{replicas} tasks"),
                Mode::Global => "a task on each node".to_owned(),
            };
            format!("{} was created with {tasks} of {}", service(e.id), e.spec.task.container.image)
        }
        Event::ServiceScaled(e) => format!("{} was scaled to {}", service(e.id), e.replicas),
        Event::ServiceUpdated(e) => match e.way {
            Way::Forward => {
                format!("{} was updated to {}", service(e.id), e.spec.task.container.image)
            }
            Way::Back => format!("{} was asked back to what it was before", service(e.id)),
            Way::Fallback => {
                format!("{} went back to what it was, for want of success", service(e.id))
            }
        },
        Event::ServiceUpdateChanged(e) => {
            let what = match e.state {
                UpdateState::Updating => "began",
                UpdateState::Paused => "was paused",
                UpdateState::Completed => "is complete",
                UpdateState::RollbackStarted => "goes back",
                UpdateState::RollbackPaused => "was paused on its way back",
                UpdateState::RollbackCompleted => "is back where it was",
            };
            format!("the update of {} {what}: {}", service(e.id), e.message)
        }
        Event::ServiceUpdateDelayed(e) => match e.until {
            Some(_) => format!("the update of {} waits", service(e.id)),
            None => format!("the update of {} waits for its tasks", service(e.id)),
        },
        Event::ServiceRemoved(e) => format!("{} was removed", service(e.id)),
        Event::TaskCreated(e) => match e.replaces {
            None => format!("{} was created", task(e.id)),
            Some(old) => {
                format!("{} was created in the place of {}", task(e.id), old.short())
            }
        },
        Event::TaskAssigned(e) => format!("{} was put on {}", task(e.id), node(e.node)),
        Event::TaskObstructed(e) => format!("{} has to wait: {}", task(e.id), e.obstacle),
        Event::TaskStatusChanged(e) => {
            let place = names.node_of(e.id).map(|id| format!(" on {}", node(id)));
            came_so_far(&task(e.id), &place.unwrap_or_default(), e)
        }
        Event::TaskDesiredChanged(e) => told(&task(e.id), e),
        Event::TaskWithdrawn(e) => format!("no name leads to {} any more", task(e.id)),
        Event::TaskGone(e) => {
            let place = names.node_of(e.id).map_or_else(|| "its node".to_owned(), node);
            format!("nothing of {} is left on {place}", task(e.id))
        }
        Event::TaskRemoved(e) => format!("{} was forgotten", task(e.id)),
        Event::TaskExecStarted(e) => {
            format!("a command was run in {}: {}", task(e.id), e.program)
        }
    }
}

fn with_message(text: String, message: &str) -> String {
    if message.is_empty() { text } else { format!("{text}: {message}") }
}

fn came_so_far(task: &str, place: &str, event: &TaskStatusChanged) -> String {
    let status = &event.status;
    match status.state {
        TaskState::Pending => format!("{task} waits for a node"),
        TaskState::Assigned => format!("{task} has a node"),
        TaskState::Accepted => format!("{task} was accepted{place}"),
        TaskState::Preparing => format!("{task} is being prepared{place}"),
        TaskState::Ready => format!("{task} is ready to be started{place}"),
        TaskState::Starting => format!("{task} is being started{place}"),
        TaskState::Running => format!("{task} runs{place}"),
        TaskState::Complete => with_fault(format!("{task} completed{place}"), status),
        TaskState::Shutdown => with_fault(format!("{task} was stopped{place}"), status),
        TaskState::Failed => with_fault(format!("{task} failed{place}"), status),
        TaskState::Rejected => with_fault(format!("{task} could not be started{place}"), status),
        TaskState::Remove => format!("{task} is to be forgotten"),
        TaskState::Orphaned => format!("{task} was given up with its node"),
    }
}

/// What went wrong, in the node's own words if it has any, else by the exit code.
fn with_fault(text: String, status: &TaskStatus) -> String {
    let code = status.exit_code.filter(|code| *code != 0).map(|code| format!("exit code {code}"));
    match (code, &status.error) {
        (Some(code), _) => format!("{text}: {code}"),
        (None, Some(error)) => with_message(text, error),
        (None, None) => text,
    }
}

fn told(task: &str, event: &TaskDesiredChanged) -> String {
    match event.desired {
        TaskState::Pending
        | TaskState::Assigned
        | TaskState::Accepted
        | TaskState::Preparing
        | TaskState::Ready => format!("{task} was told to get ready"),
        TaskState::Starting | TaskState::Running => format!("{task} was told to run"),
        TaskState::Complete | TaskState::Shutdown | TaskState::Failed | TaskState::Rejected => {
            format!("{task} was told to end")
        }
        TaskState::Remove | TaskState::Orphaned => {
            format!("{task} was told to end and to be forgotten")
        }
    }
}

/// What is worth knowing besides the sentence.
pub(crate) fn details(names: &Catalog, event: &Event, at: Time) -> Vec<String> {
    let node = |id: NodeId| names.name(ObjectId::Node(id));
    let mut out = Vec::new();
    match event {
        Event::NodeDescribed(e) => out.push(format!(
            "{} billionths of a core, {} bytes of memory, skein {}",
            e.description.cpus.0, e.description.memory.0, e.description.engine
        )),
        Event::NodeImageChanged(e) => {
            if !e.name.is_empty() {
                out.push(format!("image {}", e.digest));
            }
        }
        Event::NodeFenced(e) => out.push(format!("every ready node has applied {}", e.at)),
        Event::NodeUpdated(e) => {
            out.extend(e.labels.iter().map(|(key, value)| format!("label {key}={value}")));
        }
        Event::NetworkCreated(e) => {
            out.push(format!("gateway {}, VXLAN identifier {}", e.gateway, e.vni.0));
        }
        Event::TaskCreated(e) => {
            if let (Some(start), TaskState::Ready) = (e.start_at, e.desired) {
                out.push(format!("its start is delayed by {}", start.since(at)));
            }
        }
        Event::TaskAssigned(e) => {
            for leg in &e.legs {
                let network = names.name(ObjectId::Network(leg.network));
                out.push(format!("address {} on network {network}", leg.ip));
            }
            let evaluated = e.explanation.evaluated;
            let nodes = if evaluated == 1 { "node" } else { "nodes" };
            out.push(format!("{evaluated} {nodes} looked at"));
            for verdict in &e.explanation.verdicts {
                out.push(format!("node {}: {}", node(verdict.node), verdict.finding));
            }
        }
        Event::TaskStatusChanged(e) => {
            let TaskStatus { state, message, error, container, pid, exit_code } = &e.status;
            out.extend(error.iter().filter(|_| exit_code.is_some_and(|code| code != 0)).cloned());
            out.extend(container.iter().map(|id| format!("container {id}")));
            out.extend(pid.iter().map(|pid| format!("process {pid}")));
            if !message.is_empty() && message != state.as_str() {
                out.push(message.clone());
            }
        }
        Event::TaskWithdrawn(e) => {
            out.extend(
                e.not_waited_for.iter().map(|id| format!("node {} was not waited for", node(*id))),
            );
        }
        Event::ServiceUpdateChanged(e) if e.state.is_active() => {
            let slots = if e.slots == 1 { "task is" } else { "tasks are" };
            out.push(format!("{} {slots} to be replaced", e.slots));
        }
        Event::ServiceUpdateDelayed(ServiceUpdateDelayed { until: Some(until), .. }) => {
            out.push(format!("for {}", until.since(at)));
        }
        Event::ServiceUpdateChanged(_) | Event::ServiceUpdateDelayed(_) => {}
        Event::ClusterCreated(_)
        | Event::Checkpointed(_)
        | Event::LevelRaised(_)
        | Event::RecordRedacted(_)
        | Event::RedactionConfirmed(_)
        | Event::ConsumerCreated(_)
        | Event::ConsumerMoved(_)
        | Event::ConsumerRemoved(_)
        | Event::NodeJoined(_)
        | Event::NodeStateChanged(_)
        | Event::NodeVolumeChanged(_)
        | Event::NetworkRemoved(_)
        | Event::ServiceCreated(_)
        | Event::ServiceScaled(_)
        | Event::ServiceRemoved(_)
        | Event::ServiceUpdated(_)
        | Event::TaskObstructed(_)
        | Event::TaskDesiredChanged(_)
        | Event::TaskGone(_)
        | Event::TaskRemoved(_)
        | Event::TaskExecStarted(_) => {}
    }
    out
}
