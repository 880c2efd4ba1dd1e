//! `GET /skein/v1/log`: the records of an object, or all of them, a line each.
//! Also finds objects that are gone: the log remembers what they were called.

use std::collections::{BTreeSet, VecDeque};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use skein_events::envelope::Who;
use skein_events::event::{Event, KINDS};
use skein_events::id::ObjectId;
use skein_events::kind::Kind;
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::state::touched::Touched;
use skein_events::state::{self, Record};
use skein_events::view::diff;
use skein_events::view::field::Field;
use skein_events::view::summary;

use crate::backend::{Backend, Failure, Moment};
use crate::http::error::ApiError;
use crate::http::filters::truthy;
use crate::http::moment::{self, MaybeMoment};
use crate::http::{App, Query};

use super::event::{LogLine, Names, line, subject};

/// Records read at once: some hundred kilobytes.
pub(super) const READ: usize = 512;
/// Shorter beginnings of an id mean too much.
const ID_PREFIX_MIN: usize = 4;

#[derive(Debug, Default, Deserialize)]
pub(super) struct LogQuery {
    object: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
    who: Option<String>,
    kind: Option<String>,
    patch: Option<String>,
}

pub(super) async fn log(
    State(app): State<App>,
    MaybeMoment(moment): MaybeMoment,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let state = app.backend.state()?;
    let head = match moment {
        None => app.backend.head()?.borrow().position,
        Some(Moment::Position(position)) => position.min(state.position),
        Some(moment) => app.backend.at(moment).await?.position,
    };
    let objects = match query.object.as_deref().filter(|o| !o.is_empty()) {
        None => None,
        Some(text) => Some(objects(&*app.backend, &state, text).await?),
    };
    let from = match query.from.as_deref().filter(|f| !f.is_empty()) {
        None => Position(1),
        Some(text) => match moment::parse(text)? {
            Moment::Position(position) => position.max(Position(1)),
            // What happened since then begins after what had happened by then.
            moment @ (Moment::Ago(_) | Moment::Wall(_)) => match app.backend.at(moment).await {
                Ok(then) => then.position.next(),
                // Before there was a swarm: from its beginning.
                Err(Failure::Refused(Refusal::Invalid(_))) => Position(1),
                Err(failure) => return Err(failure.into()),
            },
        },
    };
    let to = match query.to.as_deref().filter(|t| !t.is_empty()) {
        None => head,
        Some(text) => moment::position(&app, text).await?.min(head),
    };
    let wanted = Wanted {
        objects,
        who: query.who.filter(|w| !w.is_empty()),
        kinds: query.kind.iter().flat_map(|k| k.split(',')).map(str::to_owned).collect(),
    };
    if let Some(unknown) = wanted.kinds.iter().find(|kind| !KINDS.iter().any(|k| names(k, kind))) {
        let shown: String = unknown.chars().take(64).collect();
        return Err(ApiError::invalid(format!(
            "there is no kind of event {shown:?}: the nouns are {}, and a kind is such as service.scaled",
            nouns().join(", ")
        )));
    }
    let names = Names::default();
    let mut reading = Reading { from, to, wanted, names, state, app, folded: None };
    if let Some(limit) = number(query.limit.as_deref())? {
        reading.skip_to_last(limit).await?;
    }
    if query.patch.is_some_and(|p| truthy(Some(&p))) && reading.from <= reading.to {
        let before = Position(reading.from.0 - 1);
        let state = match before {
            Position(0) => state::State::default(),
            _ => state::State::clone(&*reading.app.backend.at(Moment::Position(before)).await?),
        };
        reading.folded = Some(state);
    }
    let body = futures::stream::try_unfold(reading, |mut reading| async move {
        let lines = reading.next().await?;
        Ok::<_, ApiFault>(lines.map(|lines| (lines, reading)))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// A failure after the answer began: the connection is cut, so that nobody takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the log could not be read to its end")]
pub(in crate::http) enum ApiFault {
    /// The backend failed.
    Backend(#[from] Failure),
    /// A record could not be written as JSON.
    Json(#[from] serde_json::Error),
}

pub(super) fn number(text: Option<&str>) -> Result<Option<u64>, ApiError> {
    let text = text.filter(|t| !t.is_empty());
    text.map(|t| t.parse().map_err(|_| ApiError::invalid("limit must be a number"))).transpose()
}

struct Reading {
    app: App,
    state: std::sync::Arc<state::State>,
    wanted: Wanted,
    names: Names,
    from: Position,
    to: Position,
    /// The state before `from`, where patches are asked for.
    folded: Option<state::State>,
}

/// Which records are asked for.
struct Wanted {
    objects: Option<BTreeSet<ObjectId>>,
    who: Option<String>,
    kinds: Vec<String>,
}

impl Wanted {
    fn holds(&self, state: &state::State, record: &Record<'_>) -> bool {
        let about = || subject(state, record.event);
        self.objects.as_ref().is_none_or(|all| about().is_some_and(|s| all.contains(&s)))
            && self.who.as_ref().is_none_or(|text| is_by(&record.envelope.who, text))
            && (self.kinds.is_empty() || self.kinds.iter().any(|k| is_of(record.event, k)))
    }
}

/// Whether a text names who it was: `user`, `root`, `0`, `planner`, `scheduler`, a node's id, or both words.
fn is_by(who: &Who, text: &str) -> bool {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (noun, names) = match who {
        Who::User { uid, gid: _, name } => ("user", [Some(uid.to_string()), name.clone()]),
        Who::Planner { name } => ("planner", [Some(name.to_string()), None]),
        Who::Node { id } => ("node", [Some(id.to_string()), None]),
    };
    let named = |text: &str| names.iter().flatten().any(|name| name == text);
    match rest {
        "" => first == noun || named(first),
        name => first == noun && named(name),
    }
}

/// Whether a text names an event's kind: `service.scaled`, or `service` for all of a noun.
fn is_of(event: &Event, text: &str) -> bool {
    names(&event.kind(), text)
}

/// Whether a text names a kind. What happens to consumers, images and volumes is told of the swarm or a node, and
/// looked for by their own noun: `consumer` is `cluster.consumer-created` and the like.
fn names(kind: &Kind, text: &str) -> bool {
    let (noun, verb) = kind.name.split_once('.').unwrap_or((kind.name, ""));
    let text = text.trim_end_matches(".*");
    kind.name == text || noun == text || (inner(verb) == Some(text))
}

/// A noun within the words for what happened: `consumer` of `consumer-created`.
fn inner(verb: &str) -> Option<&str> {
    let noun = verb.split_once('-')?.0;
    ["consumer", "exec", "image", "volume"].contains(&noun).then_some(noun)
}

/// Every noun events are about.
fn nouns() -> Vec<&'static str> {
    let both = KINDS.iter().filter_map(|kind| kind.name.split_once('.'));
    let all: BTreeSet<&str> =
        both.flat_map(|(noun, verb)| [Some(noun), inner(verb)]).flatten().collect();
    all.into_iter().collect()
}

/// Records of the whole log that are looked at before the last ones, for what objects that are gone were called.
const NAMES_BEFORE: u64 = 100_000;

impl Reading {
    /// Goes to where the last `limit` records begin that are asked for.
    async fn skip_to_last(&mut self, limit: u64) -> Result<(), Failure> {
        let kept = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut last: VecDeque<Position> = VecDeque::new();
        let mut next = self.from;
        if self.wanted.objects.is_none() {
            next = next.max(Position(self.to.0.saturating_sub(limit.saturating_add(NAMES_BEFORE))));
        }
        while next <= self.to {
            let batches = self.app.backend.read(next, READ).await?;
            let before = next;
            for logged in &batches {
                for record in logged.batch.records(logged.first) {
                    if record.position < next || record.position > self.to {
                        continue;
                    }
                    next = record.position.next();
                    self.names.learn(record.event);
                    if self.wanted.holds(&self.state, &record) {
                        last.push_back(record.position);
                        if last.len() > kept {
                            last.pop_front();
                        }
                    }
                }
            }
            if next == before {
                break;
            }
        }
        self.from = last.front().copied().unwrap_or_else(|| self.to.next());
        Ok(())
    }

    /// Folds a record and says what it changed of its object, where that is asked for.
    fn patch(&mut self, record: &Record<'_>, wanted: bool) -> Option<Vec<Field>> {
        let folded = self.folded.as_mut()?;
        let before = wanted.then(|| folded.clone());
        folded.apply(*record, &mut Touched::Ignored);
        let object = subject(folded, record.event)?;
        before.map(|before| diff::patch(&before, folded, object))
    }

    /// The next lines, at least one; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiFault> {
        let mut lines = Vec::new();
        while lines.is_empty() {
            if self.from > self.to {
                return Ok(None);
            }
            let batches = self.app.backend.read(self.from, READ).await?;
            if batches.is_empty() {
                return Ok(None);
            }
            let before = self.from;
            for logged in &batches {
                for record in logged.batch.records(logged.first) {
                    if record.position < self.from || record.position > self.to {
                        continue;
                    }
                    self.from = record.position.next();
                    self.names.learn(record.event);
                    let wanted = self.wanted.holds(&self.state, &record);
                    let patch = self.patch(&record, wanted);
                    if wanted {
                        let told = LogLine::of(&record, &self.state, &self.names);
                        line(&mut lines, &told.with(patch))?;
                    }
                }
                // A batch beyond the end was only looked at to find that out.
                if logged.first > self.to {
                    self.from = self.to.next();
                }
            }
            advanced(before, self.from)?;
        }
        Ok(Some(lines.into()))
    }
}

/// Reading on from where it was begun before would never end.
pub(super) fn advanced(before: Position, after: Position) -> Result<(), Failure> {
    if after > before {
        return Ok(());
    }
    Err(Failure::Internal(format!("the log gave nothing from {before} on")))
}

/// The objects a text means: one that is there, or all that were called so.
async fn objects(
    backend: &dyn Backend,
    state: &state::State,
    text: &str,
) -> Result<BTreeSet<ObjectId>, ApiError> {
    if let (Some(cluster), "swarm" | "cluster") = (&state.cluster, text) {
        return Ok([ObjectId::Cluster(cluster.id)].into());
    }
    let refusal = match summary::object(state, text) {
        Ok(object) => return Ok([object].into()),
        Err(refusal) => refusal,
    };
    if !matches!(refusal, Refusal::NotFound { .. }) {
        return Err(refusal.into());
    }
    let gone = gone(backend, text).await?;
    if gone.is_empty() { Err(refusal.into()) } else { Ok(gone) }
}

/// Objects of the past that a text means, by name or by the beginning of an id.
async fn gone(backend: &dyn Backend, text: &str) -> Result<BTreeSet<ObjectId>, ApiError> {
    let (noun, name) = match text.split_once('/') {
        Some((noun, name)) => (Some(noun), name),
        None => (None, text),
    };
    let (mut names, mut found) = (Names::default(), BTreeSet::new());
    let empty = state::State::default();
    let mut from = Position(1);
    loop {
        let batches = backend.read(from, READ).await?;
        if batches.is_empty() {
            return Ok(found);
        }
        let before = from;
        for logged in &batches {
            for record in logged.batch.records(logged.first) {
                from = from.max(record.position.next());
                let made = matches!(
                    record.event,
                    Event::ServiceCreated(_)
                        | Event::NetworkCreated(_)
                        | Event::NodeJoined(_)
                        | Event::TaskCreated(_)
                );
                let Some(object) = record.event.subject().filter(|_| made) else { continue };
                names.learn(record.event);
                let called = names.of(&empty, object);
                let id = object.to_string();
                let id = id.split_once('/').map_or("", |(_, id)| id);
                // `web.1.5uwx…` is how containers are called.
                let called_so = called.is_some_and(|c| c == name || format!("{c}.{id}") == name);
                let by_id = name.len() >= ID_PREFIX_MIN && id.starts_with(name);
                if noun.is_none_or(|n| n == object.noun()) && (called_so || by_id) {
                    found.insert(object);
                }
            }
        }
        advanced(before, from)?;
    }
}
