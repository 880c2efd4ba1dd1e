//! One container's network namespace: made with its legs, re-opened after a restart, removed.
//! All of it in one visit of one thread, because starting a container waits for it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use skein_events::id::{NetworkId, TaskId};
use skein_events::unit::Subnet;
use skein_events::view::overlay::{Leg, NodeNetwork};

use super::firewall::{self, Before};
use super::gateway;
use super::guard::{Grant, Guards, Place};
use super::link::{self, Inner, Row, container_port};
use super::names::{BRIDGE, Names, task_port};
use super::netlink::{Batch, Mode, Route, kernel};
use super::netns::{self, Netns};
use crate::overlay::{AttachLeg, DNS_ADDRESS, DnsSockets, Error};

/// The loopback's index in a fresh namespace.
const LOOPBACK: u32 = 1;
/// The index of `eth0` in a fresh namespace; the others follow.
const FIRST_LEG: u32 = 2;

/// The way out of a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct WayOut {
    pub(super) ip: Ipv4Addr,
    pub(super) subnet: Subnet,
}

/// Makes a container's namespace and pins it at a file. If it has a way out, the namespace of those is there.
pub(super) fn make(
    names: &Names,
    host: &Netns,
    guards: &Guards,
    task: TaskId,
    legs: &[(AttachLeg, Netns)],
    out: Option<WayOut>,
) -> Result<DnsSockets, Error> {
    let file = names.task_file(task);
    let at = |source| kernel(format!("make the namespace of task {task}"), source);
    netns::on_thread(|| {
        let own = netns::enter_new().map_err(at)?;
        let mut container = Route::open()?;
        let made = (|| {
            prepare(&mut container).map_err(at)?;
            let sockets = listen(task, Before::Nothing)?;
            let mut batch = Batch::new();
            let mut index = FIRST_LEG;
            for (leg, inside) in legs {
                inside.enter().map_err(at)?;
                let inner =
                    Inner { netns: own.as_fd(), name: eth(index), index, mac: Some(leg.mac) };
                let of = Grant { port: task_port(task), mac: leg.mac, ip: leg.ip };
                plug(&mut Route::open()?, guards, task, leg.network, &inner, of)?;
                dress(&mut batch, task, index, leg.ip, leg.subnet.prefix());
                index += 1;
            }
            if let Some(out) = out {
                let outlet = Netns::open(&names.outlet_file()).map_err(at)?;
                outlet.enter().map_err(at)?;
                plug_out(&mut Route::open()?, names, task, out, index, eth(index), &own)?;
                dress_out(&mut batch, task, index, out);
                host.enter().map_err(at)?;
                tell_host(names, task, out.ip)?;
            }
            own.enter().map_err(at)?;
            container.apply(batch)?;
            netns::pin_own(&file).map_err(at)?;
            Ok(sockets)
        })();
        if made.is_err() {
            // The first error is the one that counts. Without this the legs would vanish too, but only some time later.
            let _ = unplug(&mut container);
        }
        made
    })
}

/// What Docker's containers find: no IPv6 of the kernel's own making, ping and low ports for everybody in there.
fn prepare(container: &mut Route) -> io::Result<()> {
    // A new namespace takes this from the machine's first one, where it is on: a container on two networks would be a router between them.
    netns::sysctl("ipv4/ip_forward", "0")?;
    netns::sysctl("ipv6/conf/default/disable_ipv6", "1")?;
    netns::sysctl("ipv4/ping_group_range", "0 2147483647")?;
    netns::sysctl("ipv4/ip_unprivileged_port_start", "0")?;
    let mut batch = Batch::new();
    batch.push("set the loopback up", Mode::Change, link::up(LOOPBACK));
    container.apply(batch).map_err(io::Error::other)
}

/// Opens the sockets for names in this thread's namespace, and leads questions to them.
fn listen(task: TaskId, before: Before) -> Result<DnsSockets, Error> {
    let any = SocketAddrV4::new(DNS_ADDRESS, 0);
    let open = || {
        let (udp, tcp) = (UdpSocket::bind(any)?, TcpListener::bind(any)?);
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let ports = (udp.local_addr()?.port(), tcp.local_addr()?.port());
        io::Result::Ok((DnsSockets { udp, tcp }, ports))
    };
    let (sockets, (udp, tcp)) =
        open().map_err(|source| kernel(format!("open the DNS sockets of task {task}"), source))?;
    firewall::container(before, udp, tcp)?;
    Ok(sockets)
}

/// Makes a leg; the socket and this thread are in the network's namespace.
fn plug(
    inside: &mut Route,
    guards: &Guards,
    task: TaskId,
    network: NetworkId,
    inner: &Inner<'_>,
    grant: Grant,
) -> Result<(), Error> {
    let bridge = link::named(inside, BRIDGE)?.ok_or(Error::UnknownNetwork(network))?;
    // A bridge takes the smallest packet size of its ports, and the tunnel is the first of them.
    let pair = link::veth(&grant.port, bridge.index, bridge.mtu, inner);
    let mut batch = Batch::new();
    batch.push(format!("plug task {task} in network {network}"), Mode::Create, pair);
    let held = link::port_options(&grant.port, container_port(false));
    batch.push(format!("hold task {task} to its rows"), Mode::Change, held);
    inside.apply(batch)?;
    let port = link::named(inside, &grant.port)?.ok_or(Error::UnknownTask(task))?.index;
    let row = RouteNetlinkMessage::NewNeighbour(Row::Port(grant.mac).message(port));
    let mut batch = Batch::new();
    batch.push(format!("tell network {network} where task {task} is"), Mode::Put, row);
    inside.apply(batch)?;
    guards.add(Place::Network(network), grant)
}

/// Makes a leg again that a container lost; the socket is in the network's namespace.
///
/// It gets the first free name, which is the lost one's unless more were lost.
pub(super) fn replug(
    names: &Names,
    guards: &Guards,
    inside: &mut Route,
    network: &NodeNetwork,
    leg: &Leg,
) -> Result<(), Error> {
    let task = leg.task;
    let at = |source| kernel(format!("enter the namespace of task {task}"), source);
    let own = Netns::open(&names.task_file(task)).map_err(at)?;
    let place = Netns::of_this_thread().map_err(at)?;
    netns::on_thread(|| {
        own.enter().map_err(at)?;
        let mut container = Route::open()?;
        let taken = link::links(&mut container)?;
        let free = |name: &String| !taken.iter().any(|link| link.name == *name);
        let name = (FIRST_LEG..).map(eth).find(free).expect("links are fewer than numbers");
        // Index 0: the kernel's choice.
        let inner = Inner { netns: own.as_fd(), name, index: 0, mac: Some(leg.mac) };
        let of = Grant { port: task_port(task), mac: leg.mac, ip: leg.ip };
        let back = |source| kernel("go back to the network's namespace", source);
        place.enter().map_err(back)?;
        plug(inside, guards, task, network.id, &inner, of)?;
        let made = link::named(&mut container, &inner.name)?;
        let index = made.ok_or(Error::UnknownTask(task))?.index;
        let mut batch = Batch::new();
        dress(&mut batch, task, index, leg.ip, network.subnet.prefix());
        container.apply(batch)
    })
}

/// Makes the leg to the outside; the socket is in the namespace of the ways out.
fn plug_out(
    inside: &mut Route,
    names: &Names,
    task: TaskId,
    out: WayOut,
    index: u32,
    name: String,
    own: &Netns,
) -> Result<(), Error> {
    let gone = || kernel("find the bridge of the ways out", io::ErrorKind::NotFound.into());
    let bridge = link::named(inside, BRIDGE)?.ok_or_else(gone)?.index;
    let port = names.gateway_port(out.ip);
    let mac = Some(names.gateway_mac(out.ip));
    let inner = Inner { netns: own.as_fd(), name, index, mac };
    let mut batch = Batch::new();
    batch.push(
        format!("plug task {task} in the ways out"),
        Mode::Create,
        link::veth(&port, bridge, None, &inner),
    );
    batch.push(
        format!("name the owner of link {port}"),
        Mode::Change,
        link::alias(&port, task.to_string()),
    );
    let isolated = link::port_options(&port, container_port(true));
    batch.push(format!("isolate link {port}"), Mode::Change, isolated);
    inside.apply(batch)?;
    let gone = || kernel(format!("find link {port}"), io::ErrorKind::NotFound.into());
    let index = link::named(inside, &port)?.ok_or_else(gone)?.index;
    let row = Row::Port(names.gateway_mac(out.ip)).message(index);
    let mut batch = Batch::new();
    let row = RouteNetlinkMessage::NewNeighbour(row);
    batch.push(format!("tell where task {task} is"), Mode::Put, row);
    inside.apply(batch)
}

/// Tells the host where a container is, so that nobody else can; this thread is in the host's namespace.
fn tell_host(names: &Names, task: TaskId, ip: Ipv4Addr) -> Result<(), Error> {
    let mut host = Route::open()?;
    let gateway = names.gateway();
    let gone = || kernel(format!("find bridge {gateway}"), io::ErrorKind::NotFound.into());
    let bridge = link::named(&mut host, &gateway)?.ok_or_else(gone)?.index;
    let row = Row::Neighbour(ip, names.gateway_mac(ip)).message(bridge);
    let mut batch = Batch::new();
    let row = RouteNetlinkMessage::NewNeighbour(row);
    batch.push(format!("tell where task {task} is"), Mode::Put, row);
    host.apply(batch)
}

/// Makes a container's leg to the outside again, which it lost; the socket is in the namespace of the ways out.
pub(super) fn replug_out(
    names: &Names,
    inside: &mut Route,
    task: TaskId,
    out: WayOut,
) -> Result<(), Error> {
    let at = |source| kernel(format!("enter the namespace of task {task}"), source);
    let own = Netns::open(&names.task_file(task)).map_err(at)?;
    netns::on_thread(|| {
        own.enter().map_err(at)?;
        let mut container = Route::open()?;
        let mut batch = Batch::new();
        // What it has of that leg leads nowhere any more.
        for (index, ip, _) in link::addresses(&mut container)? {
            if ip == out.ip {
                let what = format!("remove the lost leg of task {task}");
                batch.push(what, Mode::Remove, link::remove(index));
            }
        }
        container.apply(batch)?;
        let taken = link::links(&mut container)?;
        let free = |name: &String| !taken.iter().any(|link| link.name == *name);
        let name = (FIRST_LEG..).map(eth).find(free).expect("links are fewer than numbers");
        plug_out(inside, names, task, out, 0, name.clone(), &own)?;
        let made = link::named(&mut container, &name)?;
        let index = made.ok_or(Error::UnknownTask(task))?.index;
        let mut batch = Batch::new();
        dress_out(&mut batch, task, index, out);
        container.apply(batch)
    })
}

fn eth(index: u32) -> String {
    format!("eth{}", index - FIRST_LEG)
}

fn dress(batch: &mut Batch, task: TaskId, index: u32, ip: Ipv4Addr, prefix: u8) {
    let message = RouteNetlinkMessage::NewAddress(link::address(index, ip, prefix));
    batch.push(format!("give task {task} the address {ip}"), Mode::Create, message);
    batch.push(format!("set a leg of task {task} up"), Mode::Change, link::up(index));
}

fn dress_out(batch: &mut Batch, task: TaskId, index: u32, out: WayOut) {
    dress(batch, task, index, out.ip, out.subnet.prefix());
    let route = link::default_route(gateway::address(out.subnet), index);
    batch.push(format!("route task {task} out"), Mode::Create, route);
}

/// Opens new sockets for names in a container's namespace.
pub(super) fn reopen(names: &Names, task: TaskId) -> Result<DnsSockets, Error> {
    let file = names.task_file(task);
    if !netns::is_pinned(&file) {
        return Err(Error::UnknownTask(task));
    }
    let at = |source| kernel(format!("enter the namespace of task {task}"), source);
    let inside = Netns::open(&file).map_err(at)?;
    netns::on_thread(|| {
        inside.enter().map_err(at)?;
        listen(task, Before::Ours)
    })
}

/// Removes a container's legs, at once on both ends, and unpins its namespace.
pub(super) fn remove(names: &Names, task: TaskId) -> Result<(), Error> {
    let file = names.task_file(task);
    let at = |source| kernel(format!("remove the namespace of task {task}"), source);
    if netns::is_pinned(&file) {
        let inside = Netns::open(&file).map_err(at)?;
        netns::on_thread(|| {
            inside.enter().map_err(at)?;
            unplug(&mut Route::open()?)
        })?;
    }
    netns::unpin(&file).map_err(at)
}

/// Removes every device of the namespace the socket is in; the other ends of pairs go with them.
fn unplug(container: &mut Route) -> Result<(), Error> {
    let mut batch = Batch::new();
    for link in link::links(container)?.iter().filter(|link| link.kind.is_some()) {
        batch.push(format!("remove link {}", link.name), Mode::Remove, link::remove(link.index));
    }
    container.apply(batch)
}

/// Removes what a container left outside a namespace that is gone: its ports, by name.
pub(super) fn remove_ports(
    names: &Names,
    networks: &[std::path::PathBuf],
    task: TaskId,
    ip: Option<Ipv4Addr>,
) -> Result<(), Error> {
    let remove = |file: &Path, name: &str| {
        let at = |source| kernel(format!("look for ports of task {task}"), source);
        if !netns::is_pinned(file) {
            return Ok(());
        }
        let place = Netns::open(file).map_err(at)?;
        netns::on_thread(|| {
            place.enter().map_err(at)?;
            let mut batch = Batch::new();
            batch.push(format!("remove link {name}"), Mode::Remove, link::remove_named(name));
            Route::open()?.apply(batch)
        })
    };
    for file in networks {
        remove(file, &task_port(task))?;
    }
    ip.map_or(Ok(()), |ip| remove(&names.outlet_file(), &names.gateway_port(ip)))
}
