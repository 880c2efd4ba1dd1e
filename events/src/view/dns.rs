//! Names of one network and the addresses behind them.
//! The projection of State only; queries are answered in `net/src/dns.rs`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::id::{NetworkId, ServiceId};
use crate::state::State;

/// The names of one network. Keys are lower case, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Zone {
    /// The network whose names these are; its name also serves as a suffix: `web.NET`.
    pub network: NetworkId,
    /// The network's name, lower case.
    pub name: String,
    /// Whether this network is cut off from the outside.
    pub internal: bool,
    /// Name → addresses, sorted: services, aliases, `tasks.<service>`, task names.
    pub addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Address → task name, for PTR.
    pub pointers: BTreeMap<Ipv4Addr, String>,
}

/// The names of a network: those of its running tasks and of their services.
pub fn zone(state: &State, id: NetworkId) -> Option<Zone> {
    let network = state.networks.get(&id)?;
    let mut zone = Zone {
        network: id,
        name: network.spec.name.as_str().to_ascii_lowercase(),
        internal: network.spec.internal,
        addresses: BTreeMap::new(),
        pointers: BTreeMap::new(),
    };
    // A service without a running task has a name all the same: an empty answer, not an unknown name.
    for service in services_of(state, id) {
        zone.addresses.entry(service.clone()).or_default();
        zone.addresses.entry(format!("tasks.{service}")).or_default();
    }
    let low = (id, Ipv4Addr::UNSPECIFIED);
    let held = state.index.addresses.range(low..).take_while(|((n, _), _)| *n == id);
    for ((_, ip), task) in held {
        let Some(task) = state.tasks.get(task).filter(|t| state.is_named(t)) else { continue };
        let version = state.version_of(task);
        let service = version.name.as_str().to_ascii_lowercase();
        let attachment = version.task.networks.iter().find(|a| a.network == id);
        let aliases = attachment.iter().flat_map(|a| &a.aliases);
        let place = state.place_of(task);
        let full = format!("{service}.{place}.{}", task.id);
        let mut names = vec![format!("tasks.{service}"), format!("{service}.{place}")];
        for alias in aliases {
            let alias = alias.as_str().to_ascii_lowercase();
            names.push(format!("tasks.{alias}"));
            names.push(alias);
        }
        names.push(service);
        names.push(full.clone());
        for name in names {
            zone.addresses.entry(name).or_default().push(*ip);
        }
        zone.pointers.insert(*ip, full);
    }
    Some(zone)
}

fn services_of(state: &State, id: NetworkId) -> impl Iterator<Item = String> {
    let low = (id, ServiceId::from_random([0; 16]));
    state
        .index
        .network_services
        .range(low..)
        .take_while(move |(n, _)| *n == id)
        .filter_map(|(_, service)| state.services.get(service))
        .map(|service| service.spec.name.as_str().to_ascii_lowercase())
}
