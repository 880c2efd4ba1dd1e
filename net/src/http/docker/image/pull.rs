//! `POST /images/create?fromImage=…`: an image comes from a registry, and the client hears how it goes on. And what a
//! name means there, which clients ask before they make a service.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures::StreamExt as _;
use serde_json::{Value, json};

use skein_events::reference::Reference;

use crate::backend::{Failure, LayerStep, Login, PullImage, PullStep};
use crate::http::body::Json;
use crate::http::error::ApiError;
use crate::http::{App, Path, json as answer};

/// Who asks a registry, as Docker's clients say it: base64 of JSON.
const AUTH: &str = "x-registry-auth";
/// Some clients pad, some do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Auth {
    serveraddress: String,
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

/// Nothing of the header gets into an error.
pub(super) fn login(headers: &HeaderMap) -> Result<Option<Login>, ApiError> {
    let Some(header) = headers.get(AUTH) else { return Ok(None) };
    let malformed = || ApiError::invalid("X-Registry-Auth is no JSON in base64url");
    let bytes = BASE64.decode(header.as_bytes()).map_err(|_| malformed())?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    of(serde_json::from_slice(&bytes).map_err(|_| malformed())?)
}

/// Who that is; nobody, where nothing is said.
fn of(mut auth: Auth) -> Result<Option<Login>, ApiError> {
    let malformed = || ApiError::invalid("the field auth is no USER:PASSWORD in base64");
    if !auth.identitytoken.is_empty() {
        return Err(ApiError::unsupported(
            "identity tokens are not exchanged: log in with a name and a password or access token",
        ));
    }
    if !auth.registrytoken.is_empty() {
        return Ok(Some(Login::Token(auth.registrytoken)));
    }
    if auth.username.is_empty() && !auth.auth.is_empty() {
        let text = base64::engine::general_purpose::STANDARD.decode(&auth.auth).ok();
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(malformed)?;
        let (user, password) = text.split_once(':').ok_or_else(malformed)?;
        (auth.username, auth.password) = (user.to_owned(), password.to_owned());
    }
    if auth.username.is_empty() && auth.password.is_empty() {
        return Ok(None);
    }
    Ok(Some(Login::Password { user: auth.username, password: auth.password }))
}

/// `POST /auth`, which `docker login` asks before it keeps a password. Nothing is kept here, nor written down.
pub(super) async fn check_login(
    State(app): State<App>,
    Json(auth): Json<Auth>,
) -> Result<Response, ApiError> {
    let host = auth.serveraddress.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default().to_owned();
    let host = if host.is_empty() || host == "index.docker.io" { "docker.io".into() } else { host };
    let no_host = || {
        let shown: String = host.chars().take(128).collect();
        ApiError::invalid(format!("{shown:?} is no registry: give HOST[:PORT]"))
    };
    // Any name there: what is asked about is its registry.
    let name: Reference = format!("{host}/login").parse().map_err(|_| no_host())?;
    if name.host() != host {
        return Err(no_host());
    }
    let login = of(auth)?.ok_or_else(|| ApiError::invalid("a name and a password are needed"))?;
    app.backend.check_login(name, login).await?;
    Ok(answer(StatusCode::OK, &json!({ "Status": "Login Succeeded", "IdentityToken": "" })))
}

/// A repository and a tag or digest, which may be given apart.
fn reference(image: &str, tag: Option<&str>) -> Result<Reference, ApiError> {
    let whole = match tag.unwrap_or("") {
        "" => image.to_owned(),
        digest if digest.starts_with("sha256:") => format!("{image}@{digest}"),
        tag => format!("{image}:{tag}"),
    };
    whole.parse().map_err(|error| ApiError::invalid(format!("{error}")))
}

/// Whether a name says itself which of its repository's images it means.
fn image_has_tag(image: &str) -> bool {
    image.contains('@') || image.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// Images are for the machine that pulls them.
fn for_this_machine(platform: &str) -> Result<(), ApiError> {
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if platform.is_empty() || platform == "linux" || platform == format!("linux/{here}") {
        return Ok(());
    }
    Err(ApiError::unsupported(format!(
        "an image is pulled for the machine it runs on: leave --platform out, or say linux/{here}"
    )))
}

pub(super) async fn pull(
    app: &App,
    caller: crate::backend::Caller,
    headers: &HeaderMap,
    image: &str,
    tag: Option<&str>,
    platform: &str,
) -> Result<Response, ApiError> {
    for_this_machine(platform)?;
    let name = reference(image, tag)?;
    if tag.is_none_or(str::is_empty) && !image_has_tag(image) {
        // Without a tag Docker's API means all of them, and its client says latest where it means that.
        return Err(ApiError::unsupported(
            "pulling all tags of a repository is not there: name one, and leave out --all-tags",
        ));
    }
    let pull = PullImage { name: name.clone(), login: login(headers)? };
    let mut steps = app.backend.pull_image(caller, pull);
    // As long as nothing was said, a failure is a status.
    let first = match steps.next().await {
        Some(first) => first?,
        None => return Err(Failure::Internal("a pull ended without a word".to_owned()).into()),
    };
    let rest = futures::stream::once(async { Ok(first) }).chain(steps);
    let lines = rest.map(move |step| {
        let messages = match step {
            Ok(step) => messages(&name, &step),
            Err(failure) => {
                let message = ApiError::from(failure).message();
                vec![json!({ "errorDetail": { "message": message }, "error": message })]
            }
        };
        let text: String = messages.iter().map(|message| format!("{message}\r\n")).collect();
        Ok::<_, std::convert::Infallible>(Bytes::from(text))
    });
    let body = Body::from_stream(lines);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn messages(name: &Reference, step: &PullStep) -> Vec<Value> {
    let layer = |blob: &str, status: &str, detail: Value| {
        let hex = blob.strip_prefix("sha256:").unwrap_or(blob);
        json!({ "status": status, "progressDetail": detail, "id": hex.get(..12).unwrap_or(hex) })
    };
    match step {
        PullStep::Found => {
            let repository = name.path();
            let id = name.digest().or_else(|| name.tag());
            vec![json!({ "status": format!("Pulling from {repository}"), "id": id })]
        }
        PullStep::Layer { blob, step } => vec![match step {
            LayerStep::Present => layer(blob, "Already exists", json!({})),
            LayerStep::Needed => layer(blob, "Pulling fs layer", json!({})),
            LayerStep::Coming { bytes, of } => {
                layer(blob, "Downloading", json!({ "current": bytes, "total": of }))
            }
            LayerStep::Came => layer(blob, "Download complete", json!({})),
            LayerStep::Unpacked => layer(blob, "Pull complete", json!({})),
        }],
        PullStep::Done { digest, fresh } => {
            let what = if *fresh { "Downloaded newer image" } else { "Image is up to date" };
            vec![
                json!({ "status": format!("Digest: {digest}") }),
                json!({ "status": format!("Status: {what} for {}", name.familiar()) }),
            ]
        }
    }
}

/// What a name means in its registry. Of an image that was loaded here, none is asked: clients warn and go on with the
/// name, and every node uses what was loaded there.
pub(super) async fn distribution(
    State(app): State<App>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let name = path.strip_suffix("/json").ok_or_else(ApiError::no_such_page)?;
    let login = login(&headers)?;
    let reference = reference(name, None)?;
    if let Some(here) = app.backend.image(name.to_owned()).await? {
        let of_it = |text: &String| {
            text.parse::<Reference>().is_ok_and(|other| other.same_repository(&reference))
        };
        if !here.summary.digests.iter().any(of_it) {
            return Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "loaded",
                format!(
                    "no registry is asked for {}: every node uses the image loaded there with \"image load\"",
                    reference.familiar()
                ),
            ));
        }
    }
    let found = app.backend.resolve_image(reference, login).await?;
    let platforms = found
        .platforms
        .iter()
        .map(|(architecture, os)| json!({ "architecture": architecture, "os": os }));
    let descriptor =
        json!({ "mediaType": found.media_type, "digest": found.digest, "size": found.size });
    let platforms: Vec<Value> = platforms.collect();
    Ok(answer(StatusCode::OK, &json!({ "Descriptor": descriptor, "Platforms": platforms })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Login>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTH, text.parse().unwrap());
        login(&headers).map_err(ApiError::message)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_header_is_a_login_or_refused(
            noise in "[!-~]{0,60}",
            json in "\\{?(\"(username|password|auth|identitytoken|registrytoken)\":\"?[a-zA-Z0-9=:]{0,9}\"?,?){0,3}\\}?",
        ) {
            drop((read(&noise), read(&BASE64.encode(json))));
        }
    }

    #[test]
    fn a_login_is_read_and_never_shown() {
        let coded = |json: &str| BASE64.encode(json);
        let ada = Login::Password { user: "ada".into(), password: "s3cret".into() };
        let json = r#"{"username":"ada","password":"s3cret","serveraddress":"x"}"#;
        assert_eq!(read(&coded(json)), Ok(Some(ada.clone())));
        assert_eq!(read(coded(json).trim_end_matches('=')), Ok(Some(ada.clone())));
        assert_eq!(read(&coded(r#"{"auth":"YWRhOnMzY3JldA=="}"#)), Ok(Some(ada.clone())));
        let token = Login::Token("t0ken".into());
        assert_eq!(read(&coded(r#"{"registrytoken":"t0ken"}"#)), Ok(Some(token)));
        for nobody in ["e30=", "e30", ""] {
            assert_eq!(read(nobody), Ok(None), "{nobody}");
        }
        for bad in ["s3cret!", &coded("s3cret"), &coded(r#"{"username":["s3cret"]}"#)] {
            let refused = read(bad).unwrap_err();
            assert_eq!(refused, "X-Registry-Auth is no JSON in base64url");
        }
        assert!(read(&coded(r#"{"identitytoken":"s3cret"}"#)).is_err_and(|e| !e.contains("s3c")));
        assert!(!format!("{ada:?}").contains("s3cret"));
    }

    #[test]
    fn tags_and_digests_may_be_given_apart() {
        let digest = format!("sha256:{}", "a6".repeat(32));
        let familiar = |image, tag| reference(image, tag).map(|r| r.familiar());
        assert_eq!(familiar("docker.io/library/bb", Some("1")), Ok("bb:1".to_owned()));
        assert_eq!(familiar("bb", Some(&digest)), Ok(format!("bb@{digest}")));
        assert_eq!(familiar("bb", None), Ok("bb:latest".to_owned()));
        assert!(familiar("Bad Name", None).is_err());
        assert!(for_this_machine("").is_ok() && for_this_machine("linux/s390x").is_err());
    }
}
