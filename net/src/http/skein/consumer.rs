//! `/skein/v1/consumers`: named readers of the log, whose place is kept in the log itself.
//! An acknowledgement is answered when it is durable. Each consumer writes at most one record a second: acknowledgements
//! that come faster wait, and the furthest is written for all of them.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use skein_events::cluster::consumer::Consumer;
use skein_events::command::Command;
use skein_events::event::Event;
use skein_events::name::Name;
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::state;
use skein_events::time::{Span, Time};

use crate::backend::{Backend, Failure};
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::moment::{At, rfc3339};
use crate::http::{App, Path, committed, json};

use super::log::READ;
use super::tail;

/// A consumer writes at most one record in this time.
const PACE: Span = Span::seconds(1);

/// Whether a record is about the log's own upkeep. Named consumers are not told it: acknowledging it would write the
/// next one, without end.
pub(super) fn is_upkeep(event: &Event) -> bool {
    matches!(event, Event::Checkpointed(_) | Event::ConsumerMoved(_))
}

#[derive(Serialize)]
struct ConsumerModel {
    name: String,
    /// The last record that was acknowledged.
    position: u64,
    /// Records after it that the consumer will be told.
    lag: u64,
    /// Whether there are more than were counted.
    lag_is_more: bool,
    acknowledged: Option<String>,
    created: String,
}

pub(super) async fn list(State(app): State<App>, At(state): At) -> Result<Response, ApiError> {
    let mut all = Vec::new();
    for consumer in state.consumers.values() {
        let Consumer { name, at, acknowledged, created, last: _ } = &**consumer;
        let Lag { records: lag, at_most: lag_is_more } = lag(&*app.backend, &state, *at).await?;
        all.push(ConsumerModel {
            name: name.to_string(),
            position: at.0,
            lag,
            lag_is_more,
            acknowledged: acknowledged.map(rfc3339),
            created: rfc3339(*created),
        });
    }
    Ok(json(StatusCode::OK, &all))
}

/// How far a consumer is behind.
pub(in crate::http) struct Lag {
    /// Records after its place that it will be told.
    pub(in crate::http) records: u64,
    /// Whether those beyond one read were not looked at, and all taken to be told.
    at_most: bool,
}

/// Records after a position that a consumer is told; counted in one read, beyond it all are taken to be.
pub(in crate::http) async fn lag(
    backend: &dyn Backend,
    state: &state::State,
    at: Position,
) -> Result<Lag, Failure> {
    if at >= state.position {
        return Ok(Lag { records: 0, at_most: false });
    }
    let batches = backend.read(at.next(), READ).await?;
    let records = batches.iter().flat_map(|l| l.batch.records(l.first));
    let known = records.filter(|r| r.position > at && r.position <= state.position);
    let (mut lag, mut last) = (0, at);
    for record in known {
        last = record.position;
        lag += u64::from(!is_upkeep(record.event));
    }
    Ok(Lag { records: lag + state.position.0 - last.0, at_most: last < state.position })
}

#[derive(Deserialize)]
pub(super) struct CreateRequest {
    /// Bodies are read with Docker's spelling of what Docker knows.
    #[serde(alias = "Name")]
    name: String,
    #[serde(default)]
    from: String,
}

pub(super) async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(request): Json<CreateRequest>,
) -> Result<Response, ApiError> {
    let (name, at) = (name(&request.name)?, place(&app, &request.from).await?);
    let done = app.backend.submit(caller, Command::CreateConsumer { name, at }).await?;
    Ok(committed(StatusCode::CREATED.into_response(), done.last))
}

#[derive(Deserialize)]
pub(super) struct SeekRequest {
    to: String,
}

pub(super) async fn seek(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(text): Path<String>,
    Json(request): Json<SeekRequest>,
) -> Result<Response, ApiError> {
    let (name, to) = (name(&text)?, place(&app, &request.to).await?);
    let command = Command::MoveConsumer { name, to, seek: true };
    let done = app.backend.submit(caller, command).await?;
    Ok(committed(StatusCode::NO_CONTENT.into_response(), done.last))
}

pub(super) async fn remove(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(text): Path<String>,
) -> Result<Response, ApiError> {
    let done = app.backend.submit(caller, Command::RemoveConsumer(name(&text)?)).await?;
    Ok(committed(StatusCode::NO_CONTENT.into_response(), done.last))
}

#[derive(Deserialize)]
pub(super) struct AckRequest {
    cursor: String,
}

pub(super) async fn ack(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(text): Path<String>,
    Json(request): Json<AckRequest>,
) -> Result<Response, ApiError> {
    let (name, to) = (name(&text)?, tail::acknowledged(&*app.backend, &request.cursor).await?);
    let state = app.backend.state()?;
    let consumer = find(&state, &name)?;
    if consumer.at >= to {
        return Ok(committed(StatusCode::NO_CONTENT.into_response(), consumer.last));
    }
    if let Some(wait) = wait(consumer, app.backend.wall()) {
        // Another acknowledgement may come further meanwhile; then this one needs no record.
        let mut news = app.backend.head()?;
        let overtaken = async {
            while news.changed().await.is_ok() {
                let state = app.backend.state()?;
                let consumer = find(&state, &name)?;
                if consumer.at >= to {
                    return Ok::<_, ApiError>(consumer.last);
                }
            }
            Err(Failure::Unavailable("the daemon is ending".to_owned()).into())
        };
        if let Ok(overtaken) = tokio::time::timeout(wait, overtaken).await {
            return Ok(committed(StatusCode::NO_CONTENT.into_response(), overtaken?));
        }
    }
    let command = Command::MoveConsumer { name: name.clone(), to, seek: false };
    match app.backend.submit(caller, command).await {
        Ok(done) => Ok(committed(StatusCode::NO_CONTENT.into_response(), done.last)),
        // One that came further was faster.
        Err(failure) => match app.backend.state()?.consumers.get(&name) {
            Some(consumer) if consumer.at >= to => {
                Ok(committed(StatusCode::NO_CONTENT.into_response(), consumer.last))
            }
            Some(_) | None => Err(failure.into()),
        },
    }
}

/// How long until a consumer may write its next record: never longer than the pace, whatever the clocks say.
fn wait(consumer: &Consumer, now: Time) -> Option<Duration> {
    let since = now.since(consumer.acknowledged?);
    let left = PACE.0.checked_sub(since.0).filter(|left| *left > 0)?;
    Some(Span(left).as_std())
}

/// The consumer a text names.
pub(super) fn find<'a>(state: &'a state::State, name: &Name) -> Result<&'a Consumer, ApiError> {
    let found = state.consumers.get(name).map(|consumer| &**consumer);
    let refusal = || Refusal::NotFound { noun: "consumer", name: name.to_string() };
    found.ok_or_else(|| refusal().into())
}

/// A consumer's name.
pub(super) fn name(text: &str) -> Result<Name, ApiError> {
    text.parse().map_err(|_| {
        ApiError::invalid("a consumer's name is letters, digits, inner - and _, 63 at most")
    })
}

/// The record before the one that is to be told first.
async fn place(app: &App, from: &str) -> Result<Position, ApiError> {
    let head = *app.backend.head()?.borrow();
    let (first, _) = tail::begin(&*app.backend, from, head).await?;
    if first > head.position.next() {
        let newest = head.position;
        let text = format!("there is no record {first} yet: the newest is {newest}");
        return Err(Refusal::Invalid(text).into());
    }
    Ok(Position(first.0.saturating_sub(1)))
}
