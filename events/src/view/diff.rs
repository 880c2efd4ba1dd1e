//! What differs between two states: objects that came, went or changed, and how.
//! A view of two values and not of records, so that the log, a dry run and a test all tell differences alike.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::field::Field;
use super::shown::{blank, shown};
use crate::id::ObjectId;
use crate::state::State;

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

/// Stands for a value of the environment: which one it is may have to be forgotten, that it changed is told.
const VALUE: &str = "a value";
/// The same of another one.
const OTHER: &str = "another value";

/// All differences, by noun and id.
pub fn diff(before: &State, after: &State) -> Vec<Difference> {
    let (old, new) = (objects(before), objects(after));
    old.union(&new).filter_map(|object| of_object(before, after, *object)).collect()
}

/// How one object differs, if it does.
pub fn of_object(before: &State, after: &State, object: ObjectId) -> Option<Difference> {
    let name = after.name_of(object).or_else(|| before.name_of(object)).unwrap_or_default();
    let (old, new) = (shown(before, object), shown(after, object));
    let change = match (old.is_null(), new.is_null()) {
        (true, true) => return None,
        (true, false) => Change::Added,
        (false, true) => Change::Removed,
        (false, false) => {
            let mut fields = Vec::new();
            compare("", &old, &new, &mut fields);
            if fields.is_empty() {
                return None;
            }
            Change::Changed { fields }
        }
    };
    Some(Difference { object: object.to_string(), name, change })
}

/// What a record changed of its object, as a patch: of a new object what is not as it always is, of a removed one nothing.
pub fn patch(before: &State, after: &State, object: ObjectId) -> Vec<Field> {
    match of_object(before, after, object).map(|difference| difference.change) {
        Some(Change::Changed { fields }) => fields,
        Some(Change::Added) => {
            let mut fields = Vec::new();
            compare("", &blank(object), &shown(after, object), &mut fields);
            fields.retain(|field| !field.after.is_null());
            fields.into_iter().map(|field| Field { before: Value::Null, ..field }).collect()
        }
        Some(Change::Removed) | None => Vec::new(),
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

fn compare(path: &str, before: &Value, after: &Value, out: &mut Vec<Field>) {
    let none = Value::Object(Map::new());
    let parts = |value| if is_nothing(value) { &none } else { value };
    match (parts(before), parts(after)) {
        _ if before == after || (is_nothing(before) && is_nothing(after)) => {}
        (Value::Object(old), Value::Object(new)) => {
            let join =
                |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, value) in old {
                compare(&join(key), value, new.get(key).unwrap_or(&Value::Null), out);
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                compare(&join(key), &Value::Null, value, out);
            }
        }
        _ => out.push(field(path, before, after)),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn field(path: &str, before: &Value, after: &Value) -> Field {
    let path = path.to_owned();
    if !path.starts_with("env.") {
        return Field { path, before: before.clone(), after: after.clone() };
    }
    let hidden = |value: &Value, text: &str| {
        if value.is_null() { Value::Null } else { text.into() }
    };
    let now = if before.is_null() { VALUE } else { OTHER };
    Field { path, before: hidden(before, VALUE), after: hidden(after, now) }
}
