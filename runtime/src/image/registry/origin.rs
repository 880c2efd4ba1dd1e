//! Where requests may go: which host, whether in the clear, and where a registry may send one on to.
//! Pure: every rule that keeps a password off a wire it does not belong on is a function of texts.

use std::net::IpAddr;

use hyper::Uri;

use crate::error::Error;

/// Docker Hub's name in references, and the host that serves it.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One server: requests with a registry's credentials go to it and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) tls: bool,
    /// Whether its certificate has to be of an authority this machine trusts.
    pub(super) checked: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// The server of a reference's host, and the one to try after it: in the clear, only on this machine or where the
    /// operator said so.
    pub(super) fn of_registry(
        registry: &str,
        insecure: &[String],
    ) -> Result<(Self, Option<Self>), Error> {
        let registry = if registry == HUB.0 { HUB.1 } else { registry };
        let (host, port) = match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        };
        let port = port.map(str::parse::<u16>).transpose();
        let port =
            port.map_err(|_| Error::registry(registry, "its port is no number below 65536"))?;
        let open =
            is_loopback(host) || insecure.iter().any(|listed| listed == host || listed == registry);
        let at = |tls: bool| Self {
            tls,
            checked: !open,
            host: host.to_owned(),
            port: port.unwrap_or(if tls { 443 } else { 80 }),
        };
        Ok((at(true), open.then(|| at(false))))
    }

    /// The server of an address the registry named, or why no request goes there.
    pub(super) fn of_uri(&self, uri: &Uri, insecure: &[String]) -> Result<Self, &'static str> {
        let authority = uri.authority().ok_or("an address without a host")?;
        if authority.as_str().contains('@') {
            return Err("an address with a user in it");
        }
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() || host.starts_with('[') {
            return Err("an address without the name or IPv4 address of a host");
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("an address of neither http nor https"),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        // What listens on this machine is for a registry of this machine only.
        if is_loopback(&host) && !self.is_loopback() {
            return Err("an address of this machine");
        }
        let exact = format!("{host}:{port}");
        let listed = insecure.iter().any(|listed| *listed == host || *listed == exact);
        if !tls && (self.tls || !(is_loopback(&host) || listed)) {
            return Err("an address without encryption");
        }
        // Whoever is known for certain sends nobody to somebody who is not.
        let checked = self.checked || !(is_loopback(&host) || listed);
        Ok(Self { tls, checked, host, port })
    }

    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// As it stands in a `Host` header.
    pub(super) fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An entry of `--insecure-registry`, `HOST` or `HOST:PORT`.
pub fn parse_insecure(text: &str) -> Result<String, String> {
    let form = || format!("{text:?} is no HOST or HOST:PORT of a registry");
    // What a reference cannot name is no registry.
    let reference: skein_events::reference::Reference =
        format!("{text}/x").parse().map_err(|_| form())?;
    if reference.host() != text { Err(form()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(registry: &str, insecure: &[String]) -> Origin {
        let (encrypted, clear) = Origin::of_registry(registry, insecure).unwrap();
        clear.unwrap_or(encrypted)
    }

    #[test]
    fn only_this_machine_and_listed_registries_are_spoken_to_in_the_clear() {
        let listed = ["plain.example".into(), "half.example:5000".into()];
        for (registry, tls, host, port) in [
            ("docker.io", true, "registry-1.docker.io", 443),
            ("ghcr.io", true, "ghcr.io", 443),
            ("10.0.0.1:5000", true, "10.0.0.1", 5000),
            ("127.0.0.1:5000", false, "127.0.0.1", 5000),
            ("127.9.9.9", false, "127.9.9.9", 80),
            ("localhost:5000", false, "localhost", 5000),
            ("localhost.example:5000", true, "localhost.example", 5000),
            ("127.0.0.1.example", true, "127.0.0.1.example", 443),
            ("plain.example", false, "plain.example", 80),
            ("plain.example:99", false, "plain.example", 99),
            ("half.example:5000", false, "half.example", 5000),
            ("half.example:5001", true, "half.example", 5001),
            ("half.example", true, "half.example", 443),
        ] {
            let expected = Origin { tls, checked: tls, host: host.to_owned(), port };
            assert_eq!(last(registry, &listed), expected, "{registry}");
            let (first, clear) = Origin::of_registry(registry, &listed).unwrap();
            assert!(first.tls && first.checked == clear.is_none(), "{registry}");
        }
        assert!(Origin::of_registry("a.example:70000", &[]).is_err());
    }

    #[test]
    fn a_registry_sends_nobody_into_the_clear_or_onto_this_machine() {
        let listed = ["plain.example".to_owned()];
        let from = |registry: &str, to: &str| {
            let from = last(registry, &listed);
            from.of_uri(&to.parse().unwrap(), &listed).map(|o| (o.tls, o.authority()))
        };
        let there = |tls: bool, host: &str| Ok((tls, host.to_owned()));
        assert_eq!(from("ghcr.io", "https://cdn.example/x"), there(true, "cdn.example"));
        assert_eq!(from("ghcr.io", "https://CDN.example:44/x"), there(true, "cdn.example:44"));
        assert_eq!(from("127.0.0.1:5000", "http://127.0.0.1:1/"), there(false, "127.0.0.1:1"));
        assert_eq!(from("plain.example", "http://plain.example/"), there(false, "plain.example"));
        assert_eq!(from("127.0.0.1:5000", "https://cdn.example/"), there(true, "cdn.example"));
        let clear = Err("an address without encryption");
        assert_eq!(from("ghcr.io", "http://cdn.example/"), clear);
        assert_eq!(from("ghcr.io", "http://plain.example/"), clear);
        assert_eq!(from("plain.example", "http://other.example/"), clear);
        assert_eq!(from("127.0.0.1:5000", "http://169.254.169.254/"), clear);
        let here = Err("an address of this machine");
        assert_eq!(from("ghcr.io", "https://127.0.0.1/"), here);
        assert_eq!(from("ghcr.io", "https://LOCALHOST/"), here);
        assert_eq!(from("plain.example", "http://127.0.0.1:2375/"), here);
        for bad in ["https://user@cdn.example/", "https://a:b@cdn.example/", "ftp://a/", "/x"] {
            assert!(from("ghcr.io", bad).is_err(), "{bad}");
        }
        assert!(from("ghcr.io", "https://[::1]/").is_err());
        let checked = |registry: &str, to: &str| {
            last(registry, &listed).of_uri(&to.parse().unwrap(), &listed).unwrap().checked
        };
        assert!(checked("ghcr.io", "https://plain.example/"));
        assert!(checked("127.0.0.1:5000", "https://cdn.example/"));
        assert!(!checked("127.0.0.1:5000", "https://127.0.0.1:5000/"));
    }

    #[test]
    fn a_listed_registry_is_a_host_and_perhaps_a_port() {
        for good in ["registry.lan:5000", "10.0.0.1", "localhost:5000", "a.b"] {
            assert_eq!(parse_insecure(good), Ok(good.to_owned()));
        }
        for bad in ["", "http://a.b", "a.b/c", "registry", "a.b:x", "*", "10.0.0.0/8"] {
            assert!(parse_insecure(bad).is_err(), "{bad}");
        }
    }
}
