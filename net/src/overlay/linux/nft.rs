//! A small encoder of nf_tables transactions: tables, chains, sets, and the few expressions our rules are made of.
//! Why not a crate or the `nft` program: docs/adr/0004-nftables.md. What it encodes is read back by `nft` in the tests.
//!
//! A transaction is one datagram: all of it holds, or none.

use std::io;
use std::net::Ipv4Addr;

use netlink_sys::protocols::NETLINK_NETFILTER;
use skein_events::unit::{Mac, Subnet};

use super::netlink::{connect, kernel};
use crate::overlay::Error;

// Message kinds and flags of linux/netfilter/nfnetlink.h, nf_tables.h and linux/netlink.h.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;
const NEW_GENERATION: u16 = 15;
const GET_GENERATION: u16 = 16;
const REQUEST: u16 = 0x1;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
const IPV4: u8 = 2;
const BRIDGE: u8 = 7;
const UNSPECIFIED: u8 = 0;

/// Elements of one message: an attribute's length has 16 bits, and the longest element takes 40 bytes.
const ELEMENTS_MAX: usize = 1_500;
/// The register every expression of ours loads into and compares: one value is in flight at a time.
const REGISTER: u32 = 1;
/// A second one, for the port of a translation; right behind the first, so that a key of several parts goes over both.
const REGISTER_2: u32 = 2;
/// The part of that which is behind the 16 bytes of a link's name and the 8 of an Ethernet address (`NFT_REG32_06`).
const REGISTER_AFTER_MAC: u32 = 14;
/// The register that ends a rule.
const VERDICT: u32 = 0;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// Whose packets a table sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4 packets of this namespace.
    Ip,
    /// Frames of its bridges.
    Bridge,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Ip => IPV4,
            Self::Bridge => BRIDGE,
        }
    }
}

/// What a set's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// IPv4 addresses.
    Address,
    /// Ports.
    Port,
    /// What a port of a bridge may send from: its name, an Ethernet address, an IPv4 address.
    Grant,
}

impl Kind {
    /// The number by which `nft` knows the type, and its length.
    fn parts(self) -> (u32, u32) {
        const ADDRESS: u32 = 7;
        const ETHERNET: u32 = 9;
        const SERVICE: u32 = 13;
        const LINK_NAME: u32 = 41;
        match self {
            Self::Address => (ADDRESS, 4),
            Self::Port => (SERVICE, 2),
            // Types of a concatenation have six bits each, and each part is padded to four bytes.
            Self::Grant => (LINK_NAME << 12 | ETHERNET << 6 | ADDRESS, 28),
        }
    }
}

/// The element of a set of grants.
pub(super) fn grant(port: &str, mac: Mac, ip: Ipv4Addr) -> Vec<u8> {
    let mut element = link_name(port).to_vec();
    element.extend(mac.0);
    element.extend([0; 2]);
    element.extend(ip.octets());
    element
}

/// A set of a transaction's table: by name, and by number within the transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) id: u32,
    pub(super) kind: Kind,
}

/// Where a chain hangs in the path of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// Frames that enter a bridge by one of its ports, before it learns or forwards. What no rule accepts is dropped.
    BridgePrerouting,
    /// Frames that a bridge keeps for its own machine, also those it keeps without asking `BridgePrerouting`.
    BridgeInput,
    /// Packets for this namespace; plain filter priority.
    Input,
    /// Packets passing through; plain filter priority.
    Forward,
    /// Packets made here; plain filter priority.
    Output,
    /// Packets made here, where destinations are translated.
    OutputNat,
    /// Packets leaving, where sources are translated.
    PostroutingNat,
}

impl Hook {
    /// Hook number, priority, chain type, what becomes of the rest.
    fn parts(self) -> (u32, i32, &'static str, u32) {
        match self {
            Self::BridgePrerouting => (0, -200, "filter", DROP),
            Self::BridgeInput => (1, -200, "filter", ACCEPT),
            Self::Input => (1, 0, "filter", ACCEPT),
            Self::Forward => (2, 0, "filter", ACCEPT),
            Self::Output => (3, 0, "filter", ACCEPT),
            Self::OutputNat => (3, -100, "nat", ACCEPT),
            Self::PostroutingNat => (4, 100, "nat", ACCEPT),
        }
    }
}

/// One piece of a rule; pieces are worked off in order until a match fails.
#[derive(Clone, Debug)]
pub(super) enum Piece<'a> {
    /// It came by this link.
    In(&'a str),
    /// The answer to its source would not leave by the link it came by.
    WrongWay,
    /// It leaves by this link.
    Out(&'a str),
    /// It leaves by another link.
    OutNot(&'a str),
    /// Its source is in this block.
    From(Subnet),
    /// Its source is not in this set.
    FromNot(Set),
    /// Its destination is this address.
    To(Ipv4Addr),
    /// Its destination is in this block.
    Into(Subnet),
    /// Its destination is in this set.
    ToOneOf(Set),
    /// Its destination port is in this set; only after `Protocol`.
    PortOneOf(Set),
    /// A program has sent it; what the kernel makes, such as a tunnel's packets, is nobody's.
    OfProgram,
    /// A frame to a group of the link itself, which bridges do not forward (IEEE 802.1D).
    ToLinkGroup,
    /// A frame's type, as it stands in the frame: one with a VLAN tag has that type.
    EtherType(u16),
    /// An ARP message about IPv4 over Ethernet; only after `EtherType`.
    PlainArp,
    /// A frame's port, sender and IPv4 source are in this set; only after `EtherType`.
    Granted(Set),
    /// A frame's port with the sender it has, and with the one it claims to have, and the claimed IPv4 address are in this
    /// set; only after `PlainArp`.
    GrantedArp(Set),
    /// It is of this protocol.
    Protocol(u8),
    /// Its destination port is this; only after `Protocol`.
    Port(u16),
    /// It belongs to a connection that was let through before.
    Established,
    /// Count it.
    Count,
    /// Let it pass this table.
    Accept,
    /// Drop it.
    Drop,
    /// Give it the source address of the link it leaves by.
    Masquerade,
    /// Send it to this address and port instead.
    Divert(Ipv4Addr, u16),
}

/// A transaction being written.
pub(super) struct Transaction<'a> {
    family: Family,
    table: &'a str,
    bytes: Vec<u8>,
    sequence: u32,
}

impl<'a> Transaction<'a> {
    /// Begins one that changes elements of sets of a table that is there.
    pub(super) fn changing(family: Family, table: &'a str) -> Self {
        let bytes = Vec::with_capacity(2048);
        let mut transaction = Self { family, table, bytes, sequence: 0 };
        transaction.message(BATCH_BEGIN, 0, UNSPECIFIED, SUBSYSTEM, |_| {});
        transaction
    }
    /// Begins one that makes the table, which is not there yet.
    pub(super) fn making(family: Family, table: &'a str) -> Self {
        let mut transaction = Self::changing(family, table);
        transaction.table(NEW_TABLE);
        transaction
    }
    /// Begins one that leaves an empty table, whether or not there was one.
    ///
    /// Slower than `making` by a grace period of the kernel, which waits for the readers of what is deleted.
    pub(super) fn replacing(family: Family, table: &'a str) -> Self {
        let mut transaction = Self::removing(family, table);
        transaction.table(NEW_TABLE);
        transaction
    }
    /// Begins one that removes the table, whether or not there is one.
    pub(super) fn removing(family: Family, table: &'a str) -> Self {
        // Deleting what is not there is an error, so it is made first.
        let mut transaction = Self::making(family, table);
        transaction.table(DELETE_TABLE);
        transaction
    }

    fn table(&mut self, kind: u16) {
        let table = self.table;
        self.change(kind, |at| at.text(1, table));
    }
    /// A chain; what becomes of what no rule of it decides is the hook's.
    pub(super) fn chain(&mut self, name: &str, hook: Hook) {
        let (table, (number, priority, kind, policy)) = (self.table, hook.parts());
        self.change(NEW_CHAIN, |at| {
            at.text(1, table);
            at.text(3, name);
            at.nest(4, |at| {
                at.number(1, number);
                at.bytes(2, &priority.to_be_bytes());
            });
            at.number(5, policy);
            at.text(7, kind);
        });
    }
    /// A set with these elements.
    pub(super) fn set(&mut self, set: Set, elements: impl IntoIterator<Item = Vec<u8>>) {
        let (table, (kind, length)) = (self.table, set.kind.parts());
        self.change(NEW_SET, |at| {
            at.text(1, table);
            at.text(2, set.name);
            at.number(3, 0);
            at.number(4, kind);
            at.number(5, length);
            at.number(10, set.id);
        });
        self.elements(NEW_ELEMENTS, set.name, Some(set.id), elements);
    }
    /// Further elements of a set that is there.
    pub(super) fn add(&mut self, set: Set, elements: impl IntoIterator<Item = Vec<u8>>) {
        self.elements(NEW_ELEMENTS, set.name, None, elements);
    }
    /// Fewer elements of a set that is there.
    pub(super) fn remove(&mut self, set: Set, elements: impl IntoIterator<Item = Vec<u8>>) {
        self.elements(DELETE_ELEMENTS, set.name, None, elements);
    }
    fn elements(
        &mut self,
        kind: u16,
        name: &str,
        id: Option<u32>,
        elements: impl IntoIterator<Item = Vec<u8>>,
    ) {
        let table = self.table;
        let elements: Vec<_> = elements.into_iter().collect();
        for elements in elements.chunks(ELEMENTS_MAX) {
            self.change(kind, |at| {
                at.text(1, table);
                at.text(2, name);
                at.nest(3, |at| {
                    for element in elements {
                        at.nest(1, |at| at.nest(1, |at| at.bytes(1, element)));
                    }
                });
                if let Some(id) = id {
                    at.number(4, id);
                }
            });
        }
    }
    /// A rule at the end of a chain.
    pub(super) fn rule(&mut self, chain: &str, pieces: &[Piece<'_>]) {
        let table = self.table;
        self.change_with(NEW_RULE, REQUEST | CREATE | APPEND, |at| {
            at.text(1, table);
            at.text(2, chain);
            at.nest(4, |at| pieces.iter().for_each(|piece| piece.write(at)));
        });
    }

    /// Makes it so, in the namespace of this thread.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        self.message(BATCH_END, 0, UNSPECIFIED, SUBSYSTEM, |_| {});
        let what = || format!("set the rules of table {}", self.table);
        let socket = connect(NETLINK_NETFILTER)?;
        // Not acknowledged: when `send` returns it is done, and only errors have been queued.
        let sent = socket.send(&self.bytes, 0).map_err(|source| kernel(what(), source))?;
        assert_eq!(sent, self.bytes.len(), "a datagram goes whole or not at all");
        let mut buffer = Vec::with_capacity(16 * 1024);
        match socket.recv(&mut buffer, libc::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(kernel(what(), error)),
            Ok(_) => Err(kernel(what(), refusal(&buffer))),
        }
    }

    fn change(&mut self, kind: u16, attributes: impl FnOnce(&mut Attributes<'_>)) {
        self.change_with(kind, REQUEST | CREATE, attributes);
    }
    fn change_with(&mut self, kind: u16, flags: u16, attributes: impl FnOnce(&mut Attributes<'_>)) {
        let family = self.family.number();
        self.message(SUBSYSTEM << 8 | kind, flags, family, 0, attributes);
    }
    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        attributes: impl FnOnce(&mut Attributes<'_>),
    ) {
        message(
            &mut self.bytes,
            kind,
            flags | REQUEST,
            self.sequence,
            family,
            resource,
            attributes,
        );
        self.sequence += 1;
    }
}

/// The generation of a namespace whose rules were never changed.
pub(super) const UNTOUCHED: u32 = 1;

/// The number of the last change to the rules of this thread's namespace, by anybody.
pub(super) fn generation() -> Result<u32, Error> {
    const WHAT: &str = "read the generation of the packet rules";
    let socket = connect(NETLINK_NETFILTER)?;
    let mut request = Vec::new();
    message(&mut request, SUBSYSTEM << 8 | GET_GENERATION, REQUEST, 0, UNSPECIFIED, 0, |_| {});
    socket.send(&request, 0).map_err(|source| kernel(WHAT, source))?;
    let mut reply = Vec::with_capacity(4096);
    socket.recv(&mut reply, 0).map_err(|source| kernel(WHAT, source))?;
    // Header 16, nfgenmsg 4, then the first attribute: length 2, kind 2, the number.
    let kind = reply.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    match (kind, reply.get(20..28)) {
        (Some(kind), Some(&[8, 0, 1, 0, a, b, c, d]))
            if kind == SUBSYSTEM << 8 | NEW_GENERATION =>
        {
            Ok(u32::from_be_bytes([a, b, c, d]))
        }
        _ => Err(kernel(WHAT, refusal(&reply))),
    }
}

fn message(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    attributes: impl FnOnce(&mut Attributes<'_>),
) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    attributes(&mut Attributes { bytes });
    let length = u32::try_from(bytes.len() - start).expect("a message is far under 4 GiB");
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// A link's name as the kernel compares it.
fn link_name(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    padded
}

/// The error in the first reply; anything else is none we can name.
fn refusal(reply: &[u8]) -> io::Error {
    let word = |at: usize| reply.get(at..at + 4).and_then(|w| <[u8; 4]>::try_from(w).ok());
    let is_error = reply.get(4..6) == Some(&ERROR.to_ne_bytes());
    match word(16).map(i32::from_ne_bytes) {
        Some(code) if is_error => io::Error::from_raw_os_error(code.wrapping_neg()),
        _ => io::Error::from(io::ErrorKind::InvalidData),
    }
}

/// Writes netlink attributes; numbers of this subsystem are big-endian.
struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.with(kind, |at| at.bytes.extend(value));
    }
    fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }
    fn text(&mut self, kind: u16, value: &str) {
        self.with(kind, |at| {
            at.bytes.extend(value.as_bytes());
            at.bytes.push(0);
        });
    }
    fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        self.with(kind | NESTED, inside);
    }
    fn with(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        inside(self);
        let length = u16::try_from(self.bytes.len() - start).expect("lists are cut to fit");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Self)) {
        self.nest(1, |at| {
            at.text(1, name);
            at.nest(2, data);
        });
    }
    fn meta(&mut self, key: u32) {
        self.expression("meta", |at| {
            at.number(1, REGISTER);
            at.number(2, key);
        });
    }
    fn payload(&mut self, base: u32, offset: u32, length: u32) {
        self.payload_into(REGISTER, base, offset, length);
    }
    fn compare(&mut self, not: bool, value: &[u8]) {
        self.expression("cmp", |at| {
            at.number(1, REGISTER);
            at.number(2, u32::from(not));
            at.nest(3, |at| at.bytes(1, value));
        });
    }
    fn mask(&mut self, mask: &[u8; 4]) {
        self.expression("bitwise", |at| {
            at.number(1, REGISTER);
            at.number(2, REGISTER);
            at.number(3, 4);
            at.nest(4, |at| at.bytes(1, mask));
            at.nest(5, |at| at.bytes(1, &[0; 4]));
        });
    }
    fn link(&mut self, key: u32, not: bool, name: &str) {
        self.meta(key);
        self.compare(not, &link_name(name));
    }
    /// Loads a part of the packet into another register than the usual one.
    fn payload_into(&mut self, register: u32, base: u32, offset: u32, length: u32) {
        self.expression("payload", |at| {
            at.number(1, register);
            at.number(2, base);
            at.number(3, offset);
            at.number(4, length);
        });
    }
    fn block(&mut self, base: u32, offset: u32, block: Subnet) {
        let mask = u32::MAX.checked_shl(32 - u32::from(block.prefix())).unwrap_or(0);
        self.payload(base, offset, 4);
        self.mask(&mask.to_be_bytes());
        self.compare(false, &block.base().octets());
    }
    fn lookup(&mut self, set: Set, not: bool) {
        self.expression("lookup", |at| {
            at.text(1, set.name);
            at.number(2, REGISTER);
            at.number(4, set.id);
            at.number(5, u32::from(not));
        });
    }
    fn verdict(&mut self, code: u32) {
        self.expression("immediate", |at| {
            at.number(1, VERDICT);
            at.nest(2, |at| at.nest(2, |at| at.number(1, code)));
        });
    }
    fn load(&mut self, register: u32, value: &[u8]) {
        self.expression("immediate", |at| {
            at.number(1, register);
            at.nest(2, |at| at.bytes(1, value));
        });
    }
}

impl Piece<'_> {
    fn write(&self, at: &mut Attributes<'_>) {
        const META_IN: u32 = 6;
        const META_OUT: u32 = 7;
        const META_PROTOCOL: u32 = 16;
        const LINK: u32 = 0;
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        /// Conntrack's bits for `established` and `related`, in the byte order of this machine.
        const KNOWN: u32 = 2 | 4;
        match self {
            Piece::In(name) => at.link(META_IN, false, name),
            Piece::WrongWay => {
                /// The link (`NFT_FIB_RESULT_OIF`) by which an answer to the source leaves, if it is the one it came by.
                const SOURCE_BY_THIS_LINK: u32 = 1 | 8;
                at.expression("fib", |at| {
                    at.number(1, REGISTER);
                    at.number(2, 1);
                    at.number(3, SOURCE_BY_THIS_LINK);
                });
                at.compare(false, &[0; 4]);
            }
            Piece::Out(name) => at.link(META_OUT, false, name),
            Piece::OutNot(name) => at.link(META_OUT, true, name),
            Piece::From(block) => at.block(NETWORK, 12, *block),
            Piece::Into(block) => at.block(NETWORK, 16, *block),
            Piece::FromNot(set) => {
                at.payload(NETWORK, 12, 4);
                at.lookup(*set, true);
            }
            Piece::ToOneOf(set) => {
                at.payload(NETWORK, 16, 4);
                at.lookup(*set, false);
            }
            Piece::PortOneOf(set) => {
                at.payload(TRANSPORT, 2, 2);
                at.lookup(*set, false);
            }
            Piece::OfProgram => {
                const META_USER: u32 = 10;
                const AT_LEAST: u32 = 5;
                at.meta(META_USER);
                at.expression("cmp", |at| {
                    at.number(1, REGISTER);
                    at.number(2, AT_LEAST);
                    at.nest(3, |at| at.bytes(1, &[0; 4]));
                });
            }
            Piece::ToLinkGroup => {
                // All of the group's address but its last octet: the few beyond 0x0f are no container's either.
                at.payload(LINK, 0, 5);
                at.compare(false, &[0x01, 0x80, 0xc2, 0, 0]);
            }
            Piece::EtherType(kind) => {
                at.payload(LINK, 12, 2);
                at.compare(false, &kind.to_be_bytes());
            }
            Piece::PlainArp => {
                // Ethernet, IPv4, and the lengths of their addresses: where everything else is depends on these.
                at.payload(NETWORK, 0, 4);
                at.compare(false, &[0, 1, 8, 0]);
                at.payload(NETWORK, 4, 2);
                at.compare(false, &[6, 4]);
            }
            Piece::Granted(set) => {
                at.meta(META_IN);
                at.payload_into(REGISTER_2, LINK, 6, 6);
                at.payload_into(REGISTER_AFTER_MAC, NETWORK, 12, 4);
                at.lookup(*set, false);
            }
            Piece::GrantedArp(set) => {
                for (base, offset) in [(LINK, 6), (NETWORK, 8)] {
                    at.meta(META_IN);
                    at.payload_into(REGISTER_2, base, offset, 6);
                    at.payload_into(REGISTER_AFTER_MAC, NETWORK, 14, 4);
                    at.lookup(*set, false);
                }
            }
            Piece::To(address) => {
                at.payload(NETWORK, 16, 4);
                at.compare(false, &address.octets());
            }
            Piece::Protocol(number) => {
                at.meta(META_PROTOCOL);
                at.compare(false, &[*number]);
            }
            Piece::Port(port) => {
                at.payload(TRANSPORT, 2, 2);
                at.compare(false, &port.to_be_bytes());
            }
            Piece::Established => {
                at.expression("ct", |at| {
                    at.number(1, REGISTER);
                    at.number(2, 0);
                });
                at.mask(&KNOWN.to_ne_bytes());
                at.compare(true, &[0; 4]);
            }
            Piece::Count => at.expression("counter", |_| {}),
            Piece::Accept => at.verdict(ACCEPT),
            Piece::Drop => at.verdict(DROP),
            Piece::Masquerade => at.expression("masq", |_| {}),
            Piece::Divert(address, port) => {
                at.load(REGISTER, &address.octets());
                at.load(REGISTER_2, &port.to_be_bytes());
                at.expression("nat", |at| {
                    at.number(1, 1);
                    at.number(2, u32::from(IPV4));
                    at.number(3, REGISTER);
                    at.number(5, REGISTER_2);
                });
            }
        }
    }
}

/// Waits for somebody to remove something of a table of this thread's namespace.
pub(super) struct Watch {
    socket: netlink_sys::Socket,
}

impl Watch {
    /// Begins to listen. `pause` is how long `removed` waits.
    pub(super) fn open(pause: std::time::Duration) -> Result<Self, Error> {
        /// `NFNLGRP_NFTABLES`.
        const GROUP: u32 = 7;
        let listen = || {
            let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.add_membership(GROUP)?;
            rustix::net::sockopt::set_socket_timeout(
                &socket,
                rustix::net::sockopt::Timeout::Recv,
                Some(pause),
            )?;
            io::Result::Ok(socket)
        };
        let socket =
            listen().map_err(|source| kernel("listen to changes of packet rules", source))?;
        Ok(Self { socket })
    }

    /// Whether something of the table was removed, by whomever, before the pause was over.
    pub(super) fn removed(&self, table: &str) -> bool {
        /// Deleted tables, chains, rules, sets and elements.
        const REMOVALS: [u16; 5] = [DELETE_TABLE, 5, 8, 11, DELETE_ELEMENTS];
        let mut buffer = Vec::with_capacity(64 * 1024);
        match self.socket.recv(&mut buffer, 0) {
            Ok(_) => {}
            // More happened than the kernel keeps for us: anything may have.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return true,
            Err(_) => return false,
        }
        let mut rest = buffer.as_slice();
        while let Some(length) = rest.first_chunk::<4>() {
            let length = usize::try_from(u32::from_ne_bytes(*length)).expect("32 bits fit");
            let Some(message) = rest.get(..length).filter(|message| message.len() >= 20) else {
                return false;
            };
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            let family = message[16];
            // The table's name is the first attribute of all of them.
            let named = message.get(24..).is_some_and(|name| {
                name.starts_with(table.as_bytes()) && name.get(table.len()) == Some(&0)
            });
            if kind >> 8 == SUBSYSTEM
                && REMOVALS.contains(&(kind & 0xff))
                && named
                && family == IPV4
            {
                return true;
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        false
    }
}
