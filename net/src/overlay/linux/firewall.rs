//! The packet rules of the host's namespace and of a container's, each in a table of its own that is replaced whole.
//! Decides nothing: members and ports come from the caller.

use std::net::Ipv4Addr;

use skein_events::unit::Subnet;

use super::names::CONTAINER_TABLE;
use super::nft::{Hook, Piece, Transaction};
use crate::overlay::{DNS_ADDRESS, Error};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Where resolvers ask.
const DNS_PORT: u16 = 53;

/// What the host's rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostRules {
    pub(super) table: String,
    pub(super) bridge: String,
    pub(super) subnet: Subnet,
    /// The VXLAN port and who may send to it.
    pub(super) accept: Option<(u16, Vec<Ipv4Addr>)>,
}

impl HostRules {
    /// Replaces the table. What other tables say of these packets still counts.
    pub(super) fn apply(&self) -> Result<(), Error> {
        const MEMBERS: (&str, u32) = ("members", 1);
        let bridge = self.bridge.as_str();
        let mut to = Transaction::replacing(&self.table);
        to.chain("postrouting", Hook::PostroutingNat);
        to.rule(
            "postrouting",
            &[Piece::From(self.subnet), Piece::OutNot(bridge), Piece::Count, Piece::Masquerade],
        );
        // Nothing reaches a container from outside or from its neighbour unless it asked first.
        to.chain("forward", Hook::Forward);
        to.rule("forward", &[Piece::Out(bridge), Piece::Established, Piece::Accept]);
        to.rule("forward", &[Piece::Out(bridge), Piece::Count, Piece::Drop]);
        if let Some((port, members)) = &self.accept {
            to.addresses(MEMBERS.0, MEMBERS.1, members);
            to.chain("input", Hook::Input);
            to.rule(
                "input",
                &[
                    Piece::Protocol(UDP),
                    Piece::Port(*port),
                    Piece::FromNot(MEMBERS.0, MEMBERS.1),
                    Piece::Count,
                    Piece::Drop,
                ],
            );
        }
        to.commit()
    }
}

/// Whether a container's namespace has had our rules before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    /// It is fresh: nobody waits for a deletion.
    Nothing,
    /// Our rules for sockets that are gone.
    Ours,
}

/// Leads a container's questions for names to our sockets in its namespace; call it on a thread in there.
pub(super) fn container(before: Before, udp_port: u16, tcp_port: u16) -> Result<(), Error> {
    let mut to = match before {
        Before::Nothing => Transaction::making(CONTAINER_TABLE),
        Before::Ours => Transaction::replacing(CONTAINER_TABLE),
    };
    to.chain("output", Hook::OutputNat);
    for (protocol, port) in [(UDP, udp_port), (TCP, tcp_port)] {
        to.rule(
            "output",
            &[
                Piece::To(DNS_ADDRESS),
                Piece::Protocol(protocol),
                Piece::Port(DNS_PORT),
                Piece::Divert(DNS_ADDRESS, port),
            ],
        );
    }
    to.commit()
}
