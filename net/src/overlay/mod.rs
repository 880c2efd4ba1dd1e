//! The data plane of one node: overlay networks, container legs and the way out, as kernel objects.
//! Carries out desired sets and never chooses: addresses, identifiers and peers come from `skein_events::view::overlay`.
//!
//! `Linux` drives the kernel of the network namespace it was started in; `Fake` stands in for it in the simulator.

mod fake;
mod linux;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;

use futures::future::BoxFuture;
use skein_events::command::Occupied;
use skein_events::id::{NetworkId, TaskId};
use skein_events::unit::{Mac, Subnet};
use skein_events::view::overlay::NodeOverlay;

pub use fake::{Call, Fake, Fault};
pub(crate) use linux::is_gateway;
pub use linux::{Config, Linux};

/// Where containers ask for names; the address Docker's users know, answered without taking the container's port 53.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// One leg of a container, to be plugged in an overlay network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachLeg {
    /// The network; it must be in the set last synced.
    pub network: NetworkId,
    /// The container's address there.
    pub ip: Ipv4Addr,
    /// The container's Ethernet address there.
    pub mac: Mac,
    /// The network's addresses.
    pub subnet: Subnet,
}

/// Whether a container reaches what is not on its networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A default route over the node's gateway bridge, masqueraded.
    Reachable,
    /// All its networks are internal.
    Closed,
}

/// The sockets, bound inside a container's namespace, at which its questions for names arrive.
#[derive(Debug)]
pub struct DnsSockets {
    /// Datagrams.
    pub udp: UdpSocket,
    /// Connections, for answers too long for a datagram.
    pub tcp: TcpListener,
}

/// What a container got.
#[derive(Debug)]
pub struct Attached {
    /// The file to join to be in its network namespace.
    pub netns: PathBuf,
    /// Its address on the node's gateway bridge, if it has a way out.
    pub gateway_ip: Option<Ipv4Addr>,
    /// For the DNS server; `None` from the fake, which opens no socket.
    pub dns: Option<DnsSockets>,
}

/// A network that could not be brought to its desired state.
#[derive(Debug)]
pub struct Unsynced {
    /// The network.
    pub network: NetworkId,
    /// Why.
    pub error: Box<Error>,
}

/// What the kernel or another daemon refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A kernel operation failed.
    #[error("{what}")]
    Kernel {
        /// The operation and its object.
        what: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Another daemon in this network namespace uses the VXLAN port.
    #[error(
        "UDP port {port} carries VXLAN for the daemon of {other} (bridge {bridge}) in this network namespace: give one of them another --data-path-port, or, if that daemon is gone for good: ip link delete {bridge}"
    )]
    PortClash {
        /// The port.
        port: u16,
        /// Data root of the other.
        other: String,
        /// The other's bridge, whose alias says so.
        bridge: String,
    },
    /// Some other program uses the VXLAN port.
    #[error(
        "UDP port {port} is in use in this network namespace, by no daemon of ours: give another --data-path-port"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Another daemon's data root has the same short name.
    #[error("link {link} belongs to the daemon of {other} in this network namespace")]
    NameClash {
        /// The link both would use.
        link: String,
        /// Data root of the other.
        other: String,
    },
    /// No block of the pool is free.
    #[error("no free subnet for the gateway bridge in {pool}")]
    NoSubnet {
        /// Where it looked.
        pool: Subnet,
    },
    /// The gateway bridge's block is used up.
    #[error("no free address on the gateway bridge in {subnet}")]
    NoAddress {
        /// The block.
        subnet: Subnet,
    },
    /// A leg on a network that is not here.
    #[error("network {0} is not set up on this node")]
    UnknownNetwork(NetworkId),
    /// No such container namespace.
    #[error("task {0} has no network namespace on this node")]
    UnknownTask(TaskId),
    /// The saved subnet cannot be read.
    #[error("{path} holds no subnet")]
    BadFile {
        /// The file.
        path: PathBuf,
    },
    /// Some networks are not as desired; the others are.
    #[error("{} of the overlay networks could not be set up, first {}: {}", .0.len(), .0[0].network, .0[0].error)]
    Networks(Vec<Unsynced>),
    /// The fake was told to fail.
    #[error("injected fault")]
    Injected,
}

/// The kernel as the overlay's hands see it. Every call is idempotent; calls for one task must not overlap.
pub trait Kernel: Send + Sync {
    /// Reserves the swarm's VXLAN port, or names the daemon in this namespace that has it.
    fn claim(&self, port: u16) -> BoxFuture<'_, Result<(), Error>>;

    /// Blocks of addresses this machine has or reaches by itself, the gateway bridge's among them; without the default
    /// route. No network of the swarm may overlap one: containers would not find the way out to it.
    fn occupied(&self) -> BoxFuture<'_, Result<Vec<Occupied>, Error>>;

    /// Brings the kernel to the desired set, whatever was there: what is missing is made, what is foreign on our objects is removed.
    ///
    /// Level-triggered: call it on every new assignment and every minute. One bad network does not keep the others from being set up.
    fn sync<'a>(&'a self, desired: &'a NodeOverlay) -> BoxFuture<'a, Result<(), Error>>;

    /// Makes a container's network namespace with its legs, in the order given `eth0`, `eth1`, …, then the gateway leg.
    fn attach<'a>(
        &'a self,
        task: TaskId,
        legs: &'a [AttachLeg],
        outside: Outside,
    ) -> BoxFuture<'a, Result<Attached, Error>>;

    /// Opens new DNS sockets in a namespace that is there, leaving the container undisturbed.
    fn reattach(&self, task: TaskId) -> BoxFuture<'_, Result<Attached, Error>>;

    /// Removes a container's namespace and legs; nothing to remove is no error.
    fn detach(&self, task: TaskId) -> BoxFuture<'_, Result<(), Error>>;

    /// The tasks that have a namespace here, sorted.
    fn attached(&self) -> BoxFuture<'_, Result<Vec<TaskId>, Error>>;

    /// Removes every object of this daemon, for a node that leaves its swarm for good.
    fn remove_all(&self) -> BoxFuture<'_, Result<(), Error>>;
}
