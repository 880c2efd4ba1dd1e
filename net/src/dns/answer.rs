//! Which answer a question gets from the zones of a container.
//! Pure, and without allocation: it runs for every question of every container.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::rr::{Name, RecordType};
use skein_events::view::dns::Zone;

/// A name's longest text (RFC 1035 §2.3.4: 255 octets with their length bytes).
const NAME_MAX: usize = 255;
/// How firmly a name can be somebody's: `Zone::levels`.
const LEVELS: usize = 3;

/// What the zones say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// The name is none of ours.
    Unknown,
    /// The name is ours and has nothing of that kind.
    Empty,
    /// The addresses behind a name.
    Addresses(&'a [Ipv4Addr]),
    /// The task behind an address.
    Pointer {
        /// Its name.
        task: &'a str,
        /// Its network's name: together they resolve again.
        network: &'a str,
    },
}

/// Asks the zones in order; of those that have the name as firmly the first answers, also if it has nothing to tell.
pub(super) fn find<'a>(zones: &'a [Arc<Zone>], name: &Name, kind: RecordType) -> Answer<'a> {
    let mut buffer = [0; NAME_MAX];
    let Some(text) = lower(name, &mut buffer) else { return Answer::Unknown };
    if let Some(reversed) = text.strip_suffix(".in-addr.arpa") {
        return pointer(zones, reversed, kind);
    }
    let short = |zone: &'a Zone| {
        let rest: &str = text.strip_suffix(zone.name.as_str())?;
        rest.strip_suffix('.')
    };
    // All services before any alias, all aliases before any host name, whichever network it is on: a container that calls
    // itself like a service does not take that service's clients.
    let found = (0..LEVELS).find_map(|level| {
        zones.iter().find_map(|zone| {
            let names = zone.levels()[level];
            names.get(text).or_else(|| short(zone).and_then(|short| names.get(short)))
        })
    });
    let found = found.or_else(|| {
        let by_id = |zone: &'a Arc<Zone>| {
            zone.container(text).or_else(|| short(zone).and_then(|short| zone.container(short)))
        };
        zones.iter().find_map(by_id)
    });
    match found {
        None => Answer::Unknown,
        Some(addresses) if matches!(kind, RecordType::A | RecordType::ANY) => {
            Answer::Addresses(addresses)
        }
        Some(_) => Answer::Empty,
    }
}

fn pointer<'a>(zones: &'a [Arc<Zone>], reversed: &str, kind: RecordType) -> Answer<'a> {
    let mut octets = [0; 4];
    let mut labels = reversed.split('.');
    for octet in octets.iter_mut().rev() {
        match labels.next().map(str::parse) {
            Some(Ok(n)) => *octet = n,
            _ => return Answer::Unknown,
        }
    }
    if labels.next().is_some() {
        return Answer::Unknown;
    }
    let ip = Ipv4Addr::from(octets);
    let found = zones.iter().find_map(|zone| Some((zone.pointers.get(&ip)?, &zone.name)));
    match found {
        None => Answer::Unknown,
        Some((task, network)) if matches!(kind, RecordType::PTR | RecordType::ANY) => {
            Answer::Pointer { task, network }
        }
        Some(_) => Answer::Empty,
    }
}

/// The name as zones write names: labels and dots, lower case, no final dot. No text, no name of ours.
fn lower<'a>(name: &Name, buffer: &'a mut [u8; NAME_MAX]) -> Option<&'a str> {
    let mut length = 0;
    for label in name.iter() {
        if length > 0 {
            *buffer.get_mut(length)? = b'.';
            length += 1;
        }
        let room = buffer.get_mut(length..length + label.len())?;
        room.copy_from_slice(label);
        room.make_ascii_lowercase();
        length += label.len();
    }
    std::str::from_utf8(&buffer[..length]).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skein_events::id::NetworkId;

    use super::*;

    fn zone(n: u8, name: &str, addresses: &[(&str, &[u8])]) -> Arc<Zone> {
        let ip = |last: &u8| Ipv4Addr::new(10, 0, n, *last);
        let addresses: BTreeMap<_, Vec<_>> = addresses
            .iter()
            .map(|(name, ips)| ((*name).to_owned(), ips.iter().map(ip).collect()))
            .collect();
        let pointers = addresses.iter().filter(|(name, _)| name.contains(".1."));
        let pointers = pointers.map(|(name, ips)| (ips[0], name.clone())).collect();
        let (network, name) = (NetworkId::from_random([n; 16]), name.to_owned());
        let (aliases, hosts) = (BTreeMap::new(), BTreeMap::new());
        Arc::new(Zone { network, name, internal: false, addresses, aliases, hosts, pointers })
    }

    #[test]
    fn services_go_before_aliases_and_aliases_before_host_names_whichever_network_has_them() {
        let id = "0123456789ab".repeat(6)[..64].to_owned();
        let named = |names: &[(&str, u8)]| -> BTreeMap<String, Vec<Ipv4Addr>> {
            let ip = |last| vec![Ipv4Addr::new(10, 0, 9, last)];
            names.iter().map(|(name, last)| ((*name).to_owned(), ip(*last))).collect()
        };
        let mut front = Zone::clone(&zone(1, "front", &[("idle", &[])]));
        front.aliases = named(&[("web", 1), ("shop", 2)]);
        front.hosts =
            named(&[("web", 3), ("web.back", 4), ("shop", 5), ("idle", 6), ("kaf-2", 7), (&id, 8)]);
        let zones = [Arc::new(front), zone(2, "back", &[("web", &[9])])];
        let ask = |name: &str| match find(&zones, &Name::from_ascii(name).unwrap(), RecordType::A) {
            Answer::Addresses(ips) => ips.iter().map(|ip| ip.octets()).collect::<Vec<_>>(),
            Answer::Unknown => vec![[0; 4]],
            Answer::Empty | Answer::Pointer { .. } => vec![],
        };
        let short = &id[..12];
        for (name, expected) in [
            ("web.", vec![[10, 0, 2, 9]]),
            ("web.back.", vec![[10, 0, 2, 9]]),
            ("web.front.", vec![[10, 0, 9, 1]]),
            ("Shop.", vec![[10, 0, 9, 2]]),
            ("idle.", vec![]),
            ("KAF-2.", vec![[10, 0, 9, 7]]),
            ("kaf-2.front.", vec![[10, 0, 9, 7]]),
            ("kaf-2.back.", vec![[0; 4]]),
            (&format!("{short}."), vec![[10, 0, 9, 8]]),
            (&format!("{short}.front."), vec![[10, 0, 9, 8]]),
            (&format!("{}.", &id[..11]), vec![[0; 4]]),
            (&format!("{}.", &id[..13]), vec![[0; 4]]),
            ("kaf-2.kaf-2.", vec![[0; 4]]),
            // Twelve digits that begin no id.
            ("0123456789aa.", vec![[0; 4]]),
        ] {
            assert_eq!(ask(name), expected, "{name}");
        }
    }

    #[test]
    fn names_are_found_as_swarm_finds_them() {
        let zones = [
            zone(1, "front", &[("web", &[2, 3]), ("tasks.web", &[2, 3]), ("web.1.abc", &[2])]),
            zone(2, "back", &[("web", &[9]), ("db", &[4]), ("idle", &[])]),
        ];
        let ask = |name: &str, kind| find(&zones, &Name::from_ascii(name).unwrap(), kind);
        let at =
            |n, last: &[u8]| last.iter().map(|l| Ipv4Addr::new(10, 0, n, *l)).collect::<Vec<_>>();
        for (name, expected) in [
            ("web.", at(1, &[2, 3])),
            ("WeB.", at(1, &[2, 3])),
            ("tasks.web.", at(1, &[2, 3])),
            ("web.1.abc.", at(1, &[2])),
            ("web.back.", at(2, &[9])),
            ("tasks.web.FRONT.", at(1, &[2, 3])),
            ("db.", at(2, &[4])),
            ("idle.", at(2, &[])),
        ] {
            assert_eq!(ask(name, RecordType::A), Answer::Addresses(&expected), "{name}");
        }
        assert_eq!(ask("web.", RecordType::AAAA), Answer::Empty);
        assert_eq!(ask("web.", RecordType::MX), Answer::Empty);
        for unknown in ["webb.", "web.other.", "back.", "webback.", ".", "x.web."] {
            assert_eq!(ask(unknown, RecordType::A), Answer::Unknown, "{unknown}");
        }
    }

    #[test]
    fn addresses_are_found_backwards() {
        let zones = [zone(1, "front", &[("web.1.abc", &[2])])];
        let ask = |name: &str, kind| find(&zones, &Name::from_ascii(name).unwrap(), kind);
        let found = Answer::Pointer { task: "web.1.abc", network: "front" };
        assert_eq!(ask("2.1.0.10.IN-ADDR.arpa.", RecordType::PTR), found);
        assert_eq!(ask("2.1.0.10.in-addr.arpa.", RecordType::A), Answer::Empty);
        for unknown in ["3.1.0.10", "1.0.10", "9.2.1.0.10", "256.1.0.10", "x.1.0.10"] {
            let name = format!("{unknown}.in-addr.arpa.");
            assert_eq!(ask(&name, RecordType::PTR), Answer::Unknown, "{name}");
        }
    }
}
