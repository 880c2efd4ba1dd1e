//! Lists as they were written last: as long as nothing is committed, the same question has the same bytes.
//! In front of the handlers and apart from them, so that a list is written without a thought of this.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use skein_events::id::ClusterId;
use skein_events::record::Position;

use super::{App, moment};

/// The lists that grow with a swarm and are functions of its state alone: what a node's list says of this machine is not.
const LISTS: &[&str] = &["/services"];
/// Bytes kept of all of them: a few questions of a large swarm. What does not fit is written each time.
const BYTES_MAX: usize = 16 << 20;

/// Which state a list is of: the swarm, its epoch, the last record.
type Moment = (Option<ClusterId>, u32, Position);

/// What was written at one moment.
#[derive(Debug, Default)]
pub(crate) struct Rendered(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    at: Moment,
    bytes: usize,
    lists: BTreeMap<String, Bytes>,
}

impl Rendered {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A list of this moment; those of another one are forgotten.
    fn find(&mut self, at: Moment, question: &str) -> Option<Bytes> {
        if self.at != at {
            *self = Self { at, ..Self::default() };
        }
        self.lists.get(question).cloned()
    }

    fn keep(&mut self, at: Moment, question: String, list: Bytes) {
        if self.at == at && self.bytes + list.len() <= BYTES_MAX {
            self.bytes += list.len();
            self.lists.insert(question, list);
        }
    }
}

fn now(app: &App) -> Option<Moment> {
    let state = app.backend.state().ok()?;
    Some((state.cluster.as_ref().map(|c| c.id), state.epoch, state.position))
}

/// Answers a list from memory, or lets it be written and keeps it.
pub(crate) async fn lists(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_list = request.method() == Method::GET
        && LISTS.contains(&request.uri().path())
        && !request.headers().contains_key(moment::HEADER);
    let Some(at) = is_list.then(|| now(&app)).flatten() else { return next.run(request).await };
    let question = request.uri().to_string();
    if let Some(list) = app.rendered.kept().find(at, &question) {
        return ([(header::CONTENT_TYPE, "application/json")], list).into_response();
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (head, body) = response.into_parts();
    // It was made in memory, so it is whole and ends.
    let Ok(list) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // The handler may have seen a newer state than the one looked at before it: then nobody knows whose list this is.
    if now(&app) == Some(at) {
        app.rendered.kept().keep(at, question, list.clone());
    }
    Response::from_parts(head, Body::from(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_of_one_moment_of_one_swarm_and_memory_is_bounded() {
        let swarm = |n| Some(ClusterId::from_random([n; 16]));
        let (then, now) = ((swarm(1), 1, Position(7)), (swarm(1), 1, Position(8)));
        let mut kept = Kept::default();
        assert_eq!(kept.find(then, "/services"), None);
        kept.keep(then, "/services".to_owned(), Bytes::from_static(b"[]"));
        assert_eq!(kept.find(then, "/services"), Some(Bytes::from_static(b"[]")));
        assert_eq!(kept.find(then, "/services?status=true"), None);
        kept.keep(then, "/tasks".to_owned(), vec![0; BYTES_MAX].into());
        assert_eq!(kept.find(then, "/tasks"), None, "too long to be kept");
        assert_eq!(kept.find(now, "/services"), None);
        assert_eq!((kept.find(then, "/services"), kept.bytes), (None, 0), "and nothing stays");
        kept.keep(now, "/services".to_owned(), Bytes::from_static(b"[]"));
        assert_eq!(
            kept.find((swarm(1), 1, Position(8)), "/services"),
            None,
            "late for this moment"
        );
        kept.keep(then, "/services".to_owned(), Bytes::from_static(b"[]"));
        assert_eq!(kept.find((swarm(2), 1, Position(7)), "/services"), None, "another swarm");
    }
}
