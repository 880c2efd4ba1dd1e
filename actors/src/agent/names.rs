//! The seam to the DNS server: which containers ask, and which names there are.

use std::collections::BTreeMap;

use skein_events::id::{NetworkId, TaskId};
use skein_events::view::dns::Zone;
use skein_net::overlay::DnsSockets;

/// Answers containers' questions for names.
pub trait Names: Send + Sync + 'static {
    /// Takes over the zones of this node's networks.
    fn update(&self, zones: &BTreeMap<NetworkId, Zone>);
    /// Answers a container's questions, its networks in this order, until told to forget it.
    fn serve(&self, task: TaskId, sockets: DnsSockets, networks: Vec<NetworkId>, forward: bool);
    /// A container asks no more.
    fn forget(&self, task: TaskId);
}

/// Answers nothing: for the simulator, whose containers open no sockets.
#[derive(Debug, Default)]
pub struct Silent;

impl Names for Silent {
    fn update(&self, _: &BTreeMap<NetworkId, Zone>) {}
    fn serve(&self, _: TaskId, _: DnsSockets, _: Vec<NetworkId>, _: bool) {}
    fn forget(&self, _: TaskId) {}
}
