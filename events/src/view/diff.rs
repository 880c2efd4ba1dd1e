//! What differs between two states: objects that came, went or changed, and how.
//! A view of two values and not of records, so that the log, a dry run and a test all tell differences alike.

use std::collections::BTreeSet;

use crate::id::ObjectId;
use crate::state::State;
use serde_json::Value;

/// One field that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Field {
    /// Where, e.g. `spec.mode.replicated.replicas`.
    pub path: String,
    /// What it was; null if it was not there.
    pub before: Value,
    /// What it is; null if it is not there any more.
    pub after: Value,
}

/// How one object differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// It came.
    Added,
    /// It went.
    Removed,
    /// It is not what it was.
    Changed {
        /// In these fields.
        fields: Vec<Field>,
    },
}

/// One object that differs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The object, e.g. `service/5uwx…`.
    pub object: String,
    /// What it is or was called.
    pub name: String,
    /// How it differs.
    #[serde(flatten)]
    pub change: Change,
}

/// Fields that every record changes: which record, and when. No difference by themselves.
const BOOKKEEPING: [&str; 6] = ["changed", "last", "previous", "status_at", "updated", "version"];

/// All differences, by noun and id.
pub fn diff(before: &State, after: &State) -> Vec<Difference> {
    let (old, new) = (objects(before), objects(after));
    old.union(&new).filter_map(|object| of_object(before, after, *object)).collect()
}

/// How one object differs, if it does.
pub fn of_object(before: &State, after: &State, object: ObjectId) -> Option<Difference> {
    let name = after.name_of(object).or_else(|| before.name_of(object)).unwrap_or_default();
    let (old, new) = (value(before, object), value(after, object));
    let change = match (old.is_null(), new.is_null()) {
        (true, true) => return None,
        (true, false) => Change::Added,
        (false, true) => Change::Removed,
        (false, false) => {
            let mut fields = Vec::new();
            compare("", &old, &new, &mut fields);
            fields.retain(|field| !BOOKKEEPING.contains(&field.path.as_str()));
            if fields.is_empty() {
                return None;
            }
            Change::Changed { fields }
        }
    };
    Some(Difference { object: object.to_string(), name, change })
}

/// What a record changed of its object, as a patch: of a new object what was asked for, of a removed one nothing.
pub fn patch(before: &State, after: &State, object: ObjectId) -> Vec<Field> {
    match of_object(before, after, object).map(|difference| difference.change) {
        Some(Change::Changed { fields }) => fields,
        Some(Change::Added) => {
            let mut fields = Vec::new();
            leaves("spec", value(after, object).get("spec").unwrap_or(&Value::Null), &mut fields);
            fields
        }
        Some(Change::Removed) | None => Vec::new(),
    }
}

fn leaves(path: &str, value: &Value, out: &mut Vec<Field>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| leaves(&format!("{path}.{key}"), value, out));
        }
        Value::Array(list) if list.is_empty() => {}
        Value::Null => {}
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let (path, after) = (path.to_owned(), value.clone());
            out.push(Field { path, before: Value::Null, after });
        }
    }
}

fn objects(state: &State) -> BTreeSet<ObjectId> {
    let cluster = state.cluster.iter().map(|c| ObjectId::Cluster(c.id));
    cluster
        .chain(state.nodes.keys().copied().map(ObjectId::Node))
        .chain(state.networks.keys().copied().map(ObjectId::Network))
        .chain(state.services.keys().copied().map(ObjectId::Service))
        .chain(state.tasks.keys().copied().map(ObjectId::Task))
        .collect()
}

fn value(state: &State, object: ObjectId) -> Value {
    let value = match object {
        ObjectId::Cluster(_) => serde_json::to_value(&state.cluster),
        ObjectId::Node(id) => serde_json::to_value(state.nodes.get(&id)),
        ObjectId::Network(id) => serde_json::to_value(state.networks.get(&id)),
        ObjectId::Service(id) => serde_json::to_value(state.services.get(&id)),
        ObjectId::Task(id) => serde_json::to_value(state.tasks.get(&id)),
    };
    value.expect("nouns have string keys only")
}

fn compare(path: &str, before: &Value, after: &Value, out: &mut Vec<Field>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                compare(&join(key), value, new.get(key).unwrap_or(&Value::Null), out);
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                compare(&join(key), &Value::Null, value, out);
            }
        }
        _ if before == after => {}
        _ => {
            out.push(Field { path: path.to_owned(), before: before.clone(), after: after.clone() });
        }
    }
}
