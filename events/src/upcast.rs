//! Older versions of payloads, each led to the next by one pure function.
//! The frozen shapes stand beside their noun, in its `v1.rs`; here is which of them is read how.

use crate::codec;
use crate::event::{Event, KINDS};
use crate::network;
use crate::record::Malformed;
use crate::service;
use crate::task;

/// Reads a payload that is not of the current version.
pub(crate) fn decode(kind: u16, version: u16, bytes: &[u8]) -> Result<Event, Malformed> {
    match (kind, version) {
        (32, 1) => {
            let old: network::v1::NetworkCreated = codec::decode(bytes)?;
            Ok(network::event::NetworkCreated::from(old).into())
        }
        (48, 1) => {
            let old: service::v1::ServiceCreated = codec::decode(bytes)?;
            Ok(service::event::ServiceCreated::from(old).into())
        }
        (65, 1) => {
            let old: task::v1::TaskAssigned = codec::decode(bytes)?;
            Ok(task::event::TaskAssigned::from(old).into())
        }
        _ => Err(unknown(kind, version)),
    }
}

fn unknown(kind: u16, version: u16) -> Malformed {
    Malformed::Content(match KINDS.iter().find(|k| k.code == kind) {
        Some(known) => format!(
            "event {} has version {version}, this skein reads up to {}: a newer skein wrote it",
            known.name, known.version
        ),
        None => format!("event kind {kind} is unknown: a newer skein wrote it"),
    })
}
