//! The node's own bridge, over which containers reach the outside: its block of addresses, and who has which.
//! Node-local: none of it is in the log, because no other node can see it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use skein_events::id::TaskId;
use skein_events::unit::Subnet;

use super::link::{self, Link, Row};
use super::names::{Names, Owner};
use super::netlink::{Batch, Mode, Route, kernel};
use super::netns;
use crate::overlay::Error;

/// Where bridges of containers are looked for by convention: private, and rarely routed in a data centre.
const POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 16, 0, 0), 12);
/// A block has 4,093 containers, more than a machine runs; 256 blocks let many daemons share a machine.
const BLOCK_PREFIX: u8 = 20;

/// The block this daemon uses: the saved one, else a free one, which is saved.
pub(super) fn subnet(
    route: &mut Route,
    file: &Path,
    names: &Names,
    avoid: &[Subnet],
) -> Result<Subnet, Error> {
    let disk = |what: &str, source| kernel(format!("{what} {}", file.display()), source);
    match fs::read_to_string(file) {
        Ok(text) => {
            let bad = |_| Error::BadFile { path: file.to_owned() };
            return text.trim().parse().map_err(bad);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(disk("read", error)),
    }
    let mut used = link::routed(route)?;
    used.extend(link::addresses(route)?.iter().map(|(_, ip, n)| Subnet::containing(*ip, *n)));
    used.extend(avoid);
    let chosen = free_block(&used, names.mac("gateway block").0[1])?;
    let half = file.with_extension("new");
    fs::write(&half, format!("{chosen}\n")).map_err(|error| disk("write", error))?;
    fs::rename(&half, file).map_err(|error| disk("write", error))?;
    Ok(chosen)
}

/// The first free block from a place that differs by daemon, so that two that start at once rarely meet.
fn free_block(used: &[Subnet], start: u8) -> Result<Subnet, Error> {
    let pool = Subnet::containing(POOL.0, POOL.1);
    let blocks = 1_u64 << (BLOCK_PREFIX - POOL.1);
    (0..blocks)
        .filter_map(|n| pool.nth(((n + u64::from(start)) % blocks) << (32 - BLOCK_PREFIX)))
        .map(|base| Subnet::containing(base, BLOCK_PREFIX))
        .find(|block| !used.iter().any(|other| other.overlaps(*block)))
        .ok_or(Error::NoSubnet { pool })
}

/// Makes the bridge be there, ours, up and with its address.
pub(super) fn ensure(
    route: &mut Route,
    names: &Names,
    owner: &Owner,
    subnet: Subnet,
) -> Result<(), Error> {
    let name = names.gateway();
    let mut found = link::named(route, &name)?;
    if found.is_none() {
        let mut batch = Batch::new();
        let bridge = link::bridge(&name, names.mac("gateway"));
        batch.push(format!("make bridge {name}"), Mode::Create, bridge);
        route.apply(batch)?;
        found = link::named(route, &name)?;
    }
    let gone = || kernel(format!("make bridge {name}"), io::ErrorKind::NotFound.into());
    let bridge = found.ok_or_else(gone)?;
    if let Some(other) = Owner::read(&bridge.alias).filter(|other| other.id != owner.id) {
        return Err(Error::NameClash { link: name, other: other.root });
    }
    let ip = address(subnet);
    let mut batch = Batch::new();
    if bridge.alias != owner.alias() {
        let alias = link::alias(&name, owner.alias());
        batch.push(format!("name the owner of bridge {name}"), Mode::Change, alias);
    }
    if !link::addresses(route)?.contains(&(bridge.index, ip, subnet.prefix())) {
        let message = link::address(bridge.index, ip, subnet.prefix());
        let message = RouteNetlinkMessage::NewAddress(message);
        batch.push(format!("give bridge {name} its address"), Mode::Put, message);
    }
    if !bridge.up {
        batch.push(format!("set bridge {name} up"), Mode::Change, link::up(bridge.index));
    }
    route.apply(batch)
}

/// What this machine's stack makes of packets that come by the bridge: none of another source than its block, none for
/// addresses of the loopback, no redirection, no IPv6.
pub(super) fn harden(names: &Names) -> Result<(), Error> {
    let name = names.gateway();
    let set = |key: String, value: &str| {
        let failed = |source| kernel(format!("set {key} of bridge {name}"), source);
        netns::sysctl(&key, value).map_err(failed)
    };
    for (key, value) in [
        ("rp_filter", "1"),
        ("route_localnet", "0"),
        ("accept_redirects", "0"),
        ("send_redirects", "0"),
        ("accept_local", "0"),
    ] {
        set(format!("ipv4/conf/{name}/{key}"), value)?;
    }
    set(format!("ipv6/conf/{name}/disable_ipv6"), "1")
}

/// Makes the rows that say where containers are those of the addresses handed out: what comes by the bridge changes none.
pub(super) fn rows(
    route: &mut Route,
    names: &Names,
    taken: &[(Ipv4Addr, TaskId)],
) -> Result<(), Error> {
    let name = names.gateway();
    let gone = || kernel(format!("find bridge {name}"), io::ErrorKind::NotFound.into());
    let bridge = link::named(route, &name)?.ok_or_else(gone)?.index;
    let wanted: BTreeSet<Row> =
        taken.iter().map(|(ip, _)| Row::Neighbour(*ip, names.gateway_mac(*ip))).collect();
    let found: BTreeSet<Row> = link::rows(route)?
        .into_iter()
        .filter(|(index, row)| *index == bridge && matches!(row, Row::Neighbour(..)))
        .map(|(_, row)| row)
        .collect();
    let mut batch = Batch::new();
    for row in found.difference(&wanted) {
        let message = RouteNetlinkMessage::DelNeighbour(row.message(bridge));
        batch.push(format!("remove a row of bridge {name}"), Mode::Remove, message);
    }
    for row in wanted.difference(&found) {
        let message = RouteNetlinkMessage::NewNeighbour(row.message(bridge));
        batch.push(format!("write a row of bridge {name}"), Mode::Put, message);
    }
    route.apply(batch)
}

/// The bridge's own address: the first of its block.
pub(super) fn address(subnet: Subnet) -> Ipv4Addr {
    subnet.nth(1).expect("a block has more than one address")
}

/// Which container has which address of the block.
#[derive(Debug)]
pub(super) struct Addresses {
    subnet: Subnet,
    taken: BTreeMap<Ipv4Addr, TaskId>,
    /// Offset tried next: an address just given back rests as long as possible.
    next: u64,
}

impl Addresses {
    /// What the kernel says: each port of the ways out is named after its address and has its task as alias.
    pub(super) fn recover(links: &[Link], names: &Names, subnet: Subnet) -> Self {
        let taken = links.iter().filter_map(|link| {
            let low = names.gateway_port_of(&link.name)?;
            let ip = Ipv4Addr::from_bits(subnet.base().to_bits() & !0xffff | low);
            Some((ip, link.alias.parse().ok()?))
        });
        Self { subnet, taken: taken.collect(), next: 2 }
    }
    /// All that are handed out, and to whom.
    pub(super) fn taken(&self) -> Vec<(Ipv4Addr, TaskId)> {
        self.taken.iter().map(|(ip, task)| (*ip, *task)).collect()
    }
    /// Hands out one.
    pub(super) fn take(&mut self, task: TaskId) -> Result<Ipv4Addr, Error> {
        // Not the block's name, the bridge, or the broadcast address.
        let usable = self.subnet.size() - 3;
        for tried in 0..usable {
            let offset = 2 + (self.next - 2 + tried) % usable;
            let ip = self.subnet.nth(offset).expect("offsets are cut to the block");
            if let Entry::Vacant(free) = self.taken.entry(ip) {
                free.insert(task);
                self.next = 2 + (offset - 1) % usable;
                return Ok(ip);
            }
        }
        Err(Error::NoAddress { subnet: self.subnet })
    }
    /// A task's.
    pub(super) fn of(&self, task: TaskId) -> Option<Ipv4Addr> {
        self.taken.iter().find(|(_, taken)| **taken == task).map(|(ip, _)| *ip)
    }
    /// Takes a task's back.
    pub(super) fn give_back(&mut self, task: TaskId) {
        self.taken.retain(|_, taken| *taken != task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_in_use_are_skipped() {
        let all: Subnet = "172.16.0.0/12".parse().unwrap();
        assert_eq!(free_block(&[], 0).unwrap(), "172.16.0.0/20".parse().unwrap());
        assert_eq!(free_block(&[], 255).unwrap(), "172.31.240.0/20".parse().unwrap());
        let docker = "172.17.0.0/16".parse().unwrap();
        assert_eq!(free_block(&[docker], 16).unwrap(), "172.18.0.0/20".parse().unwrap());
        assert!(matches!(free_block(&[all], 7), Err(Error::NoSubnet { pool }) if pool == all));
    }

    #[test]
    fn addresses_rest_before_they_are_given_again() {
        let subnet: Subnet = "172.16.0.0/29".parse().unwrap();
        let mut addresses = Addresses { subnet, taken: BTreeMap::new(), next: 2 };
        let task = |n| TaskId::from_random([n; 16]);
        let given: Vec<_> = (0..5).map(|n| addresses.take(task(n)).unwrap().octets()[3]).collect();
        assert_eq!(given, [2, 3, 4, 5, 6]);
        assert!(matches!(addresses.take(task(9)), Err(Error::NoAddress { .. })));
        addresses.give_back(task(0));
        addresses.give_back(task(3));
        assert_eq!(addresses.take(task(9)).unwrap().octets()[3], 2);
        assert_eq!(addresses.of(task(9)), Some(Ipv4Addr::new(172, 16, 0, 2)));
        addresses.give_back(task(9));
        assert_eq!(
            addresses.take(task(10)).unwrap().octets()[3],
            5,
            "the last given rests longest"
        );
    }
}
