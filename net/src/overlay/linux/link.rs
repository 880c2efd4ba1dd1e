//! The messages that make links, addresses, routes and neighbour entries, and the reading of dumped ones.
//! Only shapes, no socket: what to make is decided by the files beside this one.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, InfoVxlan,
    LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use skein_events::unit::{Mac, Subnet, Vni};

use super::netlink::Route;
use crate::overlay::Error;

/// `NUD_NOARP | NUD_REACHABLE`: an fdb entry that neither ages nor means this machine itself.
const STATIC: u16 = 0x42;

/// A link as the kernel holds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) alias: String,
    pub(super) up: bool,
    pub(super) mtu: Option<u32>,
    pub(super) controller: Option<u32>,
    pub(super) kind: Option<InfoKind>,
    pub(super) vxlan: Vec<InfoVxlan>,
    /// Its options as port of a bridge.
    pub(super) port: Vec<InfoBridgePort>,
    /// The index of a pair's other end, in the namespace that is in.
    pub(super) peer: Option<u32>,
}

/// What a container's port of a bridge is like. Where an Ethernet address is, is told by rows and not by whoever last claimed
/// it, also in frames to groups of the link itself, which pass by every rule; and what is for nobody known is for no container.
pub(super) fn container_port(isolated: bool) -> Vec<InfoBridgePort> {
    vec![
        InfoBridgePort::Learning(false),
        InfoBridgePort::UnicastFlood(false),
        InfoBridgePort::Isolated(isolated),
    ]
}

/// All links of the socket's namespace.
pub(super) fn links(route: &mut Route) -> Result<Vec<Link>, Error> {
    let request = RouteNetlinkMessage::GetLink(link(0, false, vec![no_statistics()]));
    Ok(route.dump("list links", request)?.into_iter().filter_map(read_link).collect())
}

/// One link by its name: a host may have thousands.
pub(super) fn named(route: &mut Route, name: &str) -> Result<Option<Link>, Error> {
    let attributes = vec![LinkAttribute::IfName(name.to_owned()), no_statistics()];
    let found =
        route.get("find a link", RouteNetlinkMessage::GetLink(link(0, false, attributes)))?;
    Ok(found.and_then(read_link))
}

/// Statistics are most of what the kernel says of a link.
fn no_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn read_link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, up, ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = Some(mtu),
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = Some(kind),
                        LinkInfo::Data(InfoData::Vxlan(data)) => link.vxlan = data,
                        LinkInfo::PortData(InfoPortData::BridgePort(options)) => {
                            link.port = options;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(link)
}

/// All IPv4 addresses of the socket's namespace, with the index of their link and their prefix.
pub(super) fn addresses(route: &mut Route) -> Result<Vec<(u32, Ipv4Addr, u8)>, Error> {
    let mut request = AddressMessage::default();
    request.header.family = AddressFamily::Inet;
    let found = route.dump("list addresses", RouteNetlinkMessage::GetAddress(request))?;
    let read = |message| {
        let RouteNetlinkMessage::NewAddress(message) = message else { return None };
        let header = message.header;
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(ip)) => Some((header.index, *ip, header.prefix_len)),
            _ => None,
        })
    };
    Ok(found.into_iter().filter_map(read).collect())
}

/// Destinations of all IPv4 routes of the socket's namespace; the default route is none.
pub(super) fn routed(route: &mut Route) -> Result<Vec<Subnet>, Error> {
    let mut request = RouteMessage::default();
    request.header.address_family = AddressFamily::Inet;
    let found = route.dump("list routes", RouteNetlinkMessage::GetRoute(request))?;
    let read = |message| {
        let RouteNetlinkMessage::NewRoute(message) = message else { return None };
        let prefix = message.header.destination_prefix_length;
        message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => {
                Some(Subnet::containing(*ip, prefix))
            }
            _ => None,
        })
    };
    Ok(found.into_iter().filter_map(read).collect())
}

fn link(index: u32, up: bool, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    if up {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
    }
    message.attributes = attributes;
    message
}

fn mac(mac: Mac) -> LinkAttribute {
    LinkAttribute::Address(mac.0.to_vec())
}

/// A bridge, up, with an Ethernet address of its own: the kernel's would change with the ports.
pub(super) fn bridge(name: &str, address: Mac) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(link(
        0,
        true,
        vec![
            LinkAttribute::IfName(name.to_owned()),
            mac(address),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ],
    ))
}

/// What a tunnel device should be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel {
    pub(super) vni: Vni,
    pub(super) port: u16,
    /// Our own tunnel endpoint; without one the kernel takes the address of the route.
    pub(super) local: Option<Ipv4Addr>,
    pub(super) mtu: u32,
}

impl Tunnel {
    /// No learning: every entry comes from the log. `proxy`: it answers ARP from its neighbour entries, so none is flooded.
    fn data(&self) -> Vec<InfoVxlan> {
        let mut data = vec![
            InfoVxlan::Id(self.vni.0),
            InfoVxlan::Port(self.port),
            InfoVxlan::Learning(false),
            InfoVxlan::Proxy(true),
        ];
        data.extend(self.local.map(InfoVxlan::Local));
        data
    }
    /// Whether a link is this tunnel.
    pub(super) fn is(&self, link: &Link) -> bool {
        let local = |data: &[InfoVxlan]| {
            data.iter().find_map(|d| match d {
                InfoVxlan::Local(ip) => Some(*ip),
                _ => None,
            })
        };
        self.data().iter().all(|wanted| link.vxlan.contains(wanted))
            && local(&link.vxlan) == self.local
            && link.mtu == Some(self.mtu)
    }
}

/// A tunnel device whose packets leave by the socket's namespace while the device itself is in another.
pub(super) fn vxlan_in(netns: BorrowedFd<'_>, name: &str, tunnel: &Tunnel) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(link(
        0,
        false,
        vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(tunnel.mtu),
            LinkAttribute::NetNsFd(netns.as_raw_fd()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vxlan),
                LinkInfo::Data(InfoData::Vxlan(tunnel.data())),
            ]),
        ],
    ))
}

/// The end of a veth pair that goes in a container.
#[derive(Clone, Debug)]
pub(super) struct Inner<'a> {
    pub(super) netns: BorrowedFd<'a>,
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) mac: Option<Mac>,
}

/// A pair: one end here, a port of a bridge and up; the other in a container.
pub(super) fn veth(
    name: &str,
    controller: u32,
    mtu: Option<u32>,
    inner: &Inner<'_>,
) -> RouteNetlinkMessage {
    let mut peer = vec![
        LinkAttribute::IfName(inner.name.clone()),
        LinkAttribute::NetNsFd(inner.netns.as_raw_fd()),
    ];
    peer.extend(mtu.map(LinkAttribute::Mtu));
    peer.extend(inner.mac.map(mac));
    let mut outer = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Controller(controller),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(link(inner.index, false, peer)))),
        ]),
    ];
    outer.extend(mtu.map(LinkAttribute::Mtu));
    RouteNetlinkMessage::NewLink(link(0, true, outer))
}

/// Sets a link up.
pub(super) fn up(index: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, true, Vec::new()))
}

/// Makes a link a port of a bridge, up.
pub(super) fn port(index: u32, controller: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, true, vec![LinkAttribute::Controller(controller)]))
}

/// Sets a link's alias.
pub(super) fn alias(name: &str, alias: String) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(
        0,
        false,
        vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias)],
    ))
}

/// Sets options of a link as port of its bridge.
pub(super) fn port_options(name: &str, options: Vec<InfoBridgePort>) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(link(
        0,
        false,
        vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(options)),
            ]),
        ],
    ))
}

/// Removes a link by its index.
pub(super) fn remove(index: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLink(link(index, false, Vec::new()))
}

/// Removes a link by its name.
pub(super) fn remove_named(name: &str) -> RouteNetlinkMessage {
    let name = LinkAttribute::IfName(name.to_owned());
    RouteNetlinkMessage::DelLink(link(0, false, vec![name]))
}

/// An address of a link.
pub(super) fn address(index: u32, ip: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = index;
    let broadcast = Subnet::containing(ip, prefix).last();
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(ip)),
        AddressAttribute::Address(IpAddr::V4(ip)),
        AddressAttribute::Broadcast(broadcast),
    ];
    message
}

/// The default route over a gateway.
pub(super) fn default_route(gateway: Ipv4Addr, index: u32) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    message.attributes =
        vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway)), RouteAttribute::Oif(index)];
    RouteNetlinkMessage::NewRoute(message)
}

/// A row of the neighbour table or of a forwarding database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// The tunnel's answer to ARP: whose Ethernet address an IP has.
    Neighbour(Ipv4Addr, Mac),
    /// The tunnel's: behind which endpoint an Ethernet address is.
    Remote(Mac, Ipv4Addr),
    /// The bridge's: an Ethernet address is behind the link, and behind no other.
    Port(Mac),
}

impl Row {
    /// The row as a message about a link.
    pub(super) fn message(self, index: u32) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = index;
        message.header.family = AddressFamily::Bridge;
        message.header.state = NeighbourState::Other(STATIC);
        let (address, destination) = match self {
            Self::Neighbour(ip, mac) => {
                message.header.family = AddressFamily::Inet;
                message.header.state = NeighbourState::Permanent;
                (mac, Some(ip))
            }
            Self::Remote(mac, vtep) => {
                message.header.flags = NeighbourFlags::Own;
                (mac, Some(vtep))
            }
            Self::Port(mac) => {
                message.header.flags = NeighbourFlags::Controller;
                (mac, None)
            }
        };
        let destination = destination.map(NeighbourAddress::Inet);
        message.attributes.extend(destination.map(NeighbourAttribute::Destination));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(address.0.to_vec()));
        message
    }
}

/// The rows about links, by their indexes; the addresses of the machine's own ports are left out, and what was learned.
pub(super) fn rows(route: &mut Route) -> Result<Vec<(u32, Row)>, Error> {
    let mut rows = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Bridge] {
        let mut request = NeighbourMessage::default();
        request.header.family = family;
        let found = route.dump("list neighbours", RouteNetlinkMessage::GetNeighbour(request))?;
        rows.extend(found.into_iter().filter_map(read_row));
    }
    Ok(rows)
}

fn read_row(message: RouteNetlinkMessage) -> Option<(u32, Row)> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
    let (mut address, mut destination, mut controller) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                address = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => destination = Some(*ip),
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
                destination = <[u8; 4]>::try_from(bytes.as_slice()).ok().map(Ipv4Addr::from);
            }
            NeighbourAttribute::Controller(_) => controller = true,
            _ => {}
        }
    }
    let permanent = message.header.state == NeighbourState::Permanent;
    let learned = matches!(message.header.state, NeighbourState::Reachable | NeighbourState::Stale);
    let row = match (message.header.family, destination) {
        (AddressFamily::Inet, Some(ip)) if permanent => Row::Neighbour(ip, address?),
        (AddressFamily::Bridge, Some(vtep)) => Row::Remote(address?, vtep),
        (AddressFamily::Bridge, None) if controller && !permanent && !learned => {
            Row::Port(address?)
        }
        _ => return None,
    };
    Some((message.header.ifindex, row))
}
