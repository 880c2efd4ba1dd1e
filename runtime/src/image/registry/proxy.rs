//! Proxies on the way to a registry, as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name them in the daemon's environment.
//! A proxy sees what is sent in the clear, and of the rest only which host it is for.

use std::io;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::origin::Origin;

/// Which requests go through which proxy. Shows no password.
#[derive(Debug)]
pub(crate) struct Proxies(Matcher);

impl Proxies {
    /// Those of this process's environment.
    pub(crate) fn of_environment() -> Self {
        Self(Matcher::from_env())
    }

    /// The same proxy for everything.
    #[cfg(test)]
    pub(super) fn all(proxy: &str, none_for: &str) -> Self {
        Self(Matcher::builder().all(proxy).no(none_for).build())
    }

    /// The proxy on the way to a server; this machine is reached without one.
    pub(super) fn towards(&self, origin: &Origin) -> io::Result<Option<Proxy>> {
        if origin.is_loopback() {
            return Ok(None);
        }
        let scheme = if origin.tls { "https" } else { "http" };
        let uri: Uri =
            format!("{scheme}://{}/", origin.authority()).parse().map_err(io::Error::other)?;
        let Some(found) = self.0.intercept(&uri) else { return Ok(None) };
        let (host, auth) = (found.uri().host().unwrap_or_default(), found.basic_auth());
        if found.uri().scheme_str() != Some("http") || host.is_empty() {
            return Err(io::Error::other("its proxy is not of the form http://HOST:PORT"));
        }
        let port = found.uri().port_u16().unwrap_or(80);
        Ok(Some(Proxy { host: host.to_owned(), port, auth: auth.cloned() }))
    }
}

/// One proxy.
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// Who asks it.
    pub(super) auth: Option<HeaderValue>,
}

impl Proxy {
    /// Has it connect to a server, over a connection to it.
    pub(super) async fn tunnel(
        &self,
        stream: TcpStream,
        to: &Origin,
    ) -> io::Result<TokioIo<Upgraded>> {
        let target = format!("{}:{}", to.host, to.port);
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(target.parse::<Uri>().map_err(io::Error::other)?)
            .header(header::HOST, &target)
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        if let Some(auth) = &self.auth {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, auth.clone());
        }
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Ends with the tunnel, or at once if there is none.
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        if !status.is_success() {
            let text = format!("its proxy does not connect to it: status {}", status.as_u16());
            return Err(io::Error::other(text));
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await.map_err(io::Error::other)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_without_a_proxy() {
        let proxies = Proxies::all("http://10.0.0.9:3128", "near.example, 10.1.0.0/16");
        let towards = |registry: &str| {
            let (origin, _) = Origin::of_registry(registry, &[]).unwrap();
            proxies.towards(&origin).unwrap().map(|proxy| (proxy.host, proxy.port))
        };
        let proxy = Some(("10.0.0.9".to_owned(), 3128));
        for (registry, expected) in [
            ("docker.io", &proxy),
            ("10.2.0.1:5000", &proxy),
            ("far-near.example", &proxy),
            ("near.example", &None),
            ("a.near.example:5000", &None),
            ("10.1.2.3:5000", &None),
            ("localhost:5000", &None),
            ("127.0.0.1", &None),
        ] {
            assert_eq!(towards(registry), *expected, "{registry}");
        }
        let (origin, _) = Origin::of_registry("docker.io", &[]).unwrap();
        let other = Proxies::all("socks5://10.0.0.9:1080", "").towards(&origin);
        assert!(other.is_err_and(|error| error.to_string().contains("http://HOST:PORT")));
        assert!(!format!("{:?}", Proxies::all("http://a:s3cret@x", "")).contains("s3cret"));
    }
}
