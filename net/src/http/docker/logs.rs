//! What containers said: of a task, of all tasks of a service, of a container; in Docker's frames.
//! Lines of several tasks are put in the order of their times; while they are followed, in the order they come.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream::{BoxStream, FuturesUnordered, SelectAll};
use futures::{Stream, StreamExt};

use skein_events::id::{ServiceId, TaskId};
use skein_events::refusal::Refusal;
use skein_events::state;
use skein_events::task::Task;
use skein_events::time::Time;
use skein_events::view::summary;

use crate::backend::{Failure, LogLine, LogLines, LogStream, LogsRequest};
use crate::http::error::ApiError;
use crate::http::filters::truthy;
use crate::http::moment::Present;
use crate::http::skein::log::ApiFault;
use crate::http::{App, Path, Query};

use super::container;
use super::exec::{MULTIPLEXED, RAW, frame};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/services/{id}/logs", get(of_service))
        .route("/tasks/{id}/logs", get(of_task))
        .route("/containers/{id}/logs", get(of_container))
}

#[derive(Debug, Default, serde::Deserialize)]
struct LogsQuery {
    stdout: Option<String>,
    stderr: Option<String>,
    follow: Option<String>,
    tail: Option<String>,
    since: Option<String>,
    until: Option<String>,
    timestamps: Option<String>,
    details: Option<String>,
}

/// What is wanted of the lines, and how each is written.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    follow: bool,
    tail: Option<u64>,
    since: Option<Time>,
    until: Option<Time>,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    details: bool,
}

impl LogsQuery {
    fn wanted(&self) -> Result<Wanted, ApiError> {
        let yes = |value: &Option<String>| truthy(value.as_deref());
        let (stdout, stderr) = (yes(&self.stdout), yes(&self.stderr));
        if !stdout && !stderr {
            return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
        }
        Ok(Wanted {
            follow: yes(&self.follow),
            tail: lines(self.tail.as_deref())?,
            since: moment("since", self.since.as_deref())?,
            until: moment("until", self.until.as_deref())?,
            stdout,
            stderr,
            timestamps: yes(&self.timestamps),
            details: yes(&self.details),
        })
    }
}

/// How many of the last lines; none means all. Docker takes what is no number for all lines where containers are asked,
/// and refuses it where services are; a mistyped number is refused here by both.
fn lines(text: Option<&str>) -> Result<Option<u64>, ApiError> {
    match text {
        None | Some("" | "all") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            ApiError::invalid(format!(
                "invalid value for \"tail\": {shown:?} is neither a number of lines nor \"all\""
            ))
        }),
    }
}

/// Seconds since 1970 with a fraction, or RFC 3339; nothing and zero mean without limit.
fn moment(name: &str, text: Option<&str>) -> Result<Option<Time>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != "0") else { return Ok(None) };
    let wrong = || {
        let shown: String = text.chars().take(64).collect();
        ApiError::invalid(format!("invalid value for \"{name}\": {shown:?} is no time"))
    };
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(at.as_nanosecond()).map(|n| Some(Time(n))).map_err(|_| wrong());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
    let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    let time = seconds.checked_mul(1_000_000_000).and_then(|s| s.checked_add(nanos));
    time.map(|n| Some(Time(n))).ok_or_else(wrong)
}

async fn of_service(
    State(app): State<App>,
    _: Present,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let wanted = query.wanted()?;
    let state = app.backend.state()?;
    let id = summary::service(&state, &name)?;
    let service = state.services.get(&id).expect("a name found means an object");
    let tty = service.spec.task.container.tty;
    let mut several = Several::new(app, id, wanted)?;
    several.join().await?;
    if wanted.follow {
        return Ok(body(tty, several.followed()));
    }
    Ok(body(tty, several.ordered()))
}

async fn of_task(
    State(app): State<App>,
    _: Present,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let wanted = query.wanted()?;
    let state = app.backend.state()?;
    let id = summary::task(&state, &name)?;
    let task = state.tasks.get(&id).expect("a name found means an object");
    let tty = state.version_of(task).task.container.tty;
    let written = Written::of(task, wanted);
    let lines = app.backend.logs(wanted.of(id)).await?;
    Ok(body(tty, lines.map(move |line| Ok(written.line(tty, &line?)))))
}

async fn of_container(
    State(app): State<App>,
    _: Present,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let wanted = query.wanted()?;
    let state = app.backend.state()?;
    let task = container::find(&state, app.backend.local().node, &name)?;
    let tty = state.version_of(task).task.container.tty;
    // A container's lines have no details of the swarm; Docker leaves the blank that follows them.
    let details = wanted.details.then(String::new);
    let written = Written { timestamps: wanted.timestamps, details };
    let lines = app.backend.logs(wanted.of(task.id)).await?;
    Ok(body(tty, lines.map(move |line| Ok(written.line(tty, &line?)))))
}

impl Wanted {
    fn of(self, task: TaskId) -> LogsRequest {
        let Self { follow, tail, since, until, stdout, stderr, timestamps: _, details: _ } = self;
        LogsRequest { task, follow, tail, since, until, stdout, stderr }
    }
}

/// How the lines of one task are written.
#[derive(Clone, Debug)]
struct Written {
    timestamps: bool,
    details: Option<String>,
}

impl Written {
    fn of(task: &Task, wanted: Wanted) -> Self {
        let node = task.node.map(|node| node.to_string()).unwrap_or_default();
        let details = format!(
            "com.docker.swarm.node.id={node},com.docker.swarm.service.id={},com.docker.swarm.task.id={}",
            task.service, task.id
        );
        Self { timestamps: wanted.timestamps, details: wanted.details.then_some(details) }
    }

    /// `[TIME ][DETAILS ]TEXT`, in a frame unless it comes from a terminal.
    fn line(&self, tty: bool, line: &LogLine) -> Bytes {
        let LogLine { stream, time, text } = line;
        let mut bytes = Vec::with_capacity(text.len() + 256);
        if self.timestamps {
            bytes.extend_from_slice(stamp(*time).as_bytes());
            bytes.push(b' ');
        }
        if let Some(details) = &self.details {
            bytes.extend_from_slice(details.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(text);
        if tty {
            return bytes.into();
        }
        let stream = match stream {
            LogStream::Out => 1,
            LogStream::Err => 2,
        };
        frame(stream, &bytes)
    }
}

/// RFC 3339 with all nine digits, so that lines stand below each other.
fn stamp(time: Time) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default();
    format!("{at:.9}")
}

fn body(tty: bool, lines: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static) -> Response {
    let kind = if tty { RAW } else { MULTIPLEXED };
    let lines = lines.map(|line| line.map_err(ApiFault::from));
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(lines)).into_response()
}

/// One task's lines, each with its time.
type Timed = BoxStream<'static, Result<(Time, Bytes), Failure>>;

/// The lines of a service's tasks.
struct Several {
    app: App,
    service: ServiceId,
    wanted: Wanted,
    joined: BTreeSet<TaskId>,
    lines: Vec<Timed>,
    /// The end of the log when tasks were looked for last, and news of it.
    news: tokio::sync::watch::Receiver<crate::backend::Head>,
}

impl Several {
    fn new(app: App, service: ServiceId, wanted: Wanted) -> Result<Self, ApiError> {
        let news = app.backend.head()?;
        Ok(Self { app, service, wanted, joined: BTreeSet::new(), lines: Vec::new(), news })
    }

    /// Takes the lines of tasks that are new and have a container; true while the service is there.
    async fn join(&mut self) -> Result<bool, Failure> {
        self.news.borrow_and_update();
        let state = self.app.backend.state()?;
        let here = self.app.backend.local().node;
        let mut asked = FuturesUnordered::new();
        for task in state.tasks_of(self.service) {
            let started = task.status.container.is_some() && task.node == here;
            if started && self.joined.insert(task.id) {
                let (task, request) = (task.clone(), self.wanted.of(task.id));
                let backend = &self.app.backend;
                asked.push(async move { (backend.logs(request).await, task) });
            }
        }
        while let Some((lines, task)) = asked.next().await {
            match lines {
                Ok(lines) => self.lines.push(timed(lines, &state, &task, self.wanted)),
                // What is no longer kept says nothing.
                Err(Failure::Refused(Refusal::NotFound { .. })) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(state.services.contains_key(&self.service))
    }

    /// All lines by their times; those of one task stay in their order.
    fn ordered(self) -> impl Stream<Item = Result<Bytes, Failure>> + Send {
        let sources: Vec<_> = self.lines.into_iter().map(|lines| (lines, None)).collect();
        futures::stream::try_unfold(sources, |mut sources| async move {
            for (lines, next) in &mut sources {
                if next.is_none() {
                    *next = lines.next().await.transpose()?;
                }
            }
            sources.retain(|(_, next)| next.is_some());
            let first = sources.iter_mut().min_by_key(|(_, next)| next.as_ref().map(|(t, _)| *t));
            let line = first.and_then(|(_, next)| next.take());
            Ok(line.map(|(_, line)| (line, sources)))
        })
    }

    /// Lines as they come, of new tasks too, until the service is gone or the daemon stops.
    fn followed(self) -> impl Stream<Item = Result<Bytes, Failure>> + Send {
        let all = SelectAll::new();
        futures::stream::try_unfold((self, all), |(mut several, mut all)| async move {
            loop {
                all.extend(several.lines.drain(..));
                let closing = several.app.closing.clone();
                tokio::select! {
                    biased;
                    () = closing.cancelled() => return Ok(None),
                    Some(line) = all.next() => {
                        let (_, line) = line?;
                        return Ok(Some((line, (several, all))));
                    }
                    changed = several.news.changed() => {
                        if changed.is_err() || (!several.join().await? && several.lines.is_empty() && all.is_empty()) {
                            return Ok(None);
                        }
                    }
                }
            }
        })
    }
}

fn timed(lines: LogLines, state: &state::State, task: &Task, wanted: Wanted) -> Timed {
    let tty = state.version_of(task).task.container.tty;
    let written = Written::of(task, wanted);
    lines.map(move |line| line.map(|line| (line.time, written.line(tty, &line)))).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_rfc_3339() {
        let second = Ok(Some(Time(1_500_000_000)));
        assert_eq!(moment("since", Some("1.5")), second);
        assert_eq!(moment("since", Some("1970-01-01T00:00:01.5Z")), second);
        for nothing in [None, Some(""), Some("0")] {
            assert_eq!(moment("since", nothing), Ok(None));
        }
        for wrong in ["x", "-1", "1.x", "1.1234567890", "99999999999999999999"] {
            assert!(moment("since", Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_is_written_as_docker_writes_it() {
        let line = LogLine {
            stream: LogStream::Err,
            time: Time(1_795_403_761_080_415_900),
            text: b"err 6\n".to_vec(),
        };
        let written = Written { timestamps: true, details: Some("a=b".to_owned()) };
        let text = b"2026-11-23T03:16:01.080415900Z a=b err 6\n";
        assert_eq!(written.line(true, &line), &text[..]);
        let framed = written.line(false, &line);
        assert_eq!(framed[..8], [2, 0, 0, 0, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
        assert_eq!(framed[8..], text[..]);
    }
}
