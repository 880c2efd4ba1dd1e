//! An object as people look at it when they ask what changed: without bookkeeping and internals, lists of pairs by
//! their keys, other objects by their names; and what a new one is compared with, so that defaults are left out.

use serde_json::{Map, Value, json};

use crate::id::{NetworkId, NodeId, ObjectId};
use crate::service::update::UpdateConfig;
use crate::service::{EndpointMode, Mode, ServiceSpec};
use crate::state::State;
use crate::task::container::ContainerSpec;
use crate::task::spec::TaskSpec;
use crate::time::Span;

/// What the planners keep for themselves, what every record changes, and what is told by another field.
fn internals(object: ObjectId) -> &'static [&'static str] {
    match object {
        ObjectId::Cluster(_) => {
            &["id", "ca_certificate", "worker_token", "manager_token", "created", "last"]
        }
        ObjectId::Node(_) => {
            &["id", "number", "changed", "state_since", "state_at", "created", "updated", "last"]
        }
        ObjectId::Network(_) => &["id", "next_host", "created", "last"],
        ObjectId::Service(_) => {
            &["id", "version", "changed", "previous", "backwards", "created", "updated"]
        }
        ObjectId::Task(_) => &[
            "id",
            "service",
            "version",
            "slot",
            "status_at",
            "withdrawn",
            "unnamed_from",
            "created",
            "updated",
            "born",
            "last",
        ],
    }
}

/// An object as people look at it; null if it is not there.
pub(super) fn shown(state: &State, object: ObjectId) -> Value {
    let value = match object {
        ObjectId::Cluster(_) => serde_json::to_value(&state.cluster),
        ObjectId::Node(id) => serde_json::to_value(state.nodes.get(&id)),
        ObjectId::Network(id) => serde_json::to_value(state.networks.get(&id)),
        ObjectId::Service(id) => serde_json::to_value(state.services.get(&id)),
        ObjectId::Task(id) => serde_json::to_value(state.tasks.get(&id)),
    };
    let Value::Object(mut fields) = value.expect("nouns have string keys only") else {
        return Value::Null;
    };
    fields.retain(|key, _| !internals(object).contains(&key.as_str()));
    match object {
        ObjectId::Service(id) => {
            if let Some(service) = state.services.get(&id) {
                let version = state.versions.get(&(id, service.version));
                let env = version.and_then(|version| state.environment(version));
                let pair = |line: &String| {
                    let (key, value) = line.split_once('=').unwrap_or((line, ""));
                    (key.to_owned(), Value::from(value))
                };
                fields.insert("env".to_owned(), env.unwrap_or_default().iter().map(pair).collect());
            }
            if let Some(Value::Object(update)) = fields.get_mut("update") {
                update.remove("began");
            }
            if let Some(task) = fields.get_mut("spec").and_then(|spec| spec.get_mut("task")) {
                attachments(state, &mut task["networks"]);
                constraints(&mut task["placement"]["constraints"]);
            }
        }
        ObjectId::Task(_) => {
            if let Some(node) = fields.get_mut("node") {
                name(state, node);
            }
            if let Some(legs) = fields.get_mut("legs") {
                *legs = addresses(state, legs);
            }
        }
        ObjectId::Cluster(_) | ObjectId::Node(_) | ObjectId::Network(_) => {}
    }
    by_keys(Value::Object(fields))
}

/// What an object of this noun would be if nothing had been asked for.
pub(super) fn blank(object: ObjectId) -> Value {
    match object {
        ObjectId::Service(_) => {
            let container =
                ContainerSpec { stop_grace: Span::seconds(10), ..ContainerSpec::default() };
            let spec = ServiceSpec {
                name: "none".parse().expect("it is a name"),
                labels: Vec::new(),
                mode: Mode::Global,
                endpoint: EndpointMode::Unnamed,
                update: UpdateConfig::default(),
                rollback: UpdateConfig::default(),
                task: TaskSpec { container, ..TaskSpec::default() },
            };
            let mut spec = serde_json::to_value(spec).expect("nouns have string keys only");
            // Always worth saying.
            spec["name"].take();
            spec["mode"].take();
            json!({ "spec": spec })
        }
        ObjectId::Network(_) => json!({ "spec": { "internal": false, "attachable": false } }),
        ObjectId::Node(_) => {
            json!({ "availability": "active", "state": "unknown", "fenced": false })
        }
        ObjectId::Task(_) => json!({
            "desired": "running", "by_update": false, "gone": false,
            "status": { "state": "pending", "message": "created" },
        }),
        ObjectId::Cluster(_) => json!({}),
    }
}

/// An id that has a name becomes the name.
fn name(state: &State, id: &mut Value) {
    let known = id.as_str().and_then(|text| {
        let node = text.parse().ok().map(|id: NodeId| ObjectId::Node(id));
        let network = text.parse().ok().map(|id: NetworkId| ObjectId::Network(id));
        [node, network].into_iter().flatten().find_map(|object| state.name_of(object))
    });
    if let Some(known) = known {
        *id = known.into();
    }
}

/// Networks a service joins, by their names; with further names of the service where it has some.
fn attachments(state: &State, networks: &mut Value) {
    for attachment in networks.as_array_mut().into_iter().flatten() {
        let mut network = attachment["network"].take();
        name(state, &mut network);
        let aliases: Vec<&str> = attachment["aliases"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let network = network.as_str().unwrap_or_default();
        *attachment = match aliases[..] {
            [] => network.into(),
            _ => format!("{network} as {}", aliases.join(", ")).into(),
        };
    }
}

/// Constraints as users write them.
fn constraints(all: &mut Value) {
    for constraint in all.as_array_mut().into_iter().flatten() {
        let part = |key: &str| constraint[key].as_str().unwrap_or_default().to_owned();
        let operator = if part("operator") == "Is" { "==" } else { "!=" };
        *constraint = format!("{}{operator}{}", part("key"), part("value")).into();
    }
}

/// A task's addresses by the names of its networks.
fn addresses(state: &State, legs: &mut Value) -> Value {
    let mut by_network = Map::new();
    for leg in legs.as_array_mut().into_iter().flatten() {
        let mut network = leg["network"].take();
        name(state, &mut network);
        by_network.insert(network.as_str().unwrap_or_default().to_owned(), leg["ip"].take());
    }
    by_network.into()
}

/// Lists of pairs of texts, as labels are kept, become objects, so that one label is one field.
fn by_keys(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, by_keys(value))).collect()
        }
        Value::Array(list) => {
            let pair = |value: &Value| match value.as_array().map(Vec::as_slice) {
                Some([Value::String(key), Value::String(value)]) => {
                    Some((key.clone(), Value::from(value.as_str())))
                }
                _ => None,
            };
            let pairs: Option<Map<String, Value>> = list.iter().map(pair).collect();
            match pairs.filter(|pairs| !pairs.is_empty()) {
                Some(pairs) => pairs.into(),
                None => list.into_iter().map(by_keys).collect(),
            }
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}
