//! Names of one network and the addresses behind them.
//! The projection of State only; questions are answered in `net/src/dns`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::id::{NetworkId, ServiceId};
use crate::state::State;
use crate::task::Task;

use super::assignment;

/// The names of one network. Keys are lower case, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Zone {
    /// The network whose names these are; its name also serves as a suffix: `web.NET`.
    pub network: NetworkId,
    /// The network's name, lower case.
    pub name: String,
    /// Whether this network is cut off from the outside.
    pub internal: bool,
    /// Name → addresses, sorted: services, `tasks.<service>`, task names. Nobody can take these from a service.
    pub addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// The same of what services call themselves besides: aliases, `tasks.<alias>`. Whoever shares an alias shares its answer.
    pub aliases: BTreeMap<String, Vec<Ipv4Addr>>,
    /// The same of what containers call themselves: host names, whole container ids, by which the short ones are found.
    pub hosts: BTreeMap<String, Vec<Ipv4Addr>>,
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
        aliases: BTreeMap::new(),
        hosts: BTreeMap::new(),
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
        let aliases = attachment.into_iter().flat_map(|a| &a.aliases);
        let place = state.place_of(task);
        let full = format!("{service}.{place}.{}", task.id);
        let named = |names: &mut BTreeMap<String, Vec<Ipv4Addr>>, name: String| {
            let found = names.entry(name).or_default();
            // Host names and aliases may be said twice, in other cases.
            if found.last() != Some(ip) {
                found.push(*ip);
            }
        };
        named(&mut zone.addresses, format!("tasks.{service}"));
        named(&mut zone.addresses, format!("{service}.{place}"));
        named(&mut zone.addresses, service);
        named(&mut zone.addresses, full.clone());
        for alias in aliases {
            let alias = alias.as_str().to_ascii_lowercase();
            named(&mut zone.aliases, format!("tasks.{alias}"));
            named(&mut zone.aliases, alias);
        }
        let container = task.status.container.iter().filter(|id| is_container_id(id)).cloned();
        for name in hostname(state, task).into_iter().chain(container) {
            named(&mut zone.hosts, name);
        }
        zone.pointers.insert(*ip, full);
    }
    Some(zone)
}

impl Zone {
    /// What a name stands for here, by how firmly it is somebody's: services go before aliases, aliases before host names,
    /// so that no container takes a service's name by calling itself so.
    pub fn levels(&self) -> [&BTreeMap<String, Vec<Ipv4Addr>>; 3] {
        [&self.addresses, &self.aliases, &self.hosts]
    }
    /// The addresses of the container whose id begins with these 12 digits, as `docker ps` shows it.
    pub fn container(&self, short: &str) -> Option<&Vec<Ipv4Addr>> {
        if short.len() != SHORT {
            return None;
        }
        let (id, found) = self.hosts.range(short.to_owned()..).next()?;
        (id.starts_with(short) && is_container_id(id)).then_some(found)
    }
}

/// Digits of a container's id, and of its short form, which is also its host name unless it has another.
const ID: usize = 64;
const SHORT: usize = 12;

fn is_container_id(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == ID && text.bytes().all(digit)
}

/// The host name a service gives its tasks, as a name of DNS: lower case, without a final dot.
fn hostname(state: &State, task: &Task) -> Option<String> {
    let mut name = assignment::hostname(state, task)?.to_ascii_lowercase();
    if name.ends_with('.') {
        name.pop();
    }
    let labels = |name: &str| name.split('.').all(|label| (1..=63).contains(&label.len()));
    (name.len() <= 253 && labels(&name)).then_some(name)
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
