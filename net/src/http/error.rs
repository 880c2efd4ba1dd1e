//! Answers that are no success: Docker's `{"message": …}` with a stable code and a way out beside it.
//! The one place where failures become statuses, so that every route says the same thing the same way.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use skein_events::refusal::Refusal;

use crate::backend::{Failure, Rehearsal};

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<&'static str>,
    ancestor: Option<Option<String>>,
    rehearsal: Option<Box<Rehearsal>>,
}

#[derive(serde::Serialize)]
struct Body<'a> {
    message: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ancestor: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsal: Option<&'a Rehearsal>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None, ancestor: None, rehearsal: None }
    }

    /// The request is not valid as it stands.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// This version cannot do it; the sentence says what to type instead.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Refusal::Unsupported(message.into()).into()
    }

    /// No route leads there; Docker answers a wrong method in the same way.
    pub(crate) fn no_such_page() -> Self {
        Self::not_found("page not found")
    }

    /// What it says.
    pub(crate) fn message(self) -> String {
        self.message
    }

    /// What this answer's status is.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).expect("refusals have valid statuses");
        let hint = match &refusal {
            Refusal::Changed { .. } => Some("look at what changed with skein log or skein diff"),
            Refusal::OutOfSequence => Some("read the object again and repeat the change"),
            Refusal::NothingToRedact(_) => {
                Some("only a record with a reason or an environment has something to erase")
            }
            Refusal::NotFound { .. }
            | Refusal::Ambiguous { .. }
            | Refusal::NameConflict { .. }
            | Refusal::NetworkExists { .. }
            | Refusal::Invalid(_)
            | Refusal::InUse { .. }
            | Refusal::Subnet(_)
            | Refusal::Unsupported(_)
            | Refusal::NotInSwarm
            | Refusal::AlreadyInSwarm
            | Refusal::LastManager
            | Refusal::Stale(_)
            | Refusal::TooLarge(..)
            | Refusal::NotPartOfSwarm
            | Refusal::Broken(_) => None,
        };
        Self { hint, ..Self::new(status, refusal.code(), refusal.to_string()) }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Missing(_) => Self::not_found(message),
            Failure::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            Failure::Unauthorized(_) => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            }
            Failure::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
            Failure::Unknown => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome_unknown", message)
            }
            Failure::Gone { message: _, ancestor } => Self {
                hint: Some("read from the ancestor, or from the start"),
                ancestor: Some(ancestor),
                ..Self::new(StatusCode::GONE, "gone", message)
            },
            Failure::NotExecutable { .. } => Self::invalid(message),
            // No success, because a client would take the answer for that of the change itself.
            Failure::Rehearsed(rehearsal) => Self {
                rehearsal: Some(rehearsal),
                ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "dry_run", message)
            },
            Failure::Internal(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, hint, ancestor, rehearsal } = self;
        let rehearsal = rehearsal.as_deref();
        let ancestor = ancestor.as_ref().map(Option::as_deref);
        let body = Body { message: &message, code, hint, ancestor, rehearsal };
        let text = serde_json::to_string(&body).expect("text serialises");
        (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
    }
}
