//! The packet rules of the host's namespace and of a container's, each in a table of its own that is replaced whole.
//! Decides nothing: members and ports come from the caller.

use std::net::Ipv4Addr;

use skein_events::unit::Subnet;

use super::names::CONTAINER_TABLE;
use super::nft::{Family, Hook, Kind, Piece, Set, Transaction};
use crate::overlay::{DNS_ADDRESS, Error};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
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
    /// Ports of daemons, which containers do not reach.
    pub(super) guarded: Vec<u16>,
}

impl HostRules {
    /// Replaces the table. What other tables say of these packets still counts.
    pub(super) fn apply(&self) -> Result<(), Error> {
        const MEMBERS: Set = Set { name: "members", id: 1, kind: Kind::Address };
        const GUARDED: Set = Set { name: "guarded", id: 2, kind: Kind::Port };
        let bridge = self.bridge.as_str();
        let mut to = Transaction::replacing(Family::Ip, &self.table);
        to.chain("postrouting", Hook::PostroutingNat);
        to.rule(
            "postrouting",
            &[Piece::From(self.subnet), Piece::OutNot(bridge), Piece::Count, Piece::Masquerade],
        );
        // Nothing reaches a container from outside or from its neighbour unless it asked first.
        to.chain("forward", Hook::Forward);
        to.rule("forward", &[Piece::Out(bridge), Piece::Established, Piece::Accept]);
        to.rule("forward", &[Piece::Out(bridge), Piece::Count, Piece::Drop]);
        to.set(GUARDED, self.guarded.iter().map(|port| port.to_be_bytes().to_vec()));
        to.chain("input", Hook::Input);
        for protocol in [TCP, UDP] {
            let port = [Piece::Protocol(protocol), Piece::PortOneOf(GUARDED)];
            let from = [Piece::In(bridge)];
            to.rule("input", &[&from[..], &port, &[Piece::Count, Piece::Drop]].concat());
        }
        if let Some((port, members)) = &self.accept {
            to.set(MEMBERS, members.iter().map(|member| member.octets().to_vec()));
            // To a member, what a program sends is this machine's word: only tunnels speak to tunnels.
            let to_tunnels = [Piece::Protocol(UDP), Piece::Port(*port)];
            to.chain("output", Hook::Output);
            let program = [Piece::ToOneOf(MEMBERS), Piece::OfProgram, Piece::Count, Piece::Drop];
            to.rule("output", &[&to_tunnels[..], &program].concat());
            // Members send from elsewhere, and by the way the answer would go: not from this machine, and not from a
            // container, whatever source they write.
            for stranger in [Piece::FromNot(MEMBERS), Piece::In("lo"), Piece::WrongWay] {
                let to_tunnels = [Piece::Protocol(UDP), Piece::Port(*port)];
                to.rule(
                    "input",
                    &[&to_tunnels[..], &[stranger, Piece::Count, Piece::Drop]].concat(),
                );
            }
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
        Before::Nothing => Transaction::making(Family::Ip, CONTAINER_TABLE),
        Before::Ours => Transaction::replacing(Family::Ip, CONTAINER_TABLE),
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
