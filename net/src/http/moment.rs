//! The header `Skein-At`: any read can be asked of the past.
//! `@8123` or `8123` is a position, `-10m` so long ago, everything else RFC 3339.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use skein_events::record::Position;
use skein_events::state::State;
use skein_events::time::{Span, Time};

use crate::backend::Moment;

use super::App;
use super::caller::text;
use super::error::ApiError;

/// The header's name.
pub(crate) const HEADER: &str = "skein-at";

/// The state a read is about: the newest, or that of the moment asked for.
pub(crate) struct At(pub(crate) Arc<State>);

/// The moment asked for, if any.
pub(crate) struct MaybeMoment(pub(crate) Option<Moment>);

impl FromRequestParts<App> for At {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match text(&parts.headers, HEADER)? {
            None => Ok(Self(app.backend.state()?)),
            Some(moment) => Ok(Self(app.backend.at(parse(&moment)?).await?)),
        }
    }
}

impl FromRequestParts<App> for MaybeMoment {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        text(&parts.headers, HEADER)?.map(|m| parse(&m)).transpose().map(Self)
    }
}

/// A read of what has no history: asked of the past, it is refused instead of answered wrongly.
pub(crate) struct Present;

impl FromRequestParts<App> for Present {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key(HEADER) {
            return Err(ApiError::invalid(
                "this is not part of the history and cannot be asked of the past: leave out --at",
            ));
        }
        Ok(Self)
    }
}

/// The position a text means: itself, or the last one of a moment.
pub(crate) async fn position(app: &App, text: &str) -> Result<Position, ApiError> {
    match parse(text)? {
        Moment::Position(position) => Ok(position),
        moment @ (Moment::Ago(_) | Moment::Wall(_)) => Ok(app.backend.at(moment).await?.position),
    }
}

/// The time a moment means, which ages of what was there then are counted to.
pub(crate) fn time_of(moment: Option<&Moment>, state: &State, now: Time) -> Time {
    match moment {
        None => now,
        Some(Moment::Wall(time)) => *time,
        Some(Moment::Ago(span)) => Time(now.0.saturating_sub(span.0)),
        Some(Moment::Position(_)) => state.at,
    }
}

impl std::str::FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map_err(ApiError::message)
    }
}

/// Reads a moment as users write it.
pub(crate) fn parse(text: &str) -> Result<Moment, ApiError> {
    let invalid = || {
        let shown: String = text.chars().take(64).collect();
        ApiError::invalid(format!(
            "{shown:?} is no moment: write @8123, -10m or 2026-11-23T14:00:00Z"
        ))
    };
    if let Ok(position) = text.parse() {
        return Ok(Moment::Position(position));
    }
    if let Some(ago) = text.strip_prefix('-') {
        return span(ago).map(Moment::Ago).ok_or_else(invalid);
    }
    let stamp: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
    u64::try_from(stamp.as_nanosecond()).map(|n| Moment::Wall(Time(n))).map_err(|_| invalid())
}

/// Reads a length of time such as `10s`, `1h30m`, `250ms`.
pub(crate) fn span(text: &str) -> Option<Span> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let nanos: u64 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        total = number.parse::<u64>().ok()?.checked_mul(nanos)?.checked_add(total)?;
        rest = after;
    }
    (!text.is_empty()).then_some(Span(total))
}

/// A time as Docker writes it: RFC 3339 in UTC, nanoseconds without trailing zeros.
pub(crate) fn rfc3339(time: Time) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time.0))
        .map_or_else(|_| "2554-07-21T23:34:33Z".to_owned(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_positions_spans_or_wall_times() {
        assert_eq!(parse("@8123"), Ok(Moment::Position(Position(8123))));
        assert_eq!(parse("8123"), Ok(Moment::Position(Position(8123))));
        assert_eq!(parse("-1h30m"), Ok(Moment::Ago(Span::seconds(5400))));
        assert_eq!(parse("1970-01-01T00:00:02Z"), Ok(Moment::Wall(Time(2_000_000_000))));
        for bad in ["", "-", "-10", "-10x", "yesterday", "@", "-99999999999999999h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_moment_or_refused(text: String, near in "[-@]?[0-9]{0,25}(ms|s|m|h|d|x)?[0-9]{0,3}[smh]?") {
            for text in [text, near] {
                drop((parse(&text), span(&text)));
            }
        }
    }

    #[test]
    fn times_are_written_as_docker_writes_them() {
        assert_eq!(rfc3339(Time(1_795_402_747_120_000_000)), "2026-11-23T02:59:07.12Z");
    }
}
