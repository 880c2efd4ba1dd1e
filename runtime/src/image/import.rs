//! A root file system becomes an image of one layer, as `docker import` does it.

use std::io::Read;

use serde_json::{Value, json};
use skein_events::reference::Reference;

use super::change;
use super::config::{self, CONFIG_MAX};
use super::manifest::Platform;
use super::store::Store;
use super::stream::Caps;
use super::{Digest, Import};
use crate::error::{Error, hostile};

/// Takes the archive in; blocks.
pub(crate) fn import(
    store: &Store,
    archive: impl Read,
    import: &Import,
    caps: Caps,
) -> Result<Digest, Error> {
    // Before the archive is read: a mistyped instruction should not cost the whole upload.
    let config = change::apply_all(&import.changes)?;
    let (layer, _hold) = store.add_new_layer(archive, caps)?;
    let bytes = file(import, config, &layer).to_string().into_bytes();
    if u64::try_from(bytes.len()).map_or(true, |n| n > CONFIG_MAX) {
        return Err(hostile(format!("a configuration of over {CONFIG_MAX} bytes")));
    }
    config::parse(&bytes)?;
    let names: Vec<Reference> = import.name.iter().cloned().collect();
    store.add_image(&bytes, &names)
}

fn file(import: &Import, config: Value, layer: &Digest) -> Value {
    let created = jiff::Timestamp::from_nanosecond(i128::from(import.now.0))
        .map(|at| at.to_string())
        .unwrap_or_default();
    json!({
        "architecture": Platform::architecture_here(),
        "os": "linux",
        "created": created,
        "comment": import.comment,
        "config": config,
        "history": [{ "created": created, "comment": import.comment }],
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    })
}
