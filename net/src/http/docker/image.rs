//! Images on this machine: loading them from an archive, and naming them. Registries are not there.

use std::io;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bollard_stubs::models;
use futures::StreamExt;
use http_body_util::BodyExt;
use tokio_util::io::StreamReader;

use crate::backend::ImageSummary;
use crate::http::body::BODY_TIMEOUT;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::filters::{ListQuery, truthy};
use crate::http::moment::Present;
use crate::http::{App, Path, Query, json};

use super::{map, signed};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/images/json", get(list))
        .route("/images/load", post(load))
        .route("/images/{*name}", get(inspect).fallback(crate::http::absent::answer))
        .route("/distribution/{*name}", get(distribution))
}

async fn list(
    State(app): State<App>,
    _: Present,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let filters = query.filters(&["dangling", "label", "reference"])?;
    let images = app.backend.images().await?;
    let images: Vec<models::ImageSummary> = images
        .iter()
        .filter(|image| {
            let wanted = filters.get("reference");
            let named = |w: &String| image.names.iter().any(|n| refers(w, n));
            (wanted.is_empty() || wanted.iter().any(named))
                && (filters.get("dangling").is_empty()
                    || filters
                        .get("dangling")
                        .iter()
                        .any(|d| truthy(Some(d)) == image.names.is_empty()))
                && filters.labels(&image.labels)
        })
        .map(model)
        .collect();
    Ok(json(StatusCode::OK, &images))
}

/// Whether what a user wrote means this name: with or without the tag.
fn refers(wanted: &str, name: &str) -> bool {
    let short = |text: &str| {
        let text = text.strip_prefix("docker.io/").unwrap_or(text);
        text.strip_prefix("library/").unwrap_or(text).to_owned()
    };
    let (wanted, name) = (short(wanted), short(name));
    wanted == name || name.rsplit_once(':').is_some_and(|(repository, _)| repository == wanted)
}

/// `GET /images/{name}/json`: names have slashes and colons, so the end of the path is split off here.
async fn inspect(
    State(app): State<App>,
    Path(path): Path<String>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let Some(name) = path.strip_suffix("/json") else {
        return Ok(crate::http::absent::answer(request).await);
    };
    let images = app.backend.images().await?;
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let by_id = |i: &&ImageSummary| {
        hex.len() >= 4 && i.id.strip_prefix("sha256:").unwrap_or(&i.id).starts_with(hex)
    };
    let tagged = |n: &String| refers(&with_tag(name), n);
    let found =
        images.iter().find(|i| i.names.iter().any(tagged)).or_else(|| images.iter().find(by_id));
    let Some(image) = found else {
        let shown: String = name.chars().take(128).collect();
        let full = with_tag(&shown);
        return Err(ApiError::not_found(format!("no such image: {shown}: No such image: {full}")));
    };
    Ok(json(StatusCode::OK, &details(image)))
}

/// A name with its tag; without one Docker means `latest`.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// Where a tag points in a registry: there is none, so clients warn and go on with the name they have.
async fn distribution(Path(path): Path<String>) -> ApiError {
    let Some(name) = path.strip_suffix("/json") else { return ApiError::no_such_page() };
    let shown: String = name.chars().take(128).collect();
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "unsupported",
        format!(
            "no registry is asked for {shown}: every node uses the image loaded there with \"image load\""
        ),
    )
}

/// Hands the archive on as it arrives; the reader's pace holds the client back.
async fn load(
    State(app): State<App>,
    Caller(caller): Caller,
    body: Body,
) -> Result<Response, ApiError> {
    let chunks = futures::stream::try_unfold(body, |mut body| async move {
        loop {
            match tokio::time::timeout(BODY_TIMEOUT, body.frame()).await {
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
    let archive = StreamReader::new(chunks.boxed());
    let names = app.backend.load_image(caller, Box::new(archive)).await?;
    let mut lines = String::new();
    for name in names {
        let what = if name.starts_with("sha256:") { "Loaded image ID" } else { "Loaded image" };
        let line = serde_json::json!({ "stream": format!("{what}: {name}\n") });
        lines.push_str(&line.to_string());
        lines.push_str("\r\n");
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], lines).into_response())
}

fn model(image: &ImageSummary) -> models::ImageSummary {
    let ImageSummary { id, names, size, created, labels } = image;
    let created = created.as_deref().and_then(|c| c.parse::<jiff::Timestamp>().ok());
    models::ImageSummary {
        id: id.clone(),
        parent_id: String::new(),
        repo_tags: names.clone(),
        repo_digests: Vec::new(),
        created: created.map_or(0, jiff::Timestamp::as_second),
        size: signed(*size),
        shared_size: -1,
        labels: map(labels),
        containers: -1,
        manifests: None,
        descriptor: None,
    }
}

fn details(image: &ImageSummary) -> models::ImageInspect {
    let ImageSummary { id, names, size, created, labels } = image;
    models::ImageInspect {
        id: Some(id.clone()),
        repo_tags: Some(names.clone()),
        repo_digests: Some(Vec::new()),
        created: created.clone(),
        config: Some(models::ImageConfig {
            labels: Some(map(labels)),
            ..models::ImageConfig::default()
        }),
        architecture: Some(super::system::architecture().to_owned()),
        os: Some("linux".to_owned()),
        size: Some(signed(*size)),
        ..models::ImageInspect::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_images_with_or_without_tag() {
        for wanted in ["busybox", "busybox:latest", "docker.io/library/busybox"] {
            assert!(refers(wanted, "busybox:latest"), "{wanted}");
        }
        assert!(refers("127.0.0.1:5000/bb", "127.0.0.1:5000/bb:1"));
        assert!(!refers("busybox:1", "busybox:latest"));
        assert!(!refers("box", "busybox:latest"));
        assert_eq!(with_tag("127.0.0.1:5000/bb"), "127.0.0.1:5000/bb:latest");
    }
}
