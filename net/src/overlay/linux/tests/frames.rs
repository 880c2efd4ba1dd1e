//! Frames as a hostile container makes them: written and read at a packet socket, past the container's own stack.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use skein_events::unit::Mac;

use super::netns::{self, Netns};

/// All frames (`ETH_P_ALL`), as the kernel wants it.
const ALL: u16 = 3_u16.to_be();
/// `PACKET_IGNORE_OUTGOING`.
const IGNORE_OUTGOING: libc::c_int = 23;
pub(super) const EVERYBODY: Mac = Mac([0xff; 6]);

/// A packet socket of one link.
pub(super) struct Tap(OwnedFd);

impl Tap {
    pub(super) fn open(place: &Netns, link: &str) -> Self {
        netns::on_thread(|| {
            place.enter().unwrap();
            let index = nix::net::if_::if_nametoindex(link).unwrap();
            // SAFETY: a plain call; its result is checked.
            let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(ALL)) };
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            // SAFETY: the descriptor is fresh and nobody else's.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            // SAFETY: zeroes are an address of no family.
            let mut at: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            at.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
            at.sll_protocol = ALL;
            at.sll_ifindex = i32::try_from(index).unwrap();
            let length = libc::socklen_t::try_from(size_of_val(&at)).unwrap();
            // SAFETY: the address is whole and outlives the call.
            let bound =
                unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&at).cast(), length) };
            assert_eq!(bound, 0, "{}", io::Error::last_os_error());
            // What the link's own machine sends, such as a complaint that quotes what came, is not heard.
            let yes: libc::c_int = 1;
            let length = libc::socklen_t::try_from(size_of_val(&yes)).unwrap();
            // SAFETY: the value is whole and outlives the call.
            let set = unsafe {
                let value = std::ptr::from_ref(&yes).cast();
                libc::setsockopt(fd.as_raw_fd(), libc::SOL_PACKET, IGNORE_OUTGOING, value, length)
            };
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
            let wait = Some(std::time::Duration::from_secs(5));
            let receive = rustix::net::sockopt::Timeout::Recv;
            rustix::net::sockopt::set_socket_timeout(&fd, receive, wait).unwrap();
            Self(fd)
        })
    }
    pub(super) fn send(&self, frame: &[u8]) {
        assert_eq!(rustix::io::write(&self.0, frame).unwrap(), frame.len());
    }
    /// Everything that comes, up to a frame in which this text stands.
    pub(super) fn until(&self, end: &[u8]) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        let mut buffer = [0; 2_000];
        loop {
            let length = rustix::io::read(&self.0, &mut buffer).expect("the last frame comes");
            heard.push(buffer[..length].to_vec());
            if holds(&buffer[..length], end) {
                return heard;
            }
        }
    }
}

pub(super) fn holds(frame: &[u8], text: &[u8]) -> bool {
    frame.windows(text.len()).any(|window| window == text)
}

pub(super) fn ethernet(to: Mac, from: Mac, kind: u16, rest: &[u8]) -> Vec<u8> {
    [&to.0[..], &from.0, &kind.to_be_bytes(), rest].concat()
}

/// A datagram of UDP without a checksum, in a packet with one.
pub(super) fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + text.len()).unwrap().to_be_bytes();
    let rest = [&from.1.to_be_bytes()[..], &to.1.to_be_bytes(), &length, &[0, 0], text].concat();
    ip(from.0, to.0, 17, &rest)
}

/// The first packet of a connection.
pub(super) fn syn(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), text: &[u8]) -> Vec<u8> {
    let header = [0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
    let rest = [&from.1.to_be_bytes()[..], &to.1.to_be_bytes(), &header, text].concat();
    ip(from.0, to.0, 6, &rest)
}

pub(super) fn ip(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + rest.len()).unwrap().to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [&header[..], rest].concat()
}

/// A ping, with what is to come back.
pub(super) fn ping(from: Ipv4Addr, to: Ipv4Addr, text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0, "words are summed");
    let mut message = [&[8, 0, 0, 0, 0, 7, 0, 7], text].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    ip(from, to, 1, &message)
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()).to_be_bytes()
}

/// An ARP message: 1 asks, 2 answers.
pub(super) fn arp(what: u8, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, what];
    for (mac, ip) in [sender, target] {
        message.extend(mac.0);
        message.extend(ip.octets());
    }
    message
}

/// An Ethernet frame in a VXLAN datagram's text.
pub(super) fn vxlan(vni: u32, frame: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = vni.to_be_bytes();
    [&[8, 0, 0, 0, a, b, c, 0][..], frame].concat()
}
