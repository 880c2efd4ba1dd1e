//! `GET /skein/v1/tail`: the log as a stream of CloudEvents, from any point, followed as it grows.
//! Readers pull at their own pace, from the log and not from a queue; a slow one costs nobody anything.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use skein_events::record::Position;
use skein_events::state;

use crate::backend::{Backend, Failure, Head};
use crate::http::error::ApiError;
use crate::http::filters::truthy;
use crate::http::moment::{Present, span};
use crate::http::{App, Query};

use super::consumer;
use super::event::{CloudEvent, Cursor, Names, line};
use super::log::{ApiFault, READ, advanced};

/// How often a reader hears where it is when nobody said.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// More often would be noise.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
/// More seldom would look like a dead connection.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Default, Deserialize)]
pub(super) struct TailQuery {
    from: Option<String>,
    consumer: Option<String>,
    follow: Option<String>,
    heartbeat: Option<String>,
}

pub(super) async fn tail(
    State(app): State<App>,
    _: Present,
    Query(query): Query<TailQuery>,
) -> Result<Response, ApiError> {
    let state = app.backend.state()?;
    let source = source(&state);
    let mut news = app.backend.head()?;
    let head = *news.borrow_and_update();
    let consumer = query.consumer.as_deref().filter(|c| !c.is_empty());
    let (from, at) = match (consumer, query.from.as_deref()) {
        (None, from) => begin(&*app.backend, from.unwrap_or("start"), head).await?,
        (Some(name), None) => {
            let at = consumer::find(&state, &consumer::name(name)?)?.at;
            (at.next(), cursor_at(&*app.backend, at).await?)
        }
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("a consumer knows where it goes on: leave out from"));
        }
    };
    let upkeep = consumer.is_none();
    let period = match query.heartbeat.as_deref().filter(|h| !h.is_empty()) {
        None => HEARTBEAT,
        Some(text) => {
            let span =
                span(text).ok_or_else(|| ApiError::invalid("heartbeat is a time such as 10s"))?;
            span.as_std().clamp(HEARTBEAT_MIN, HEARTBEAT_MAX)
        }
    };
    let mut beat = tokio::time::interval(period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    let follow = query.follow.is_some_and(|f| truthy(Some(&f)));
    let names = Names::default();
    let reading = Reading { app, source, names, news, beat, follow, upkeep, from, at };
    let body = futures::stream::try_unfold(reading, |mut reading| async move {
        let lines = reading.next().await?;
        Ok::<_, ApiFault>(lines.map(|lines| (lines, reading)))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Where events come from, as CloudEvents call it.
fn source(state: &state::State) -> String {
    match &state.cluster {
        Some(cluster) => format!("/clusters/{}", cluster.id),
        None => "/clusters".to_owned(),
    }
}

/// Where to begin: the first position to show, and the cursor before it if it is known.
pub(super) async fn begin(
    backend: &dyn Backend,
    from: &str,
    head: Head,
) -> Result<(Position, Option<Cursor>), ApiError> {
    match from {
        "" | "start" => return Ok((Position(1), None)),
        "now" => return Ok((head.position.next(), cursor_at(backend, head.position).await?)),
        _ => {}
    }
    if let Ok(position) = from.parse::<Position>() {
        let position = position.max(Position(1));
        return Ok((position, None));
    }
    let cursor: Cursor = from.parse().map_err(|()| {
        let shown: String = from.chars().take(64).collect();
        ApiError::invalid(format!(
            "{shown:?} is no place to begin: write start, now, @8123 or a cursor"
        ))
    })?;
    if cursor_at(backend, cursor.position).await? == Some(cursor) {
        return Ok((cursor.position.next(), Some(cursor)));
    }
    Err(Failure::Gone {
        message: format!("cursor {cursor} is not on this history"),
        ancestor: None,
    }
    .into())
}

/// The position a cursor or a text such as `@8123` acknowledges; it has to be on this history.
pub(super) async fn acknowledged(backend: &dyn Backend, text: &str) -> Result<Position, ApiError> {
    let head = *backend.head()?.borrow();
    if let Ok(position) = text.parse::<Position>() {
        return Ok(position);
    }
    let (next, _) = begin(backend, text, head).await?;
    Ok(Position(next.0.saturating_sub(1)))
}

/// The cursor of a position that is in the log.
pub(super) async fn cursor_at(
    backend: &dyn Backend,
    position: Position,
) -> Result<Option<Cursor>, ApiError> {
    if position == Position(0) {
        return Ok(None);
    }
    let batches = backend.read(position, 1).await?;
    let holds =
        |first: Position, count: usize| first <= position && position.0 - first.0 < count as u64;
    let holder = batches.iter().find(|l| holds(l.first, l.batch.entries.len()));
    Ok(holder.map(|l| Cursor::new(l.batch.envelope.epoch, position, l.h)))
}

struct Reading {
    app: App,
    source: String,
    names: Names,
    news: watch::Receiver<Head>,
    beat: Interval,
    follow: bool,
    /// Whether records about the log's own upkeep are told.
    upkeep: bool,
    from: Position,
    at: Option<Cursor>,
}

#[derive(Serialize)]
struct Bookmark {
    bookmark: String,
}

enum Wake {
    News,
    Beat,
    End,
}

impl Reading {
    /// The next lines; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiFault> {
        loop {
            if let Some(lines) = self.events().await? {
                return Ok(Some(lines));
            }
            if !self.follow {
                return Ok(None);
            }
            let wake = tokio::select! {
                biased;
                () = self.app.closing.cancelled() => Wake::End,
                changed = self.news.changed() => match changed {
                    Ok(()) => Wake::News,
                    Err(_) => Wake::End,
                },
                _ = self.beat.tick() => Wake::Beat,
            };
            match wake {
                Wake::News => {}
                Wake::End => return Ok(None),
                Wake::Beat => {
                    if let Some(at) = self.at {
                        let mut lines = Vec::new();
                        line(&mut lines, &Bookmark { bookmark: at.to_string() })?;
                        return Ok(Some(lines.into()));
                    }
                }
            }
        }
    }

    /// What is in the log and was not shown; only what is committed and applied.
    async fn events(&mut self) -> Result<Option<Bytes>, ApiFault> {
        let head = self.news.borrow_and_update().position;
        let mut lines = Vec::new();
        while self.from <= head && lines.is_empty() {
            let before = self.from;
            self.some(head, &mut lines).await?;
            advanced(before, self.from)?;
        }
        Ok((!lines.is_empty()).then(|| lines.into()))
    }

    async fn some(&mut self, head: Position, lines: &mut Vec<u8>) -> Result<(), ApiFault> {
        let batches = self.app.backend.read(self.from, READ).await?;
        let state = self.app.backend.state()?;
        if source(&state) != self.source {
            return Err(
                Failure::Unavailable("this machine is in another swarm now".to_owned()).into()
            );
        }
        for logged in &batches {
            for record in logged.batch.records(logged.first) {
                if record.position < self.from || record.position > head {
                    continue;
                }
                self.names.learn(record.event);
                self.from = record.position.next();
                if !self.upkeep && consumer::is_upkeep(record.event) {
                    continue;
                }
                let event = CloudEvent::of(&record, logged.h, &self.source, &state, &self.names);
                line(lines, &event)?;
                self.at = Some(Cursor::new(record.envelope.epoch, record.position, logged.h));
            }
        }
        Ok(())
    }
}
