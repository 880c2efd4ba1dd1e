//! A registry, as it answers to pulls: manifests and blobs of one repository (OCI distribution specification).
//! It is hostile until proven: every answer is bounded in size and time, credentials go to the registry's own server and
//! to the place it names for tokens, and no text of its choosing gets into an error.

mod challenge;
mod origin;
mod proxy;
#[cfg(test)]
mod tests;
mod trust;
mod wire;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::{self, HeaderName, HeaderValue};
use skein_events::reference::Reference;
use tokio_rustls::rustls::ClientConfig;

use super::Digest;
use super::config::CONFIG_MAX;
use crate::error::{Error, hostile};
use challenge::Challenge;
use origin::Origin;
pub use origin::parse_insecure;
pub(crate) use proxy::Proxies;
pub(crate) use wire::Patience;
use wire::{Answer, Way};

/// Times a registry may send a request on.
const REDIRECTS_MAX: usize = 5;
/// Bytes of an answer that only says why not, or brings a token.
const TOKEN_MAX: u64 = 64 << 10;
/// Forms of manifests that are understood.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Who asks a registry. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token the registry takes as it is.
    Token(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// How registries are reached from this machine.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Those that may be spoken to in the clear, beside those of this machine.
    pub(crate) insecure: Arc<[String]>,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) patience: Patience,
}

/// One repository of a registry.
pub(super) struct Registry {
    /// Its name in references.
    name: String,
    repository: String,
    familiar: String,
    /// Its server, and the one in the clear to fall back on.
    servers: (Origin, Option<Origin>),
    /// That of the two which answers, once it is known.
    home: RefCell<Option<Origin>>,
    access: Access,
    login: Option<Login>,
    /// The authorities this machine trusts, once they are needed.
    authorities: RefCell<Option<Arc<ClientConfig>>>,
    authorization: RefCell<Option<HeaderValue>>,
}

/// A manifest or index as it came, and what it was called.
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: Option<String>,
}

/// A blob on its way.
pub(super) struct Blob {
    answer: Answer,
    /// The first byte that comes: what was asked for, or 0 where the registry knows no ranges.
    pub(super) start: u64,
}

impl Blob {
    pub(super) async fn piece(&mut self) -> io::Result<Option<bytes::Bytes>> {
        self.answer.piece().await
    }
}

/// What came of asking for a blob.
pub(super) enum Asked {
    Coming(Box<Blob>),
    /// There is nothing from there on.
    OutOfRange,
}

impl Registry {
    pub(super) fn new(of: &Reference, login: Option<Login>, access: Access) -> Result<Self, Error> {
        Ok(Self {
            name: of.host().to_owned(),
            repository: of.path().to_owned(),
            familiar: of.familiar_repository(),
            servers: Origin::of_registry(of.host(), &access.insecure)?,
            home: RefCell::default(),
            access,
            login,
            authorities: RefCell::default(),
            authorization: RefCell::default(),
        })
    }

    fn refused(&self, reason: impl Into<String>) -> Error {
        Error::registry(&self.name, reason)
    }

    /// A manifest or index, by a tag or by a digest; the latter is checked.
    pub(super) async fn manifest(&self, name: &Reference, of: &str) -> Result<Fetched, Error> {
        let path = format!("/v2/{}/manifests/{of}", self.repository);
        let accept = (header::ACCEPT, HeaderValue::from_static(MANIFESTS));
        let mut answer = self.ask(&path, &[accept]).await?;
        match answer.status {
            200 => {}
            404 => {
                return Err(Error::NotInRegistry(format!(
                    "manifest for {} not found: manifest unknown: manifest unknown",
                    name.familiar()
                )));
            }
            _ => return Err(self.explain(answer).await),
        }
        let short = answer.short(CONFIG_MAX).await.map_err(|source| self.broken(source))?;
        let bytes =
            short.ok_or_else(|| hostile(format!("a manifest of over {CONFIG_MAX} bytes")))?;
        if let Ok(wanted) = of.parse::<Digest>()
            && wanted != Digest::of(&bytes)
        {
            return Err(hostile(format!("manifest {wanted} has other content")));
        }
        let said = answer.header(header::CONTENT_TYPE);
        let media_type = said.map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
        Ok(Fetched { bytes, media_type })
    }

    /// Whether the registry takes whoever asks for who he says he is; no repository is asked for.
    pub(super) async fn check_login(mut self) -> Result<(), Error> {
        self.repository.clear();
        let refused = || Error::LoginRefused { registry: self.name.clone() };
        match self.ask("/v2/", &[]).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) if matches!(answer.status, 401 | 403) => Err(refused()),
            Ok(answer) => Err(self.explain(answer).await),
            // Refused a token, or asked for what was not given.
            Err(Error::NotInRegistry(_)) => Err(refused()),
            Err(error) => Err(error),
        }
    }

    /// A short blob as a whole, checked.
    pub(super) async fn short_blob(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
        let Asked::Coming(mut blob) = self.blob(digest, 0).await? else {
            return Err(self.refused("it refuses the beginning of a blob"));
        };
        let short = blob.answer.short(size).await.map_err(|source| self.broken(source))?;
        match short {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            _ => Err(hostile(format!("blob {digest} has other content"))),
        }
    }

    /// A blob, from a byte on.
    pub(super) async fn blob(&self, digest: &Digest, from: u64) -> Result<Asked, Error> {
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        let range = HeaderValue::from_str(&format!("bytes={from}-")).expect("digits are visible");
        let range = (header::RANGE, range);
        let headers = if from == 0 { &[][..] } else { std::slice::from_ref(&range) };
        let answer = self.ask(&path, headers).await?;
        match answer.status {
            200 => Ok(Asked::Coming(Box::new(Blob { answer, start: 0 }))),
            206 => {
                let said = answer.header(header::CONTENT_RANGE);
                let start = said.and_then(|text| text.strip_prefix("bytes ")?.split_once('-'));
                match start.and_then(|(start, _)| start.parse().ok()) {
                    Some(start) if start == from => {
                        Ok(Asked::Coming(Box::new(Blob { answer, start })))
                    }
                    _ => Ok(Asked::OutOfRange),
                }
            }
            416 if from > 0 => Ok(Asked::OutOfRange),
            404 => Err(self.refused(format!("blob {digest} is not there"))),
            _ => Err(self.explain(answer).await),
        }
    }

    pub(super) fn broken(&self, source: io::Error) -> Error {
        Error::RegistryUnreachable { registry: self.name.clone(), source }
    }

    /// Asks, proves who asks if need be, asks again.
    async fn ask(
        &self,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, Error> {
        let (answer, home) = self.follow(path, headers).await?;
        if answer.status != 401 || !home {
            return Ok(answer);
        }
        let asked = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        let Some(challenge) = challenge::choose(asked.map(HeaderValue::as_bytes)) else {
            return Err(self.denied());
        };
        drop(answer);
        self.prove(challenge).await?;
        Ok(self.follow(path, headers).await?.0)
    }

    /// Sends a request to the registry and where it sends it on to. Only its own server sees the credentials; whether the
    /// answer is of that server is said with it.
    async fn follow(
        &self,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<(Answer, bool), Error> {
        let own = self.home().await?;
        let (mut origin, mut path) = (own.clone(), path.to_owned());
        for _ in 0..=REDIRECTS_MAX {
            let home = origin == own;
            let mut headers = headers.to_vec();
            if home && let Some(authorization) = self.authorization.borrow().clone() {
                headers.push((header::AUTHORIZATION, authorization));
            }
            let answer = self.send(&origin, &path, &headers).await?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok((answer, home));
            }
            let nowhere = || self.refused("it sends requests on to no address");
            let location = answer.header(header::LOCATION).ok_or_else(nowhere)?;
            let uri: Uri = location.parse().map_err(|_| nowhere())?;
            if uri.authority().is_some() {
                // From where the last one led: what left the clear does not come back to it.
                let from = if origin.tls { &origin } else { &own };
                let to = from.of_uri(&uri, &self.access.insecure);
                origin =
                    to.map_err(|what| self.refused(format!("it sends requests on to {what}")))?;
            }
            let target = uri.path_and_query().ok_or_else(nowhere)?;
            path = target.as_str().to_owned();
            if !path.starts_with('/') {
                return Err(nowhere());
            }
        }
        Err(self.refused(format!("it sends requests on more than {REDIRECTS_MAX} times")))
    }

    async fn send(
        &self,
        origin: &Origin,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, Error> {
        wire::get(self.way(origin)?, path, headers).await
    }

    /// The registry's own server. In the clear where that is allowed and nobody there speaks TLS, as Docker does it.
    async fn home(&self) -> Result<Origin, Error> {
        if let Some(home) = &*self.home.borrow() {
            return Ok(home.clone());
        }
        let (encrypted, clear) = &self.servers;
        let home = match clear {
            Some(clear) if !wire::is_encrypted(self.way(encrypted)?).await => clear,
            _ => encrypted,
        };
        Ok(self.home.borrow_mut().insert(home.clone()).clone())
    }

    fn way<'a>(&'a self, origin: &'a Origin) -> Result<Way<'a>, Error> {
        let tls = match origin {
            Origin { tls: false, .. } => None,
            Origin { checked: false, .. } => Some(trust::anybody()),
            _ => Some(self.authorities()?),
        };
        Ok(Way { origin, proxies: &self.access.proxies, tls, patience: self.access.patience })
    }

    fn authorities(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut kept = self.authorities.borrow_mut();
        if let Some(config) = &*kept {
            return Ok(Arc::clone(config));
        }
        let config = trust::authorities().map_err(|source| self.broken(source))?;
        Ok(Arc::clone(kept.insert(config)))
    }

    async fn prove(&self, challenge: Challenge) -> Result<(), Error> {
        let proof = match (challenge, &self.login) {
            (Challenge::Basic, Some(Login::Password { user, password })) => basic(user, password),
            (Challenge::Basic, _) => return Err(self.denied()),
            (Challenge::Bearer { .. }, Some(Login::Token(token))) => bearer(token),
            (Challenge::Bearer { realm, service }, _) => self.token(&realm, service).await?,
        };
        let mut proof = proof.ok_or_else(|| self.refused("its credentials are no header"))?;
        proof.set_sensitive(true);
        self.authorization.replace(Some(proof));
        Ok(())
    }

    /// Fetches a token to pull from this repository and nothing else.
    async fn token(
        &self,
        realm: &str,
        service: Option<String>,
    ) -> Result<Option<HeaderValue>, Error> {
        let nowhere = || self.refused("it has tokens fetched from no address");
        let uri: Uri = realm.parse().map_err(|_| nowhere())?;
        let origin = self.home().await?.of_uri(&uri, &self.access.insecure);
        let origin =
            origin.map_err(|what| self.refused(format!("it has tokens fetched from {what}")))?;
        let path = uri.path_and_query().ok_or_else(nowhere)?.as_str();
        let mut path = format!("{path}{}", if path.contains('?') { '&' } else { '?' });
        if let Some(service) = service {
            path.push_str(&format!("service={}&", encoded(&service)));
        }
        if !self.repository.is_empty() {
            let scope = format!("repository:{}:pull", self.repository);
            path.push_str(&format!("scope={}", encoded(&scope)));
        }
        let mut headers = Vec::new();
        if let Some(Login::Password { user, password }) = &self.login {
            let mut proof = basic(user, password)
                .ok_or_else(|| self.refused("its credentials are no header"))?;
            proof.set_sensitive(true);
            headers.push((header::AUTHORIZATION, proof));
        }
        let mut answer = self.send(&origin, &path, &headers).await?;
        match answer.status {
            200 => {}
            401 | 403 => return Err(self.denied()),
            status => return Err(self.refused(format!("it gives no token: status {status}"))),
        }
        #[derive(serde::Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let strange = || self.refused("it gives a token that cannot be read");
        let short = answer.short(TOKEN_MAX).await.map_err(|source| self.broken(source))?;
        let Given { token, access_token } =
            serde_json::from_slice(&short.ok_or_else(strange)?).map_err(|_| strange())?;
        Ok(bearer(&token.or(access_token).ok_or_else(strange)?))
    }

    fn denied(&self) -> Error {
        Error::NotInRegistry(format!(
            "pull access denied for {}, repository does not exist or may require 'docker login'",
            self.familiar
        ))
    }

    /// Why there is something else than what was asked for. Of its own words only known codes are taken.
    async fn explain(&self, mut answer: Answer) -> Error {
        #[derive(serde::Deserialize)]
        struct Said {
            errors: Vec<One>,
        }
        #[derive(serde::Deserialize)]
        struct One {
            code: String,
        }
        if matches!(answer.status, 401 | 403) {
            return self.denied();
        }
        let body = answer.short(TOKEN_MAX).await.ok().flatten().unwrap_or_default();
        let said = serde_json::from_slice::<Said>(&body).ok();
        let code = said.and_then(|said| said.errors.into_iter().next()).map(|one| one.code);
        let what = match (code.as_deref(), answer.status) {
            (Some("TOOMANYREQUESTS"), _) | (_, 429) => {
                "too many requests: log in, or try again later".to_owned()
            }
            (Some("UNAVAILABLE"), _) | (_, 503) => "it is not available".to_owned(),
            (Some("UNSUPPORTED"), _) => "it does not support this".to_owned(),
            (_, status) => format!("it answers with status {status}"),
        };
        self.refused(what)
    }
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let text = STANDARD.encode(format!("{user}:{password}"));
    HeaderValue::from_str(&format!("Basic {text}")).ok()
}

fn bearer(token: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("Bearer {token}")).ok()
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
