//! A small encoder of nf_tables transactions: tables, chains, sets, and the few expressions our rules are made of.
//! Why not a crate or the `nft` program: docs/adr/0004-nftables.md. What it encodes is read back by `nft` in the tests.
//!
//! A transaction is one datagram: all of it holds, or none.

use std::io;
use std::net::Ipv4Addr;

use netlink_sys::protocols::NETLINK_NETFILTER;
use skein_events::unit::Subnet;

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
const NEW_GENERATION: u16 = 15;
const GET_GENERATION: u16 = 16;
const REQUEST: u16 = 0x1;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
const IPV4: u8 = 2;
const UNSPECIFIED: u8 = 0;

/// Elements of one message: an attribute's length has 16 bits, and one element takes 16 bytes.
const ELEMENTS_MAX: usize = 2_000;
/// The register every expression of ours loads into and compares: one value is in flight at a time.
const REGISTER: u32 = 1;
/// A second one, for the port of a translation.
const REGISTER_2: u32 = 2;
/// The register that ends a rule.
const VERDICT: u32 = 0;

/// Where a chain hangs in the path of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// Packets for this namespace; plain filter priority.
    Input,
    /// Packets passing through; plain filter priority.
    Forward,
    /// Packets made here, where destinations are translated.
    OutputNat,
    /// Packets leaving, where sources are translated.
    PostroutingNat,
}

impl Hook {
    /// Hook number, priority, chain type.
    fn parts(self) -> (u32, i32, &'static str) {
        match self {
            Self::Input => (1, 0, "filter"),
            Self::Forward => (2, 0, "filter"),
            Self::OutputNat => (3, -100, "nat"),
            Self::PostroutingNat => (4, 100, "nat"),
        }
    }
}

/// One piece of a rule; pieces are worked off in order until a match fails.
#[derive(Clone, Debug)]
pub(super) enum Piece<'a> {
    /// It leaves by this link.
    Out(&'a str),
    /// It leaves by another link.
    OutNot(&'a str),
    /// Its source is in this block.
    From(Subnet),
    /// Its source is not in this set of the table, by name and number.
    FromNot(&'a str, u32),
    /// Its destination is this address.
    To(Ipv4Addr),
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
    table: &'a str,
    bytes: Vec<u8>,
    sequence: u32,
}

impl<'a> Transaction<'a> {
    /// Begins one that makes the table, which is not there yet.
    pub(super) fn making(table: &'a str) -> Self {
        let mut transaction = Self { table, bytes: Vec::with_capacity(2048), sequence: 0 };
        transaction.message(BATCH_BEGIN, 0, UNSPECIFIED, SUBSYSTEM, |_| {});
        transaction.table(NEW_TABLE);
        transaction
    }
    /// Begins one that leaves an empty table, whether or not there was one.
    ///
    /// Slower than `making` by a grace period of the kernel, which waits for the readers of what is deleted.
    pub(super) fn replacing(table: &'a str) -> Self {
        let mut transaction = Self::removing(table);
        transaction.table(NEW_TABLE);
        transaction
    }
    /// Begins one that removes the table, whether or not there is one.
    pub(super) fn removing(table: &'a str) -> Self {
        // Deleting what is not there is an error, so it is made first.
        let mut transaction = Self::making(table);
        transaction.table(DELETE_TABLE);
        transaction
    }

    fn table(&mut self, kind: u16) {
        let table = self.table;
        self.change(kind, |at| at.text(1, table));
    }
    /// A chain that lets pass what no rule of it decides.
    pub(super) fn chain(&mut self, name: &str, hook: Hook) {
        let (table, (number, priority, kind)) = (self.table, hook.parts());
        self.change(NEW_CHAIN, |at| {
            at.text(1, table);
            at.text(3, name);
            at.nest(4, |at| {
                at.number(1, number);
                at.bytes(2, &priority.to_be_bytes());
            });
            at.text(7, kind);
        });
    }
    /// A set of addresses; `id` names it within the transaction.
    pub(super) fn addresses(&mut self, name: &str, id: u32, members: &[Ipv4Addr]) {
        const TYPE_IPV4: u32 = 7;
        let table = self.table;
        self.change(NEW_SET, |at| {
            at.text(1, table);
            at.text(2, name);
            at.number(3, 0);
            at.number(4, TYPE_IPV4);
            at.number(5, 4);
            at.number(10, id);
        });
        for members in members.chunks(ELEMENTS_MAX) {
            self.change(NEW_ELEMENTS, |at| {
                at.text(1, table);
                at.text(2, name);
                at.nest(3, |at| {
                    for member in members {
                        at.nest(1, |at| at.nest(1, |at| at.bytes(1, &member.octets())));
                    }
                });
                at.number(4, id);
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
        self.message(SUBSYSTEM << 8 | kind, flags, IPV4, 0, attributes);
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
        self.expression("payload", |at| {
            at.number(1, REGISTER);
            at.number(2, base);
            at.number(3, offset);
            at.number(4, length);
        });
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
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        self.meta(key);
        self.compare(not, &padded);
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
        const META_OUT: u32 = 7;
        const META_PROTOCOL: u32 = 16;
        const NETWORK: u32 = 1;
        const TRANSPORT: u32 = 2;
        /// Conntrack's bits for `established` and `related`, in the byte order of this machine.
        const KNOWN: u32 = 2 | 4;
        match self {
            Piece::Out(name) => at.link(META_OUT, false, name),
            Piece::OutNot(name) => at.link(META_OUT, true, name),
            Piece::From(block) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(block.prefix())).unwrap_or(0);
                at.payload(NETWORK, 12, 4);
                at.mask(&mask.to_be_bytes());
                at.compare(false, &block.base().octets());
            }
            Piece::FromNot(set, id) => {
                at.payload(NETWORK, 12, 4);
                at.expression("lookup", |at| {
                    at.text(1, set);
                    at.number(2, REGISTER);
                    at.number(4, *id);
                    at.number(5, 1);
                });
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
            Piece::Accept => at.verdict(1),
            Piece::Drop => at.verdict(0),
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
