//! Which records are about which object, and what each object was called, also after it is gone.
//! Filled by reading the history once, batch by batch; small beside the history itself.

use std::collections::{BTreeMap, BTreeSet};

use skein_events::codec::Batch;
use skein_events::event::Event;
use skein_events::id::{NodeId, ObjectId, ServiceId, TaskId};
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::service::Mode;
use skein_events::state::State;
use skein_events::task::Task;

/// What stays known of a task.
#[derive(Clone, Copy, Debug)]
struct TaskPlace {
    service: ServiceId,
    node: Option<NodeId>,
}

/// What is where in a history.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    positions: BTreeMap<ObjectId, Vec<Position>>,
    names: BTreeMap<ObjectId, String>,
    tasks: BTreeMap<TaskId, TaskPlace>,
    /// Services whose tasks belong to nodes, and nodes by the numbers that are their slots.
    global: BTreeSet<ServiceId>,
    nodes: BTreeMap<u64, NodeId>,
    newest: Position,
}

impl Catalog {
    /// What a state knows of names and places; of positions it knows nothing.
    pub fn of(state: &State) -> Self {
        let (services, nodes) = (state.services.keys(), state.nodes.keys());
        let objects = (state.cluster.iter().map(|c| ObjectId::Cluster(c.id)))
            .chain(nodes.map(|id| ObjectId::Node(*id)))
            .chain(state.networks.keys().map(|id| ObjectId::Network(*id)))
            .chain(services.map(|id| ObjectId::Service(*id)))
            .chain(state.tasks.keys().map(|id| ObjectId::Task(*id)));
        let names = objects.filter_map(|o| state.name_of(o).map(|name| (o, name))).collect();
        let place = |t: &Task| TaskPlace { service: t.service, node: t.node };
        let tasks = state.tasks.iter().map(|(id, task)| (*id, place(task))).collect();
        let global = state.services.values().filter(|s| s.spec.mode == Mode::Global);
        Self {
            positions: BTreeMap::new(),
            names,
            tasks,
            global: global.map(|s| s.id).collect(),
            nodes: state.nodes.values().map(|n| (n.number, n.id)).collect(),
            newest: state.position,
        }
    }

    /// Takes a batch in; batches come in order.
    pub fn note(&mut self, first: Position, batch: &Batch) {
        for record in batch.records(first) {
            self.newest = record.position;
            if let Some(object) = record.event.subject() {
                let positions = self.positions.entry(object).or_default();
                if positions.last() != Some(&record.position) {
                    positions.push(record.position);
                }
            }
            self.learn(record.event);
        }
    }

    fn learn(&mut self, event: &Event) {
        match event {
            Event::ClusterCreated(e) => {
                self.names.insert(ObjectId::Cluster(e.id), "swarm".to_owned());
            }
            Event::NodeJoined(e) => {
                self.nodes.insert(e.number, e.id);
                self.names.insert(ObjectId::Node(e.id), e.description.hostname.clone());
            }
            Event::NodeDescribed(e) => {
                self.names.insert(ObjectId::Node(e.id), e.description.hostname.clone());
            }
            Event::NetworkCreated(e) => {
                self.names.insert(ObjectId::Network(e.id), e.spec.name.to_string());
            }
            Event::ServiceCreated(e) => {
                if e.spec.mode == Mode::Global {
                    self.global.insert(e.id);
                }
                self.names.insert(ObjectId::Service(e.id), e.spec.name.to_string());
            }
            Event::TaskCreated(e) => {
                let place = TaskPlace { service: e.service, node: None };
                self.tasks.insert(e.id, place);
                let service = self.name(ObjectId::Service(e.service));
                let node = self.nodes.get(&e.slot).filter(|_| self.global.contains(&e.service));
                let place = node.map_or_else(|| e.slot.to_string(), ToString::to_string);
                self.names.insert(ObjectId::Task(e.id), format!("{service}.{place}"));
            }
            Event::TaskAssigned(e) => {
                if let Some(place) = self.tasks.get_mut(&e.id) {
                    place.node = Some(e.node);
                }
            }
            Event::Checkpointed(_)
            | Event::LevelRaised(_)
            | Event::RecordRedacted(_)
            | Event::RedactionConfirmed(_)
            | Event::ConsumerCreated(_)
            | Event::ConsumerMoved(_)
            | Event::ConsumerRemoved(_)
            | Event::NodeStateChanged(_)
            | Event::NodeFenced(_)
            | Event::NodeUpdated(_)
            | Event::NodeImageChanged(_)
            | Event::NodeVolumeChanged(_)
            | Event::NetworkRemoved(_)
            | Event::ServiceScaled(_)
            | Event::ServiceRemoved(_)
            | Event::ServiceUpdated(_)
            | Event::ServiceUpdateChanged(_)
            | Event::ServiceUpdateDelayed(_)
            | Event::TaskObstructed(_)
            | Event::TaskStatusChanged(_)
            | Event::TaskDesiredChanged(_)
            | Event::TaskWithdrawn(_)
            | Event::TaskGone(_)
            | Event::TaskRemoved(_)
            | Event::TaskExecStarted(_) => {}
        }
    }

    /// The last record taken in.
    pub fn newest(&self) -> Position {
        self.newest
    }

    /// Records about an object, in order.
    pub fn positions(&self, object: ObjectId) -> &[Position] {
        self.positions.get(&object).map_or(&[], Vec::as_slice)
    }

    /// What the object was called; the beginning of its id if nothing is known of it.
    pub fn name(&self, object: ObjectId) -> String {
        self.names.get(&object).cloned().unwrap_or_else(|| match object {
            ObjectId::Cluster(id) => id.short(),
            ObjectId::Node(id) => id.short(),
            ObjectId::Network(id) => id.short(),
            ObjectId::Service(id) => id.short(),
            ObjectId::Task(id) => id.short(),
        })
    }

    /// The service a task belonged to.
    pub fn service_of(&self, task: TaskId) -> Option<ServiceId> {
        self.tasks.get(&task).map(|place| place.service)
    }

    /// The node a task was on.
    pub fn node_of(&self, task: TaskId) -> Option<NodeId> {
        self.tasks.get(&task).and_then(|place| place.node)
    }

    /// What belongs to an object: a service's tasks, and the tasks that were put on a node.
    pub fn members(&self, object: ObjectId) -> impl Iterator<Item = ObjectId> + '_ {
        let belongs = move |place: &TaskPlace| match object {
            ObjectId::Service(id) => place.service == id,
            ObjectId::Node(id) => place.node == Some(id),
            ObjectId::Cluster(_) | ObjectId::Network(_) | ObjectId::Task(_) => false,
        };
        self.tasks
            .iter()
            .filter(move |(_, place)| belongs(place))
            .map(|(id, _)| ObjectId::Task(*id))
    }

    /// The object a text means, at a position: `service/web`, a name, an id, or an unambiguous beginning of one.
    /// Of several that had the name one after the other, the newest that was there already.
    pub fn find(&self, text: &str, upto: Position) -> Result<ObjectId, Refusal> {
        let (noun, name) = match text.split_once('/') {
            Some((noun @ ("service" | "task" | "network" | "node" | "cluster"), name)) => {
                (Some(noun), name)
            }
            _ => (None, text),
        };
        let there = |object: &ObjectId| {
            noun.is_none_or(|n| n == object.noun())
                && self.positions(*object).first().is_some_and(|p| *p <= upto)
        };
        let id_of = |object: ObjectId| {
            let text = object.to_string();
            text.split_once('/').map_or_else(String::new, |(_, id)| id.to_owned())
        };
        // By their first records: a task may still be cleared away when the one in its place runs already.
        let first = |object: &ObjectId| self.positions(*object).first().copied();
        // A container's name is a task's name and its id.
        let bare = name.rsplit_once('.').map_or(name, |(_, last)| last);
        let exact = self.positions.keys().filter(|o| there(o)).find(|o| {
            let id = id_of(**o);
            id == name || (id == bare && matches!(o, ObjectId::Task(_)))
        });
        if let Some(object) = exact {
            return Ok(*object);
        }
        let named = self.names.iter().filter(|(o, n)| n.eq_ignore_ascii_case(name) && there(o));
        let mut named: Vec<ObjectId> = named.map(|(object, _)| *object).collect();
        // Names of one noun come one after the other; a service is meant before a network or a node of its name.
        named.sort_by_key(|o| (rank(*o), std::cmp::Reverse(first(o))));
        if let Some(object) = named.first() {
            return Ok(*object);
        }
        let noun = noun.map_or("object", noun_of);
        let like_id =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        let all = self.positions.keys().filter(|o| like_id && there(o));
        let found: BTreeSet<ObjectId> =
            all.filter(|o| id_of(**o).starts_with(name)).copied().collect();
        match found.len() {
            0 => Err(Refusal::NotFound { noun, name: name.chars().take(128).collect() }),
            1 => Ok(*found.first().expect("there is one")),
            _ => {
                let label = |object: &ObjectId| {
                    format!("{} ({}/{:.12})", self.name(*object), object.noun(), id_of(*object))
                };
                let candidates = found.iter().map(label).collect();
                Err(Refusal::Ambiguous { noun, name: name.to_owned(), candidates })
            }
        }
    }
}

fn noun_of(text: &str) -> &'static str {
    match text {
        "service" => "service",
        "task" => "task",
        "network" => "network",
        "node" => "node",
        _ => "cluster",
    }
}

fn rank(object: ObjectId) -> u8 {
    match object {
        ObjectId::Service(_) => 0,
        ObjectId::Task(_) => 1,
        ObjectId::Network(_) => 2,
        ObjectId::Node(_) => 3,
        ObjectId::Cluster(_) => 4,
    }
}
