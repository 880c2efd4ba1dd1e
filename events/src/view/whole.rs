//! A whole state as JSON, for programs: every noun by its id, as `skein replay` prints it.
//! Not how state is stored (`state/snapshot.rs` is): names of fields may be added here at any time.

use serde_json::{Map, Value, json};

use crate::state::State;

/// A state as JSON. Values that may have to be forgotten are not in it, only what the chain says of them.
pub fn json(state: &State) -> Value {
    json!({
        "position": state.position.0,
        "epoch": state.epoch,
        "level": state.level,
        "cluster": state.cluster,
        "nodes": by_id(&state.nodes),
        "networks": by_id(&state.networks),
        "services": by_id(&state.services),
        "tasks": by_id(&state.tasks),
        "consumers": by_id(&state.consumers),
    })
}

fn by_id<'a, K: ToString + 'a, V: serde::Serialize + 'a>(
    nouns: impl IntoIterator<Item = (&'a K, &'a V)>,
) -> Map<String, Value> {
    let value = |noun: &V| serde_json::to_value(noun).expect("nouns have string keys only");
    nouns.into_iter().map(|(id, noun)| (id.to_string(), value(noun))).collect()
}
