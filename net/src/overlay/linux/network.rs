//! One overlay network on this node: its namespace with a bridge and a tunnel device, brought to what is desired.
//! Reads what is there, writes the difference; a row removed by hand is made again, a foreign one removed.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::InfoBridgePort;
use skein_events::id::NetworkId;
use skein_events::view::overlay::{Leg, NodeNetwork};

use super::container;
use super::guard::{Grant, Guards, Place, Rules};
use super::link::{self, Link, Row, Tunnel, container_port};
use super::names::{BRIDGE, Names, TUNNEL, is_task_port, task_port};
use super::netlink::{Batch, Mode, Route, kernel};
use super::netns::{self, Netns};
use crate::overlay::Error;

/// Brings one network to what is desired.
pub(super) fn sync(
    names: &Names,
    host: &Netns,
    guards: &Guards,
    desired: &NodeNetwork,
    port: u16,
    local: Option<Ipv4Addr>,
) -> Result<(), Error> {
    let file = names.network_file(desired.id);
    let there = |what: &str, source| {
        kernel(format!("{what} the namespace of network {}", desired.id), source)
    };
    if !netns::is_pinned(&file) {
        netns::on_thread(|| {
            netns::enter_new()?;
            // No addresses of its own making: what is in there comes from the log.
            netns::sysctl("ipv6/conf/default/disable_ipv6", "1")?;
            netns::sysctl("ipv4/ip_forward", "0")?;
            netns::pin_own(&file)
        })
        .map_err(|source| there("make", source))?;
    }
    let inside = Netns::open(&file).map_err(|source| there("open", source))?;
    let tunnel = Tunnel { vni: desired.vni, port, local, mtu: u32::from(desired.mtu) };
    netns::on_thread(|| {
        host.enter().map_err(|source| there("leave", source))?;
        let mut outer = Route::open()?;
        inside.enter().map_err(|source| there("enter", source))?;
        // The bridge's own stack answers what comes by the bridge, not what a port keeps for itself: frames to a group of the
        // link, some of which no rule of a bridge sees.
        netns::sysctl("ipv4/conf/all/rp_filter", "1").map_err(|source| there("guard", source))?;
        let mut inner = Route::open()?;
        // Before anything is plugged in.
        guards.set(Place::Network(desired.id), Rules { closed: None, grants: grants(desired) })?;
        let (bridge, tunnel, ports) =
            devices(names, &mut outer, &mut inner, &inside, desired, &tunnel)?;
        bridge_address(&mut inner, bridge, desired)?;
        rows(&mut inner, tunnel, &ports, desired)?;
        replug(names, guards, &mut inner, &ports, desired)
    })
}

/// What may be sent from: by containers here, and by the tunnel for those elsewhere.
fn grants(desired: &NodeNetwork) -> BTreeSet<Grant> {
    let local = desired.local.iter().map(|leg| (task_port(leg.task), leg));
    let peers = desired.peers.iter().map(|peer| (TUNNEL.to_owned(), &peer.leg));
    let grant = |(port, leg): (String, &Leg)| Grant { port, mac: leg.mac, ip: leg.ip };
    local.chain(peers).map(grant).collect()
}

/// Makes bridge, tunnel and ports be there and up; returns the indexes of bridge and tunnel, and the containers' ports.
fn devices(
    names: &Names,
    outer: &mut Route,
    inner: &mut Route,
    inside: &Netns,
    desired: &NodeNetwork,
    tunnel: &Tunnel,
) -> Result<(u32, u32, Vec<Link>), Error> {
    let id = desired.id;
    let mut links = link::links(inner)?;
    let find = |links: &[Link], name: &str| links.iter().find(|link| link.name == name).cloned();
    let (old_bridge, old_tunnel) = (find(&links, BRIDGE), find(&links, TUNNEL));
    let stale = old_tunnel.as_ref().filter(|link| !tunnel.is(link));
    if let Some(stale) = stale {
        let mut batch = Batch::new();
        batch.push(
            format!("remove the tunnel of network {id}"),
            Mode::Remove,
            link::remove(stale.index),
        );
        inner.apply(batch)?;
    }
    if old_bridge.is_none() {
        let bridge = link::bridge(BRIDGE, names.mac(&id.to_string()));
        let mut batch = Batch::new();
        batch.push(format!("make the bridge of network {id}"), Mode::Create, bridge);
        inner.apply(batch)?;
    }
    if old_tunnel.is_none() || stale.is_some() {
        let made = link::vxlan_in(inside.as_fd(), TUNNEL, tunnel);
        let mut batch = Batch::new();
        batch.push(format!("make the tunnel of network {id}"), Mode::Create, made);
        outer.apply(batch)?;
    }
    if old_bridge.is_none() || old_tunnel.is_none() || stale.is_some() {
        links = link::links(inner)?;
    }
    let gone =
        |what| kernel(format!("make the {what} of network {id}"), io::ErrorKind::NotFound.into());
    let bridge = find(&links, BRIDGE).ok_or_else(|| gone("bridge"))?;
    let tunnel = find(&links, TUNNEL).ok_or_else(|| gone("tunnel"))?;
    let mut batch = Batch::new();
    if !bridge.up {
        batch.push(
            format!("set the bridge of network {id} up"),
            Mode::Change,
            link::up(bridge.index),
        );
    }
    for port in links.iter().filter(|link| link.index == tunnel.index || is_task_port(&link.name)) {
        if port.controller != Some(bridge.index) || !port.up {
            let what = format!("plug {} in the bridge of network {id}", port.name);
            batch.push(what, Mode::Change, link::port(port.index, bridge.index));
        }
    }
    if tunnel.controller != Some(bridge.index) {
        // Where an address is behind the tunnel is told by rows, not by whoever last claimed it.
        let silent = link::port_options(TUNNEL, vec![InfoBridgePort::Learning(false)]);
        batch.push(format!("keep the bridge of network {id} from learning"), Mode::Change, silent);
    }
    links.retain(|link| is_task_port(&link.name));
    for port in &links {
        let options = container_port(false);
        if port.controller != Some(bridge.index) || !options.iter().all(|o| port.port.contains(o)) {
            let message = link::port_options(&port.name, options);
            batch.push(
                format!("hold {} of network {id} to its rows", port.name),
                Mode::Change,
                message,
            );
        }
    }
    inner.apply(batch)?;
    Ok((bridge.index, tunnel.index, links))
}

/// Makes legs again that containers lost.
fn replug(
    names: &Names,
    guards: &Guards,
    inner: &mut Route,
    ports: &[Link],
    desired: &NodeNetwork,
) -> Result<(), Error> {
    for leg in &desired.local {
        let port = task_port(leg.task);
        let lost = !ports.iter().any(|link| link.name == port);
        if lost && netns::is_pinned(&names.task_file(leg.task)) {
            container::replug(names, guards, inner, desired, leg)?;
        }
    }
    Ok(())
}

/// Gives the bridge its one address.
fn bridge_address(inner: &mut Route, bridge: u32, desired: &NodeNetwork) -> Result<(), Error> {
    let wanted = (bridge, desired.gateway, desired.subnet.prefix());
    let found = link::addresses(inner)?;
    let mut batch = Batch::new();
    for (index, ip, prefix) in found.iter().filter(|a| a.0 == bridge && **a != wanted) {
        let message = RouteNetlinkMessage::DelAddress(link::address(*index, *ip, *prefix));
        batch.push(
            format!("take {ip} from the bridge of network {}", desired.id),
            Mode::Remove,
            message,
        );
    }
    if !found.contains(&wanted) {
        let message = link::address(bridge, desired.gateway, desired.subnet.prefix());
        let message = RouteNetlinkMessage::NewAddress(message);
        let what = format!("give {} to the bridge of network {}", desired.gateway, desired.id);
        batch.push(what, Mode::Put, message);
    }
    inner.apply(batch)
}

/// Makes neighbour and forwarding rows those of the peers and of the containers here, no more and no less.
fn rows(
    inner: &mut Route,
    tunnel: u32,
    ports: &[Link],
    desired: &NodeNetwork,
) -> Result<(), Error> {
    let mut wanted: BTreeSet<(u32, Row)> = BTreeSet::new();
    for peer in &desired.peers {
        let (ip, mac) = (peer.leg.ip, peer.leg.mac);
        let rows = [Row::Neighbour(ip, mac), Row::Remote(mac, peer.vtep), Row::Port(mac)];
        wanted.extend(rows.map(|row| (tunnel, row)));
    }
    for leg in &desired.local {
        let name = task_port(leg.task);
        let port = ports.iter().find(|link| link.name == name);
        wanted.extend(port.map(|port| (port.index, Row::Port(leg.mac))));
    }
    let ours = |index: u32| index == tunnel || ports.iter().any(|port| port.index == index);
    let found: BTreeSet<(u32, Row)> =
        link::rows(inner)?.into_iter().filter(|(index, _)| ours(*index)).collect();
    let mut batch = Batch::new();
    for (index, row) in found.difference(&wanted) {
        let message = RouteNetlinkMessage::DelNeighbour(row.message(*index));
        batch.push("remove a row of a port", Mode::Remove, message);
    }
    for (index, row) in wanted.difference(&found) {
        let message = RouteNetlinkMessage::NewNeighbour(row.message(*index));
        batch.push("write a row of a port", Mode::Put, message);
    }
    inner.apply(batch)
}

/// Removes a network's devices and namespace; the port of the tunnel is free when this returns.
pub(super) fn remove(names: &Names, id: NetworkId) -> Result<(), Error> {
    let file = names.network_file(id);
    if netns::is_pinned(&file) {
        let failed = |source| kernel(format!("enter the namespace of network {id}"), source);
        let inside = Netns::open(&file).map_err(failed)?;
        netns::on_thread(|| {
            inside.enter().map_err(failed)?;
            let mut inner = Route::open()?;
            let mut batch = Batch::new();
            for link in link::links(&mut inner)?.iter().filter(|link| link.kind.is_some()) {
                let what = format!("remove {} of network {id}", link.name);
                batch.push(what, Mode::Remove, link::remove(link.index));
            }
            inner.apply(batch)
        })?;
    }
    netns::unpin(&file)
        .map_err(|source| kernel(format!("remove the namespace of network {id}"), source))
}
