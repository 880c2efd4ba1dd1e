//! The ways out: a bridge with a port for each container, in a namespace of its own, and one wire from it to the host's bridge.
//!
//! Separate from the host's bridge so that what containers send is judged where nobody flushes the rules (`guard`), and where
//! no stack of the host listens: a frame that a bridge keeps for itself, by whatever address, reaches nothing in there.
//!
//! It is there while a container has a way out, and no longer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::InfoBridgePort;
use skein_events::id::TaskId;

use super::link::{self, Inner, Link, Row, container_port};
use super::names::{BRIDGE, Names, UPLINK};
use super::netlink::{Batch, Mode, Route, kernel};
use super::netns::{self, Netns};
use crate::overlay::Error;

/// What the ways out are called in errors.
const WHAT: &str = "the namespace of the ways out";

/// Makes it be there, with its bridge and the wire; the thread is in the host's namespace, and the host's bridge is there.
/// Does something in it then, whose result is given.
pub(super) fn visit<T: Send>(
    names: &Names,
    host: &Netns,
    work: impl FnOnce(&mut Route) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let file = names.outlet_file();
    let at = |source| kernel(format!("enter {WHAT}"), source);
    if !netns::is_pinned(&file) {
        netns::on_thread(|| {
            netns::enter_new()?;
            for of in ["default", "all"] {
                netns::sysctl(&format!("ipv6/conf/{of}/disable_ipv6"), "1")?;
            }
            netns::sysctl("ipv4/ip_forward", "0")?;
            netns::pin_own(&file)
        })
        .map_err(|source| kernel(format!("make {WHAT}"), source))?;
    }
    let inside = Netns::open(&file).map_err(at)?;
    netns::on_thread(|| {
        host.enter().map_err(at)?;
        let mut outer = Route::open()?;
        inside.enter().map_err(at)?;
        let mut inner = Route::open()?;
        devices(names, &mut outer, &mut inner, &inside)?;
        work(&mut inner)
    })
}

/// The bridge in there and the wire between both bridges.
fn devices(
    names: &Names,
    outer: &mut Route,
    inner: &mut Route,
    inside: &Netns,
) -> Result<(), Error> {
    let gone = |what: &str| kernel(format!("find {what}"), io::ErrorKind::NotFound.into());
    let gateway = names.gateway();
    let host = link::named(outer, &gateway)?.ok_or_else(|| gone(&gateway))?;
    let mut bridge = link::named(inner, BRIDGE)?;
    if bridge.is_none() {
        let mut batch = Batch::new();
        let made = link::bridge(BRIDGE, names.mac("ways out"));
        batch.push("make the bridge of the ways out", Mode::Create, made);
        inner.apply(batch)?;
        bridge = link::named(inner, BRIDGE)?;
    }
    let bridge = bridge.ok_or_else(|| gone(BRIDGE))?;
    let name = names.uplink();
    let (near, far) = (link::named(outer, &name)?, link::named(inner, UPLINK)?);
    let joined = match (&near, &far) {
        (Some(near), Some(far)) => far.peer == Some(near.index) && near.peer == Some(far.index),
        _ => false,
    };
    if !joined {
        let mut batch = Batch::new();
        batch.push(format!("remove link {name}"), Mode::Remove, link::remove_named(&name));
        outer.apply(batch)?;
        let mut batch = Batch::new();
        batch.push(format!("remove link {UPLINK}"), Mode::Remove, link::remove_named(UPLINK));
        inner.apply(batch)?;
        let end = Inner { netns: inside.as_fd(), name: UPLINK.to_owned(), index: 0, mac: None };
        let mut batch = Batch::new();
        let pair = link::veth(&name, host.index, None, &end);
        batch.push(format!("plug {name} in bridge {gateway}"), Mode::Create, pair);
        outer.apply(batch)?;
    }
    let near = link::named(outer, &name)?.ok_or_else(|| gone(&name))?;
    if near.controller != Some(host.index) || !near.up {
        let mut batch = Batch::new();
        let plugged = link::port(near.index, host.index);
        batch.push(format!("plug {name} in bridge {gateway}"), Mode::Change, plugged);
        outer.apply(batch)?;
    }
    let far = link::named(inner, UPLINK)?.ok_or_else(|| gone(UPLINK))?;
    let mut batch = Batch::new();
    if !bridge.up {
        batch.push("set the bridge of the ways out up", Mode::Change, link::up(bridge.index));
    }
    if far.controller != Some(bridge.index) || !far.up {
        let plugged = link::port(far.index, bridge.index);
        batch.push(format!("plug {UPLINK} in the bridge of the ways out"), Mode::Change, plugged);
    }
    let silent = InfoBridgePort::Learning(false);
    if far.controller != Some(bridge.index) || !far.port.contains(&silent) {
        let silent = link::port_options(UPLINK, vec![silent]);
        batch.push("keep the bridge of the ways out from learning", Mode::Change, silent);
    }
    let row = Row::Port(names.mac("gateway")).message(far.index);
    let row = RouteNetlinkMessage::NewNeighbour(row);
    batch.push("tell the ways out where the host is", Mode::Put, row);
    inner.apply(batch)
}

/// Holds containers' ports to what they were given, where they are not; gives those whose port is lost. The socket is in the
/// namespace of the ways out.
pub(super) fn hold(
    inner: &mut Route,
    names: &Names,
    taken: &[(Ipv4Addr, TaskId)],
) -> Result<Vec<(Ipv4Addr, TaskId)>, Error> {
    let links = link::links(inner)?;
    let gone = || kernel(format!("find {BRIDGE}"), io::ErrorKind::NotFound.into());
    let bridge = links.iter().find(|link| link.name == BRIDGE).ok_or_else(gone)?.index;
    let links: BTreeMap<&str, &Link> = links.iter().map(|link| (&*link.name, link)).collect();
    let rows: BTreeSet<(u32, Row)> = link::rows(inner)?.into_iter().collect();
    // Ports of this bridge reach the host's and never each other.
    let options = container_port(true);
    let (mut lost, mut batch) = (Vec::new(), Batch::new());
    for (ip, task) in taken {
        let name = names.gateway_port(*ip);
        let Some(port) = links.get(&*name) else {
            lost.push((*ip, *task));
            continue;
        };
        if port.controller != Some(bridge) || !port.up {
            let plugged = link::port(port.index, bridge);
            batch.push(format!("plug task {task} in the ways out"), Mode::Change, plugged);
        }
        if port.controller != Some(bridge) || !options.iter().all(|o| port.port.contains(o)) {
            let message = link::port_options(&name, options.clone());
            batch.push(format!("isolate link {name}"), Mode::Change, message);
        }
        let row = Row::Port(names.gateway_mac(*ip));
        if port.controller != Some(bridge) || !rows.contains(&(port.index, row)) {
            let row = RouteNetlinkMessage::NewNeighbour(row.message(port.index));
            batch.push(format!("tell where task {task} is"), Mode::Put, row);
        }
    }
    inner.apply(batch)?;
    Ok(lost)
}

/// Removes it with all that is in it.
pub(super) fn remove(names: &Names) -> Result<(), Error> {
    let file = names.outlet_file();
    if netns::is_pinned(&file) {
        let at = |source| kernel(format!("remove {WHAT}"), source);
        let inside = Netns::open(&file).map_err(at)?;
        netns::on_thread(|| {
            inside.enter().map_err(at)?;
            let mut inner = Route::open()?;
            let mut batch = Batch::new();
            for link in link::links(&mut inner)?.iter().filter(|link| link.kind.is_some()) {
                let message = link::remove(link.index);
                batch.push(format!("remove link {}", link.name), Mode::Remove, message);
            }
            inner.apply(batch)
        })?;
    }
    netns::unpin(&file).map_err(|source| kernel(format!("remove {WHAT}"), source))
}
