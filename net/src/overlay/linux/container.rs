//! One container's network namespace: made with its legs, re-opened after a restart, removed.
//! All of it in one visit of one thread, because starting a container waits for it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::InfoBridgePort;
use skein_events::id::{NetworkId, TaskId};
use skein_events::unit::Subnet;
use skein_events::view::overlay::{Leg, NodeNetwork};

use super::firewall::{self, Before};
use super::gateway;
use super::link::{self, Inner};
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

/// Makes a container's namespace and pins it at a file.
pub(super) fn make(
    names: &Names,
    host: &Netns,
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
                plug(&mut Route::open()?, task, leg.network, &inner)?;
                dress(&mut batch, task, index, leg.ip, leg.subnet.prefix());
                index += 1;
            }
            if let Some(out) = out {
                host.enter().map_err(at)?;
                plug_out(names, task, out, index, &own)?;
                dress(&mut batch, task, index, out.ip, out.subnet.prefix());
                let route = link::default_route(gateway::address(out.subnet), index);
                batch.push(format!("route task {task} out"), Mode::Create, route);
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

/// Makes a leg; the socket is in the network's namespace.
fn plug(
    inside: &mut Route,
    task: TaskId,
    network: NetworkId,
    inner: &Inner<'_>,
) -> Result<(), Error> {
    let bridge = link::named(inside, BRIDGE)?.ok_or(Error::UnknownNetwork(network))?;
    // A bridge takes the smallest packet size of its ports, and the tunnel is the first of them.
    let pair = link::veth(&task_port(task), bridge.index, bridge.mtu, inner);
    let mut batch = Batch::new();
    batch.push(format!("plug task {task} in network {network}"), Mode::Create, pair);
    inside.apply(batch)
}

/// Makes a leg again that a container lost; the socket is in the network's namespace.
///
/// It gets the first free name, which is the lost one's unless more were lost.
pub(super) fn replug(
    names: &Names,
    inside: &mut Route,
    network: &NodeNetwork,
    leg: &Leg,
) -> Result<(), Error> {
    let task = leg.task;
    let at = |source| kernel(format!("enter the namespace of task {task}"), source);
    let own = Netns::open(&names.task_file(task)).map_err(at)?;
    netns::on_thread(|| {
        own.enter().map_err(at)?;
        let mut container = Route::open()?;
        let taken = link::links(&mut container)?;
        let free = |name: &String| !taken.iter().any(|link| link.name == *name);
        let name = (FIRST_LEG..).map(eth).find(free).expect("links are fewer than numbers");
        // Index 0: the kernel's choice.
        let inner = Inner { netns: own.as_fd(), name, index: 0, mac: Some(leg.mac) };
        plug(inside, task, network.id, &inner)?;
        let made = link::named(&mut container, &inner.name)?;
        let index = made.ok_or(Error::UnknownTask(task))?.index;
        let mut batch = Batch::new();
        dress(&mut batch, task, index, leg.ip, network.subnet.prefix());
        container.apply(batch)
    })
}

/// Makes the leg on the gateway bridge; this thread is in the host's namespace.
fn plug_out(
    names: &Names,
    task: TaskId,
    out: WayOut,
    index: u32,
    own: &Netns,
) -> Result<(), Error> {
    let mut host = Route::open()?;
    let gateway = names.gateway();
    let gone = || kernel(format!("find bridge {gateway}"), io::ErrorKind::NotFound.into());
    let bridge = link::named(&mut host, &gateway)?.ok_or_else(gone)?.index;
    let port = names.gateway_port(out.ip);
    let inner = Inner { netns: own.as_fd(), name: eth(index), index, mac: None };
    let mut batch = Batch::new();
    batch.push(
        format!("plug task {task} in bridge {gateway}"),
        Mode::Create,
        link::veth(&port, bridge, None, &inner),
    );
    batch.push(
        format!("name the owner of link {port}"),
        Mode::Change,
        link::alias(&port, task.to_string()),
    );
    // Ports of this bridge reach the bridge and never each other.
    let isolated = link::port_option(&port, InfoBridgePort::Isolated(true));
    batch.push(format!("isolate link {port}"), Mode::Change, isolated);
    host.apply(batch)
}

fn eth(index: u32) -> String {
    format!("eth{}", index - FIRST_LEG)
}

fn dress(batch: &mut Batch, task: TaskId, index: u32, ip: Ipv4Addr, prefix: u8) {
    let message = RouteNetlinkMessage::NewAddress(link::address(index, ip, prefix));
    batch.push(format!("give task {task} the address {ip}"), Mode::Create, message);
    batch.push(format!("set a leg of task {task} up"), Mode::Change, link::up(index));
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
    host: &Netns,
    networks: &[std::path::PathBuf],
    task: TaskId,
    ip: Option<Ipv4Addr>,
) -> Result<(), Error> {
    let remove = |place: &Netns, name: &str| {
        let at = |source| kernel(format!("look for ports of task {task}"), source);
        netns::on_thread(|| {
            place.enter().map_err(at)?;
            let mut batch = Batch::new();
            batch.push(format!("remove link {name}"), Mode::Remove, link::remove_named(name));
            Route::open()?.apply(batch)
        })
    };
    for file in networks.iter().filter(|file| netns::is_pinned(Path::new(file))) {
        let at = |source| kernel(format!("open {}", file.display()), source);
        remove(&Netns::open(file).map_err(at)?, &task_port(task))?;
    }
    ip.map_or(Ok(()), |ip| remove(host, &names.gateway_port(ip)))
}
