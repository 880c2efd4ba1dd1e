//! Where this machine is reached: reads `--advertise-addr` and `--listen-addr` as Swarm does.
//! Knows interfaces and nothing of the swarm.

use std::net::Ipv4Addr;

/// Port of cluster management.
pub const DEFAULT_PORT: u16 = 2377;

/// Why an address cannot be used; the texts are Swarm's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `ip|interface[:port]`.
    #[error("invalid address {0:?}: give an IPv4 address or an interface, and optionally :PORT")]
    Invalid(String),
    /// No such interface, or none with an address.
    #[error("interface {0} has no usable IPv4 address")]
    NoInterface(String),
    /// More than one choice.
    #[error(
        "could not choose an IP address to advertise since this system has multiple addresses ({0}) - specify one with --advertise-addr"
    )]
    Ambiguous(String),
    /// No choice.
    #[error("could not find the system's IP address - specify one with --advertise-addr")]
    None,
    /// An address of no machine.
    #[error(
        "advertise address must be a non-zero IP address or network interface (with optional port number)"
    )]
    Unspecified,
}

/// The addresses of interfaces that are up, without loopback.
fn interfaces() -> Vec<(String, Ipv4Addr)> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    all.filter(|i| i.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP))
        .filter_map(|i| {
            let ip = i.address?.as_sockaddr_in()?.ip();
            Some((i.interface_name, ip))
        })
        .collect()
}

fn split(text: &str) -> Result<(&str, u16), Error> {
    match text.rsplit_once(':') {
        None => Ok((text, DEFAULT_PORT)),
        Some((host, port)) => {
            let port = port.parse().ok().filter(|p| *p != 0);
            Ok((host, port.ok_or_else(|| Error::Invalid(text.to_owned()))?))
        }
    }
}

/// Reads an address to advertise; without one, takes the only one there is.
pub fn advertise(text: Option<&str>) -> Result<(Ipv4Addr, u16), Error> {
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        // A gateway bridge of ours, or of another Skein here, leads to containers and not to this machine.
        let outside: Vec<_> = interfaces()
            .into_iter()
            .filter(|(name, ip)| !ip.is_loopback() && !crate::overlay::is_gateway(name))
            .collect();
        return match outside.as_slice() {
            [] => Err(Error::None),
            [(_, ip)] => Ok((*ip, DEFAULT_PORT)),
            many => {
                let list: Vec<_> =
                    many.iter().map(|(name, ip)| format!("{ip} on {name}")).collect();
                Err(Error::Ambiguous(list.join(", ")))
            }
        };
    };
    let (host, port) = split(text)?;
    let ip = match host.parse::<Ipv4Addr>() {
        Ok(ip) => ip,
        Err(_) if host.is_empty() || host.contains(['/', ' ']) => {
            return Err(Error::Invalid(text.to_owned()));
        }
        Err(_) => {
            let found = interfaces().into_iter().find(|(name, _)| name == host);
            found.ok_or_else(|| Error::NoInterface(host.to_owned()))?.1
        }
    };
    if ip.is_unspecified() { Err(Error::Unspecified) } else { Ok((ip, port)) }
}

/// Reads an address to listen on; the port is cluster management's.
pub fn listen(text: &str) -> Result<(Ipv4Addr, u16), Error> {
    let (host, port) = split(text)?;
    match host.parse() {
        Ok(ip) => Ok((ip, port)),
        Err(_) => advertise(Some(host)).map(|(ip, _)| (ip, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_swarm_reads_them() {
        assert_eq!(advertise(Some("10.0.0.1")), Ok((Ipv4Addr::new(10, 0, 0, 1), 2377)));
        assert_eq!(advertise(Some("10.0.0.1:99")), Ok((Ipv4Addr::new(10, 0, 0, 1), 99)));
        assert_eq!(advertise(Some("lo")), Ok((Ipv4Addr::LOCALHOST, 2377)));
        assert_eq!(advertise(Some("0.0.0.0")), Err(Error::Unspecified));
        assert_eq!(advertise(Some("nosuch0")), Err(Error::NoInterface("nosuch0".to_owned())));
        assert_eq!(advertise(Some("1.2.3.4:x")), Err(Error::Invalid("1.2.3.4:x".to_owned())));
        assert_eq!(listen("0.0.0.0:2377"), Ok((Ipv4Addr::UNSPECIFIED, 2377)));
    }
}
