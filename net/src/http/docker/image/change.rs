//! What changes the images of this machine: load, import, tag, remove, prune.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_util::io::StreamReader;

use skein_events::reference::Reference;
use skein_events::refusal::Refusal;
use skein_events::time::Time;

use super::{no_such, pull};
use crate::backend::{Failure, ImageRemoval, ImportImage, PruneImages, Upload};
use crate::http::body::BODY_TIMEOUT;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::{Filters, truthy};
use crate::http::{App, Path, Query, absent, json as answer};

/// Most that is read of an archive that was refused, so that its sender comes to read why.
const REFUSED_READ_MAX: usize = 64 << 20;

/// An archive as it arrives, and a hand on what of it nobody has read; the reader's pace holds the client back.
fn upload(body: Body) -> (Upload, Rest) {
    let rest = Rest(Arc::new(Mutex::new(body)));
    let chunks = futures::stream::try_unfold(Arc::clone(&rest.0), |body| async move {
        loop {
            let frame = tokio::time::timeout(BODY_TIMEOUT, body.lock().await.frame()).await;
            match frame {
                Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(io::Error::other(error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some((data, body)));
                    }
                }
            }
        }
    });
    (Box::new(StreamReader::new(chunks.boxed())), rest)
}

/// What nobody has read of a body.
struct Rest(Arc<Mutex<Body>>);

impl Rest {
    /// The outcome; of a refused archive the rest is read first. A socket closed while bytes wait in it tells its peer of
    /// a broken connection, and the answer is lost.
    async fn after<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if outcome.is_err() {
            let (mut body, mut read) = (self.0.lock().await, 0);
            while read < REFUSED_READ_MAX
                && let Ok(Some(Ok(frame))) = tokio::time::timeout(BODY_TIMEOUT, body.frame()).await
            {
                read += frame.data_ref().map_or(0, bytes::Bytes::len);
            }
        }
        outcome
    }
}

/// Messages a line each, as Docker's streams have them.
fn lines(messages: impl IntoIterator<Item = Value>) -> Response {
    let text: String = messages.into_iter().map(|message| format!("{message}\r\n")).collect();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

pub(super) async fn load(
    State(app): State<App>,
    Caller(caller): Caller,
    body: Body,
) -> Result<Response, ApiError> {
    let (archive, rest) = upload(body);
    let names = rest.after(app.backend.load_image(caller, archive).await).await?;
    Ok(lines(names.into_iter().map(|name| {
        let what = if name.starts_with("sha256:") { "Loaded image ID" } else { "Loaded image" };
        json!({ "stream": format!("{what}: {name}\n") })
    })))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    from_image: Option<String>,
    from_src: Option<String>,
    repo: Option<String>,
    tag: Option<String>,
    message: Option<String>,
    platform: Option<String>,
}

/// `POST /images/create`: a pull or an import.
pub(super) async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(query): Query<Create>,
    request: Request,
) -> Result<Response, ApiError> {
    let Create { from_image, from_src, repo, tag, message, platform } = query;
    if let Some(image) = from_image.filter(|name| !name.is_empty()) {
        let platform = platform.unwrap_or_default();
        let headers = request.headers();
        return pull::pull(&app, caller, headers, &image, tag.as_deref(), &platform).await;
    }
    if from_src.as_deref() != Some("-") {
        return Err(ApiError::unsupported(
            "an import reads no address: download the file and import it",
        ));
    }
    let name = match repo.as_deref().unwrap_or("") {
        "" => None,
        repo => Some(named(repo, tag.as_deref())?),
    };
    let import = ImportImage {
        name,
        comment: message.filter(|m| !m.is_empty()).unwrap_or_else(|| "Imported from -".to_owned()),
        changes: repeated(request.uri().query().unwrap_or(""), "changes"),
    };
    let (archive, rest) = upload(request.into_body());
    let id = rest.after(app.backend.import_image(caller, archive, import).await).await?;
    Ok(lines([json!({ "status": id })]))
}

/// Every value of a parameter that may be given several times.
fn repeated(query: &str, key: &str) -> Vec<String> {
    let pairs: Vec<(String, String)> =
        axum::extract::Query::try_from_uri(&format!("/?{query}").parse().unwrap_or_default())
            .map(|axum::extract::Query(pairs)| pairs)
            .unwrap_or_default();
    pairs.into_iter().filter(|(name, _)| name == key).map(|(_, value)| value).collect()
}

/// A repository and a tag, which may be given apart, as a name.
fn named(repository: &str, tag: Option<&str>) -> Result<Reference, ApiError> {
    let whole = match tag.unwrap_or("") {
        "" => repository.to_owned(),
        tag => format!("{repository}:{tag}"),
    };
    let name: Reference = whole.parse().map_err(|error| ApiError::invalid(format!("{error}")))?;
    if name.digest().is_some() {
        return Err(ApiError::invalid("refusing to create a tag with a digest reference"));
    }
    Ok(name)
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Tag {
    repo: Option<String>,
    tag: Option<String>,
}

pub(super) async fn tag(
    State(app): State<App>,
    Path(path): Path<String>,
    Caller(caller): Caller,
    Query(query): Query<Tag>,
    request: Request,
) -> Result<Response, ApiError> {
    let Some(image) = path.strip_suffix("/tag") else {
        return Ok(absent::answer(request).await);
    };
    let name = named(query.repo.as_deref().unwrap_or(""), query.tag.as_deref())?;
    app.backend.tag_image(caller, image.to_owned(), name).await.map_err(|e| refused(e, image))?;
    Ok(StatusCode::CREATED.into_response())
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Remove {
    force: Option<String>,
}

pub(super) async fn remove(
    State(app): State<App>,
    Path(image): Path<String>,
    Caller(caller): Caller,
    Query(query): Query<Remove>,
) -> Result<Response, ApiError> {
    let force = truthy(query.force.as_deref());
    let removed = app.backend.remove_image(caller, image.clone(), force).await;
    let removed = removed.map_err(|error| refused(error, &image))?;
    Ok(answer(StatusCode::OK, &steps(&removed)))
}

/// Docker says what an image without a tag was taken for.
fn refused(failure: Failure, name: &str) -> ApiError {
    match failure {
        Failure::Refused(Refusal::NotFound { noun: "image", .. }) => no_such(name),
        other => other.into(),
    }
}

fn steps(removed: &[ImageRemoval]) -> Vec<Value> {
    let step = |step: &ImageRemoval| match step {
        ImageRemoval::Untagged(name) => json!({ "Untagged": name }),
        ImageRemoval::Deleted(digest) => json!({ "Deleted": digest }),
    };
    removed.iter().map(step).collect()
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Prune {
    filters: Option<String>,
}

pub(super) async fn prune(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(query): Query<Prune>,
) -> Result<Response, ApiError> {
    let known = ["dangling", "label", "label!", "until"];
    let filters = Filters::parse(query.filters.as_deref().unwrap_or(""), &known)?;
    let dangling = filters.get("dangling");
    let prune = PruneImages {
        all: !dangling.is_empty() && dangling.iter().all(|d| !truthy(Some(d))),
        before: before(&filters, app.backend.wall())?,
        labels: filters.get("label").to_vec(),
        without: filters.get("label!").to_vec(),
    };
    let pruned = app.backend.prune_images(caller, prune).await?;
    let deleted = match steps(&pruned.removed) {
        steps if steps.is_empty() => Value::Null,
        steps => Value::from(steps),
    };
    Ok(answer(
        StatusCode::OK,
        &json!({ "ImagesDeleted": deleted, "SpaceReclaimed": pruned.reclaimed }),
    ))
}

/// The filter `until`: a time, seconds since 1970, or an age.
fn before(filters: &Filters, now: Time) -> Result<Option<Time>, ApiError> {
    let [text] = filters.get("until") else {
        return match filters.get("until").len() {
            0 => Ok(None),
            _ => Err(ApiError::invalid("more than one until filter specified")),
        };
    };
    let nanos = |at: jiff::Timestamp| u64::try_from(at.as_nanosecond()).ok().map(Time);
    let seconds = |n: u64| n.checked_mul(1_000_000_000).map(Time);
    let age = || {
        let age = text.parse::<jiff::SignedDuration>().ok()?;
        Some(Time(now.0.saturating_sub(u64::try_from(age.as_nanos()).ok()?)))
    };
    text.parse::<jiff::Timestamp>()
        .ok()
        .and_then(nanos)
        .or_else(|| text.parse().ok().and_then(seconds))
        .or_else(age)
        .map(Some)
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "invalid until filter {text:?}: it is a time, seconds since 1970 or an age like 24h"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_time_seconds_or_an_age() {
        let now = Time(100_000_000_000_000);
        let until = |text: &str| {
            let json = json!({ "until": [text] }).to_string();
            before(&Filters::parse(&json, &["until"]).unwrap(), now).map_err(|e| e.status())
        };
        assert_eq!(until("1970-01-01T00:00:02Z"), Ok(Some(Time(2_000_000_000))));
        assert_eq!(until("2"), Ok(Some(Time(2_000_000_000))));
        assert_eq!(until("24h"), Ok(Some(Time(13_600_000_000_000))));
        assert_eq!(until("10m"), Ok(Some(Time(99_400_000_000_000))));
        assert_eq!(until("soon"), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn parameters_may_be_given_several_times() {
        let query = "fromSrc=-&changes=CMD+%5B%22sh%22%5D&changes=ENV%20A%3D1";
        assert_eq!(repeated(query, "changes"), [r#"CMD ["sh"]"#, "ENV A=1"]);
        assert_eq!(named("a", None).unwrap().familiar(), "a:latest");
        assert_eq!(named("a:1", Some("")).unwrap().familiar(), "a:1");
        assert!(named("A", None).is_err() && named("", None).is_err());
    }
}
