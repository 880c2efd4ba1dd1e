//! Images on this machine: their lists, and a closer look at one. They are no part of the swarm's state.
//! What changes them stands in `change`, the forms of answers in `shape`.

mod change;
mod pull;
mod shape;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};

use skein_events::reference::Reference;

use crate::backend::ImageSummary;
use crate::http::error::ApiError;
use crate::http::filters::{Filters, ListQuery, YES_NO, truthy};
use crate::http::moment::Present;
use crate::http::{App, Path, Query, absent, json};

pub(super) use shape::summary;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/images/json", get(list))
        .route("/images/load", post(change::load))
        .route("/images/create", post(change::create))
        .route("/images/prune", post(change::prune))
        .route(
            "/images/{*name}",
            get(look).post(change::tag).delete(change::remove).fallback(absent::answer),
        )
        .route("/distribution/{*name}", get(pull::distribution))
        .route("/auth", post(pull::check_login))
}

async fn list(
    State(app): State<App>,
    _: Present,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let known = ["before", "dangling", "label", "reference", "since", "until"];
    let filters = query.filters(&known)?;
    filters.one_of("dangling", &YES_NO)?;
    let until = filters.until(app.backend.wall())?;
    let until = until.and_then(|t| jiff::Timestamp::from_nanosecond(i128::from(t.0)).ok());
    let images = app.backend.images().await?;
    // Beside which image: it has to be there.
    let mut bounds = Vec::new();
    for (key, later) in [("before", false), ("since", true)] {
        for name in filters.get(key) {
            let found = app.backend.image(name.clone()).await?;
            let image = found.ok_or_else(|| no_such(name))?.summary;
            bounds.push((later, image.created_at(), image.id));
        }
    }
    let within = |image: &ImageSummary| {
        bounds.iter().all(|(later, at, id)| {
            let created = image.created_at();
            image.id != *id && if *later { created > *at } else { created < *at }
        }) && until.is_none_or(|until| image.created_at().is_some_and(|created| created < until))
    };
    let shown: Vec<_> = images
        .into_iter()
        .filter(|image| wanted(&filters, image) && within(image))
        .filter_map(|image| named(&filters, image))
        .map(|image| shape::summary(&image, None, None))
        .collect();
    Ok(json(StatusCode::OK, &shown))
}

fn wanted(filters: &Filters, image: &ImageSummary) -> bool {
    let dangling = filters.get("dangling");
    let fits = |d: &String| truthy(Some(d)) == image.names.is_empty();
    (dangling.is_empty() || dangling.iter().any(fits)) && filters.labels(&image.labels)
}

/// The image under those of its names that were asked for.
fn named(filters: &Filters, image: ImageSummary) -> Option<ImageSummary> {
    let patterns = filters.get("reference");
    if patterns.is_empty() {
        return Some(image);
    }
    let fits = |name: &String| patterns.iter().any(|pattern| refers(pattern, name));
    let names: Vec<String> = image.names.iter().filter(|n| fits(n)).cloned().collect();
    let digests: Vec<String> = image.digests.iter().filter(|n| fits(n)).cloned().collect();
    let none = names.is_empty() && digests.is_empty();
    (!none).then_some(ImageSummary { names, digests, ..image })
}

/// Whether a pattern means this name: with or without the tag, and with `*`, `?` and `[a-z]` within a component.
fn refers(pattern: &str, name: &str) -> bool {
    let short = |text: &str| {
        let text = text.strip_prefix("docker.io/").unwrap_or(text);
        text.strip_prefix("library/").unwrap_or(text).to_owned()
    };
    let pattern: Vec<char> = short(pattern).chars().collect();
    let repository = name.parse::<Reference>().map(|name| name.familiar_repository());
    let fits = |text: &str| matches(&pattern, &text.chars().collect::<Vec<_>>());
    fits(name) || repository.is_ok_and(|repository| fits(&repository))
}

/// Go's `path.Match`, without backslashes; backtracks to the last star only, so it cannot take long.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let one = pattern.get(p).and_then(|c| match c {
            '*' => None,
            '?' => (text[t] != '/').then_some(1),
            '[' => class(&pattern[p..], text[t]),
            c => (*c == text[t]).then_some(1),
        });
        if let Some(length) = one {
            (p, t) = (p + length, t + 1);
        } else if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some((at, from)) = star.filter(|(_, from)| text[*from] != '/') {
            (p, t) = (at + 1, from + 1);
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of a class like `[a-z]` or `[^x]`, if it holds the character.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().position(|c| *c == ']')?;
    let (not, inner) = match &pattern[1..end] {
        ['^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut held = false;
    let mut rest = inner;
    while !rest.is_empty() {
        rest = match rest {
            [low, '-', high, after @ ..] => {
                held |= (*low..=*high).contains(&c);
                after
            }
            [one, after @ ..] => {
                held |= *one == c;
                after
            }
            [] => unreachable!("the loop ends before"),
        };
    }
    (held != not && c != '/').then_some(end + 1)
}

/// `GET /images/{name}/json` and `/history`: names have slashes and colons, so the end of the path is split off here.
async fn look(
    State(app): State<App>,
    Path(path): Path<String>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let (name, history) = match (path.strip_suffix("/json"), path.strip_suffix("/history")) {
        (Some(name), _) => (name, false),
        (None, Some(name)) => (name, true),
        (None, None) => return Ok(absent::answer(request).await),
    };
    let image = app.backend.image(name.to_owned()).await?.ok_or_else(|| {
        if history {
            return no_such(name);
        }
        let shown: String = name.chars().take(128).collect();
        let full = with_tag(&shown);
        ApiError::not_found(format!("no such image: {shown}: No such image: {full}"))
    })?;
    let answer = if history { shape::history(&image) } else { shape::details(&image) };
    Ok(json(StatusCode::OK, &answer))
}

/// Docker's sentence for an image that is not there.
fn no_such(name: &str) -> ApiError {
    let shown: String = name.chars().take(128).collect();
    ApiError::not_found(format!("No such image: {}", with_tag(&shown)))
}

/// A name with its tag; without one Docker means `latest`.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_images_with_or_without_tag() {
        for wanted in [
            "busybox",
            "busybox:latest",
            "docker.io/library/busybox",
            "busy*",
            "b?sybox",
            "b[a-z]sybox",
            "*:latest",
        ] {
            assert!(refers(wanted, "busybox:latest"), "{wanted}");
        }
        assert!(refers("127.0.0.1:5000/bb", "127.0.0.1:5000/bb:1"));
        assert!(refers("127.0.0.1:5000/*", "127.0.0.1:5000/bb:1"));
        for other in ["busybox:1", "box", "busybox:l", "b[^u]sybox", "b[usybox", "*/*", ""] {
            assert!(!refers(other, "busybox:latest"), "{other}");
        }
        assert!(!refers("*", "a.io/b:1"), "a star stays within a component");
        assert!(!refers(&"*a".repeat(500), &"b".repeat(500)));
        assert_eq!(with_tag("127.0.0.1:5000/bb"), "127.0.0.1:5000/bb:latest");
    }
}
