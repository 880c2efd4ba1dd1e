//! Records as lines: for `log` with all that is known of them, for `tail` as CloudEvents 1.0.
//! Separate from the two routes because both need names of objects that may be gone by now.

use std::collections::BTreeMap;

use serde::Serialize;

use skein_events::codec::Apart;
use skein_events::envelope::{Envelope, Who};
use skein_events::event::Event;
use skein_events::id::ObjectId;
use skein_events::node::{ImageChange, VolumeChange};
use skein_events::record::{Hash, Position};
use skein_events::state::{Record, State};
use skein_events::view::field::Field;

use crate::http::moment::rfc3339;

/// Names of gone objects that are remembered during one answer.
const LEARNED_MAX: usize = 10_000;

/// Names for people: of the newest state, and of what was read on the way.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<ObjectId, String>);

impl Names {
    /// Remembers what a record calls an object.
    pub(super) fn learn(&mut self, event: &Event) {
        if self.0.len() >= LEARNED_MAX {
            return;
        }
        let named = if let Event::ServiceCreated(e) = event {
            Some((ObjectId::Service(e.id), e.spec.name.to_string()))
        } else if let Event::NetworkCreated(e) = event {
            Some((ObjectId::Network(e.id), e.spec.name.to_string()))
        } else if let Event::NodeJoined(e) = event {
            Some((ObjectId::Node(e.id), e.description.hostname.clone()))
        } else if let Event::TaskCreated(e) = event {
            let service = self.0.get(&ObjectId::Service(e.service));
            service.map(|service| (ObjectId::Task(e.id), format!("{service}.{}", e.slot)))
        } else {
            None
        };
        self.0.extend(named);
    }

    /// What people call an object.
    pub(super) fn of(&self, state: &State, object: ObjectId) -> Option<String> {
        state.name_of(object).or_else(|| self.0.get(&object).cloned())
    }
}

/// Why, in the user's words: known, erased, or never given.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Reason<'a> {
    Given(&'a str),
    Erased { redacted: bool },
}

impl<'a> Reason<'a> {
    fn of(apart: &'a Apart) -> Option<Self> {
        match apart {
            Apart::None => None,
            Apart::Present { commitment: _, value } => value.reason.as_deref().map(Self::Given),
            Apart::Redacted { commitment: _ } => Some(Self::Erased { redacted: true }),
        }
    }
}

/// A record as `log` writes it.
#[derive(Serialize)]
pub(super) struct LogLine<'a> {
    position: u64,
    epoch: u32,
    time: String,
    wall: String,
    kind: &'static str,
    version: u16,
    subject: Option<String>,
    name: Option<String>,
    detail: Option<String>,
    who: &'a Who,
    client: &'a str,
    request: Option<String>,
    reason: Option<Reason<'a>>,
    cause: Option<u64>,
    data: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Vec<Field>>,
}

/// What an event is about besides its object, in a few words: of a node's images, which one.
fn detail(event: &Event) -> Option<String> {
    let word = |change: ImageChange| match change {
        ImageChange::Loaded => "loaded",
        ImageChange::Pulled => "pulled",
        ImageChange::Imported => "imported",
        ImageChange::Tagged => "tagged",
        ImageChange::Removed => "removed",
    };
    Some(match event {
        Event::NodeImageChanged(e) => {
            let image = if e.name.is_empty() { &e.digest } else { &e.name };
            format!("{image} {}", word(e.change))
        }
        Event::NodeVolumeChanged(e) => match e.change {
            VolumeChange::Created => format!("{} created", e.name),
            VolumeChange::Removed => format!("{} removed", e.name),
        },
        Event::ConsumerCreated(e) => e.name.to_string(),
        Event::ConsumerMoved(e) => format!("{} to {}", e.name, e.at),
        Event::ConsumerRemoved(e) => e.name.to_string(),
        Event::RecordRedacted(e) => e.position.to_string(),
        Event::RedactionConfirmed(e) => e.position.to_string(),
        Event::TaskExecStarted(e) => e.program.clone(),
        Event::ClusterCreated(_)
        | Event::Checkpointed(_)
        | Event::LevelRaised(_)
        | Event::NodeJoined(_)
        | Event::NodeDescribed(_)
        | Event::NodeStateChanged(_)
        | Event::NodeUpdated(_)
        | Event::NodeFenced(_)
        | Event::NetworkCreated(_)
        | Event::NetworkRemoved(_)
        | Event::ServiceCreated(_)
        | Event::ServiceScaled(_)
        | Event::ServiceUpdated(_)
        | Event::ServiceUpdateChanged(_)
        | Event::ServiceUpdateDelayed(_)
        | Event::ServiceRemoved(_)
        | Event::TaskCreated(_)
        | Event::TaskAssigned(_)
        | Event::TaskObstructed(_)
        | Event::TaskStatusChanged(_)
        | Event::TaskDesiredChanged(_)
        | Event::TaskWithdrawn(_)
        | Event::TaskGone(_)
        | Event::TaskRemoved(_) => return None,
    })
}

/// The object a record is about; the swarm itself for those that name none.
pub(super) fn subject(state: &State, event: &Event) -> Option<ObjectId> {
    event.subject().or_else(|| state.cluster.as_ref().map(|c| ObjectId::Cluster(c.id)))
}

impl<'a> LogLine<'a> {
    pub(super) fn of(record: &Record<'a>, state: &State, names: &Names) -> Self {
        let Record { position, envelope, event, apart } = record;
        let Envelope { at, wall, who, client, request, cause, epoch, level: _ } = envelope;
        let kind = event.kind();
        let subject = subject(state, event);
        Self {
            position: position.0,
            epoch: *epoch,
            time: rfc3339(*at),
            wall: rfc3339(*wall),
            kind: kind.name,
            version: kind.version,
            subject: subject.map(|s| s.to_string()),
            name: subject.and_then(|s| names.of(state, s)),
            detail: detail(event),
            who,
            client,
            request: request.map(|r| r.to_string()),
            reason: Reason::of(apart),
            cause: cause.map(|c| c.0),
            data: event,
            patch: None,
        }
    }

    /// The line with what the record changed of its object.
    pub(super) fn with(self, patch: Option<Vec<Field>>) -> Self {
        Self { patch, ..self }
    }
}

/// Where a reader is: resuming begins strictly after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) epoch: u32,
    pub(super) position: Position,
    pub(super) h: [u8; 4],
}

impl Cursor {
    pub(super) fn new(epoch: u32, position: Position, h: Hash) -> Self {
        let [a, b, c, d, ..] = h.0;
        Self { epoch, position, h: [a, b, c, d] }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, position, h: [a, b, c, d] } = self;
        write!(f, "{epoch}.{}.{a:02x}{b:02x}{c:02x}{d:02x}", position.0)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let (Some(epoch), Some(position), Some(h), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        if h.len() != 8 {
            return Err(());
        }
        let h = u32::from_str_radix(h, 16).map_err(|_| ())?.to_be_bytes();
        let position = Position(position.parse().map_err(|_| ())?);
        Ok(Self { epoch: epoch.parse().map_err(|_| ())?, position, h })
    }
}

/// A record as a CloudEvent, with what CloudEvents call extensions.
#[derive(Serialize)]
pub(super) struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    time: String,
    datacontenttype: &'static str,
    cursor: String,
    position: u64,
    epoch: u32,
    who: &'a Who,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    data: &'a Event,
}

impl<'a> CloudEvent<'a> {
    pub(super) fn of(
        record: &Record<'a>,
        h: Hash,
        source: &'a str,
        state: &State,
        names: &Names,
    ) -> Self {
        let Record { position, envelope, event, apart } = record;
        let Envelope { at, wall: _, who, client, request, cause, epoch, level: _ } = envelope;
        let kind = event.kind();
        let subject = subject(state, event);
        Self {
            specversion: "1.0",
            id: format!("{epoch}.{}", position.0),
            source,
            kind: format!("io.skein.{}.v{}", kind.name, kind.version),
            subject: subject.map(|s| s.to_string()),
            time: rfc3339(*at),
            datacontenttype: "application/json",
            cursor: Cursor::new(*epoch, *position, h).to_string(),
            position: position.0,
            epoch: *epoch,
            who,
            client,
            reason: Reason::of(apart),
            cause: cause.map(|c| c.0),
            request: request.map(|r| r.to_string()),
            name: subject.and_then(|s| names.of(state, s)),
            data: event,
        }
    }
}

/// Writes a value as one line.
pub(super) fn line(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *out, value)?;
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_a_cursor_or_refused(text: String, near in "[0-9+]{0,11}\\.[0-9]{0,21}\\.[0-9a-fé+]{6,8}") {
            for text in [text, near] {
                if let Ok(cursor) = text.parse::<Cursor>() {
                    proptest::prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
                }
            }
        }
    }

    #[test]
    fn cursors_are_written_and_read() {
        let cursor = Cursor::new(1, Position(8123), Hash([0xab; 32]));
        assert_eq!(cursor.to_string(), "1.8123.abababab");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "1.2", "1.2.3", "1.2.abababab.4", "x.2.abababab", "@8123", "1.2.zzzzzzzz"] {
            assert_eq!(bad.parse::<Cursor>(), Err(()), "{bad}");
        }
    }
}
