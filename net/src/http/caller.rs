//! Who asks: the kernel's word for the identity, headers for the rest.
//! The unmodified docker CLI sends our headers through DOCKER_CUSTOM_HEADERS, so it can give reasons too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};

use skein_events::envelope::Who;
use skein_events::id::RequestId;
use skein_events::record::Position;
use skein_events::text::is_hidden;

use crate::backend;

use super::error::ApiError;
use super::moment;

/// Names of users are looked up once; a host with more users than this looks some up again.
const NAMES_MAX: usize = 1024;
/// Longest name of a client program that is written down.
const CLIENT_MAX: usize = 128;

/// The process at the other end of the socket.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Arc<Who>);

/// Login names by user id.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<u32, Option<String>>>);

impl Names {
    /// Asks the kernel who is at the other end.
    pub(crate) async fn peer(&self, stream: &tokio::net::UnixStream) -> std::io::Result<Peer> {
        let credentials = stream.peer_cred()?;
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&uid).cloned();
        let name = match known {
            Some(name) => name,
            None => self.look_up(uid).await,
        };
        Ok(Peer(Arc::new(Who::User { uid, gid, name })))
    }

    async fn look_up(&self, uid: u32) -> Option<String> {
        // The host's user database may be on the network: not on this thread.
        let found = tokio::task::spawn_blocking(move || {
            nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten()
        });
        let name = found.await.ok().flatten().map(|user| user.name);
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(uid, name.clone());
        name
    }
}

/// Who asks for a change, and what they say about it.
pub(crate) struct Caller(pub(crate) backend::Caller);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if parts.headers.contains_key(moment::HEADER) {
            return Err(ApiError::invalid(
                "the past cannot be changed: repeat the command without Skein-At",
            ));
        }
        let peer = parts.extensions.get::<Peer>().expect("the accept loop names the peer");
        Ok(Self(backend::Caller {
            who: Who::clone(&peer.0),
            client: client(&parts.headers),
            reason: reason(&parts.headers)?,
            request: text(&parts.headers, "skein-request-id")?.map(|t| request_id(&t)),
            if_at: text(&parts.headers, "skein-if-at")?.map(|t| position(&t)).transpose()?,
        }))
    }
}

/// A request's id: one of ours, or any other text by its hash.
pub(crate) fn request_id(text: &str) -> RequestId {
    text.parse().unwrap_or_else(|_| {
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
        RequestId::from_random(half)
    })
}

/// A position of a header: `@8123` or `8123`.
fn position(text: &str) -> Result<Position, ApiError> {
    text.parse().map_err(|_| {
        ApiError::invalid("Skein-If-At is a position such as @8123: the last record you know of")
    })
}

fn client(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("unknown");
    agent.chars().take(CLIENT_MAX).collect()
}

/// Why, in the user's words: one line that is shown to others.
fn reason(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let reason = text(headers, "skein-reason")?.filter(|reason| !reason.is_empty());
    match reason.as_deref().and_then(|reason| reason.chars().find(|c| is_hidden(*c))) {
        None => Ok(reason),
        Some(c) => Err(ApiError::invalid(format!(
            "a reason is one line of plain text: it has the control character U+{:04X}",
            u32::from(c)
        ))),
    }
}

/// A header's value, which may be any UTF-8.
pub(crate) fn text(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(ApiError::invalid(format!("header {name} is not UTF-8"))),
    }
}
