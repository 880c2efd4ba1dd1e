//! The seam to the DNS server: which containers ask, and which names there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use skein_events::id::{NetworkId, TaskId};
use skein_events::view::dns::Zone;
use skein_net::dns::{ContainerZones, DnsServer};
use skein_net::overlay::DnsSockets;

/// Answers containers' questions for names.
pub trait Names: Send + Sync + 'static {
    /// Takes over the zones of this node's networks.
    fn update(&self, zones: &BTreeMap<NetworkId, Zone>);
    /// Answers a container's questions, until told to forget it.
    fn serve(&self, task: TaskId, sockets: DnsSockets, asker: Asker);
    /// A container asks no more.
    fn forget(&self, task: TaskId);
    /// What `resolv.conf` of a container says that is made now, without what its service has of its own.
    fn resolv_conf(&self) -> String;
}

/// What is known of a container that asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Its networks: the first that has a name answers.
    pub networks: Vec<NetworkId>,
    /// Whether other names are asked of resolvers.
    pub forward: bool,
    /// Which resolvers; the host's if there are none.
    pub resolvers: Vec<IpAddr>,
    /// How patiently those of its own are asked: options in the manner of `resolv.conf`.
    pub options: Vec<String>,
}

/// Answers nothing: for the simulator, whose containers open no sockets.
#[derive(Debug, Default)]
pub struct Silent;

impl Names for Silent {
    fn update(&self, _: &BTreeMap<NetworkId, Zone>) {}
    fn serve(&self, _: TaskId, _: DnsSockets, _: Asker) {}
    fn forget(&self, _: TaskId) {}
    fn resolv_conf(&self) -> String {
        String::new()
    }
}

/// The DNS server, kept up to date: each container sees the zones of its own networks.
pub struct Served {
    server: DnsServer,
    runtime: tokio::runtime::Handle,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    zones: BTreeMap<NetworkId, Arc<Zone>>,
    containers: BTreeMap<TaskId, Container>,
}

struct Container {
    view: Arc<ArcSwap<ContainerZones>>,
    networks: Vec<NetworkId>,
    forward: bool,
}

impl Served {
    /// Serves on a runtime of its own, apart from the actors.
    pub fn new(server: DnsServer, runtime: tokio::runtime::Handle) -> Self {
        Self { server, runtime, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of this lock panics")
    }
}

fn view(
    zones: &BTreeMap<NetworkId, Arc<Zone>>,
    networks: &[NetworkId],
    forward: bool,
) -> ContainerZones {
    ContainerZones {
        zones: networks.iter().filter_map(|n| zones.get(n)).cloned().collect(),
        forward,
    }
}

impl Names for Served {
    fn update(&self, zones: &BTreeMap<NetworkId, Zone>) {
        let mut known = self.known();
        let mut changed = BTreeSet::new();
        for (id, zone) in zones {
            if known.zones.get(id).is_none_or(|old| **old != *zone) {
                known.zones.insert(*id, Arc::new(zone.clone()));
                changed.insert(*id);
            }
        }
        known.zones.retain(|id, _| zones.contains_key(id) || !changed.insert(*id));
        let Known { zones, containers } = &*known;
        for container in containers.values() {
            if container.networks.iter().any(|n| changed.contains(n)) {
                let view = view(zones, &container.networks, container.forward);
                container.view.store(Arc::new(view));
            }
        }
    }

    fn serve(&self, task: TaskId, sockets: DnsSockets, asker: Asker) {
        let Asker { networks, forward, resolvers, options } = asker;
        let mut known = self.known();
        let zones = view(&known.zones, &networks, forward);
        let view = Arc::new(ArcSwap::from_pointee(zones));
        known.containers.insert(task, Container { view: Arc::clone(&view), networks, forward });
        drop(known);
        let _on = self.runtime.enter();
        if let Err(error) = self.server.serve(task, sockets, view, &resolvers, &options) {
            tracing::error!(%task, %error, "a container's questions for names are not answered");
        }
    }

    fn forget(&self, task: TaskId) {
        self.known().containers.remove(&task);
        let _on = self.runtime.enter();
        self.server.stop(task);
    }

    fn resolv_conf(&self) -> String {
        self.server.resolv_conf()
    }
}
