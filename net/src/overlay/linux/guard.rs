//! What containers may send on a bridge: frames of the Ethernet and IPv4 addresses they were given, at the port they have.
//! Each bridge is in a namespace of its own, and so are these rules: nobody who changes the host's rules changes them.
//!
//! Everything else is dropped where it enters: other sources, ARP about others, IPv6, VLAN tags, any other kind of frame.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use skein_events::id::NetworkId;
use skein_events::unit::{Mac, Subnet};

use super::firewall::{TCP, UDP};
use super::nft::{self, Family, Hook, Kind, Piece, Set, Transaction};
use crate::overlay::Error;

const TABLE: &str = "skein";
const CHAIN: &str = "prerouting";
const INPUT: &str = "input";
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;

const GRANTS: Set = Set { name: "grants", id: 1, kind: Kind::Grant };
const TUNNELS: Set = Set { name: "tunnels", id: 2, kind: Kind::Port };
const GUARDED: Set = Set { name: "guarded", id: 3, kind: Kind::Port };
const HOSTS: Set = Set { name: "hosts", id: 4, kind: Kind::Address };

/// Which bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// That of an overlay network.
    Network(NetworkId),
    /// That of the containers' ways out.
    Gateway,
}

/// What may be sent from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grant {
    pub(super) port: String,
    pub(super) mac: Mac,
    pub(super) ip: Ipv4Addr,
}

impl Grant {
    fn element(&self) -> Vec<u8> {
        nft::grant(&self.port, self.mac, self.ip)
    }
}

/// What containers do not reach by way of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Closed {
    /// The port of the bridge behind which the host is; what comes from there passes.
    pub(super) uplink: &'static str,
    /// VXLAN ports of daemons, on whichever machine: to a member, what a container sends comes from this one.
    pub(super) tunnels: BTreeSet<u16>,
    /// Other ports of daemons.
    pub(super) guarded: BTreeSet<u16>,
    /// Machines on which these are daemons'.
    pub(super) hosts: BTreeSet<Ipv4Addr>,
    /// The host's own address on the bridge, and the bridge's block: of that containers reach nothing else.
    pub(super) gateway: Option<(Ipv4Addr, Subnet)>,
}

/// The rules of one bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) closed: Option<Closed>,
    pub(super) grants: BTreeSet<Grant>,
}

/// What was last written, bridge by bridge.
#[derive(Debug, Default)]
pub(super) struct Guards {
    written: Mutex<BTreeMap<Place, Written>>,
}

#[derive(Debug)]
struct Written {
    rules: Rules,
    /// The generation of the namespace's rules right after; any change by anybody raises it.
    generation: u32,
}

impl Guards {
    /// Makes the rules of a bridge be these, whatever was there; this thread is in its namespace.
    pub(super) fn set(&self, place: Place, rules: Rules) -> Result<(), Error> {
        write(&mut self.written(), place, rules)
    }

    /// Grants one more at once; this thread is in the bridge's namespace.
    ///
    /// Rules that this daemon has not written yet are written whole soon, by whoever knows all grants.
    pub(super) fn add(&self, place: Place, grant: Grant) -> Result<(), Error> {
        let mut all = self.written();
        let Some(written) = all.get(&place) else { return Ok(()) };
        let mut rules = written.rules.clone();
        rules.grants.insert(grant);
        write(&mut all, place, rules)
    }

    /// Forgets a bridge that is gone.
    pub(super) fn forget(&self, place: Place) {
        self.written().remove(&place);
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<Place, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Under the lock, so that whoever adds one takes none away.
fn write(all: &mut BTreeMap<Place, Written>, place: Place, rules: Rules) -> Result<(), Error> {
    let last = all.remove(&place);
    let untouched = match &last {
        Some(last) => last.generation == nft::generation()?,
        None => false,
    };
    match last {
        Some(last) if untouched && last.rules.closed == rules.closed => {
            change(&last.rules.grants, &rules.grants)?;
        }
        Some(_) | None => rules.write()?,
    }
    let generation = nft::generation()?;
    all.insert(place, Written { rules, generation });
    Ok(())
}

/// Only what differs: replacing a table waits for readers of the old one, and each task that comes would wait for that.
fn change(from: &BTreeSet<Grant>, to: &BTreeSet<Grant>) -> Result<(), Error> {
    if from == to {
        return Ok(());
    }
    let mut transaction = Transaction::changing(Family::Bridge, TABLE);
    transaction.remove(GRANTS, from.difference(to).map(Grant::element));
    transaction.add(GRANTS, to.difference(from).map(Grant::element));
    transaction.commit()
}

impl Rules {
    fn write(&self) -> Result<(), Error> {
        // Where nobody ever wrote rules there is none to wait for.
        let mut to = match nft::generation()? {
            nft::UNTOUCHED => Transaction::making(Family::Bridge, TABLE),
            _ => Transaction::replacing(Family::Bridge, TABLE),
        };
        to.set(GRANTS, self.grants.iter().map(Grant::element));
        to.chain(CHAIN, Hook::BridgePrerouting);
        if let Some(closed) = &self.closed {
            closed.write(&mut to);
        }
        to.rule(CHAIN, &[Piece::EtherType(IPV4), Piece::Granted(GRANTS), Piece::Accept]);
        to.rule(
            CHAIN,
            &[Piece::EtherType(ARP), Piece::PlainArp, Piece::GrantedArp(GRANTS), Piece::Accept],
        );
        to.rule(CHAIN, &[Piece::Count, Piece::Drop]);
        // These enter without the chain above being asked.
        to.chain(INPUT, Hook::BridgeInput);
        to.rule(INPUT, &[Piece::ToLinkGroup, Piece::Count, Piece::Drop]);
        to.commit()
    }
}

impl Closed {
    fn write(&self, to: &mut Transaction<'_>) {
        let ports = |ports: &BTreeSet<u16>| -> Vec<_> {
            ports.iter().map(|port| port.to_be_bytes().to_vec()).collect()
        };
        to.set(TUNNELS, ports(&self.tunnels));
        to.set(GUARDED, ports(&self.guarded));
        to.set(HOSTS, self.hosts.iter().map(|ip| ip.octets().to_vec()));
        to.rule(CHAIN, &[Piece::In(self.uplink), Piece::Accept]);
        let ip = Piece::EtherType(IPV4);
        let drop = [Piece::Count, Piece::Drop];
        let loopback = Subnet::containing(Ipv4Addr::LOCALHOST, 8);
        to.rule(CHAIN, &[&[ip.clone(), Piece::Into(loopback)], &drop[..]].concat());
        let tunnels = [ip.clone(), Piece::Protocol(UDP), Piece::PortOneOf(TUNNELS)];
        to.rule(CHAIN, &[&tunnels, &drop[..]].concat());
        for protocol in [TCP, UDP] {
            let there = [
                ip.clone(),
                Piece::ToOneOf(HOSTS),
                Piece::Protocol(protocol),
                Piece::PortOneOf(GUARDED),
            ];
            to.rule(CHAIN, &[&there, &drop[..]].concat());
        }
        if let Some((host, block)) = self.gateway {
            let granted = [Piece::Granted(GRANTS), Piece::Accept];
            to.rule(CHAIN, &[&[ip.clone(), Piece::To(host)], &granted[..]].concat());
            to.rule(CHAIN, &[&[ip, Piece::Into(block)], &drop[..]].concat());
        }
    }
}
