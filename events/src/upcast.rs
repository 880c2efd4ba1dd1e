//! Older versions of payloads, each led to the next by one pure function.
//! Every kind is at version 1 today, so this only says what it cannot read.

use crate::event::{Event, KINDS};
use crate::record::Malformed;

/// Reads a payload that is not of the current version.
pub(crate) fn decode(kind: u16, version: u16, _bytes: &[u8]) -> Result<Event, Malformed> {
    Err(Malformed::Content(match KINDS.iter().find(|k| k.code == kind) {
        Some(known) => format!(
            "event {} has version {version}, this skein reads up to {}: a newer skein wrote it",
            known.name, known.version
        ),
        None => format!("event kind {kind} is unknown: a newer skein wrote it"),
    }))
}
