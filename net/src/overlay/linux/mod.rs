//! The Linux kernel behind `Kernel`: netlink messages from threads that visit namespaces, no other program.
//! The "host" is the network namespace of the thread that calls `start`, so a machine can hold many daemons.

mod container;
mod firewall;
mod gateway;
mod guard;
mod link;
mod names;
mod netlink;
mod netns;
mod network;
mod nft;
mod outlet;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use skein_events::command::Occupied;
use skein_events::id::{NetworkId, TaskId};
use skein_events::unit::Subnet;
use skein_events::view::overlay::NodeOverlay;

use self::container::WayOut;
use self::firewall::HostRules;
use self::gateway::Addresses;
use self::guard::{Closed, Grant, Guards, Place, Rules};
pub(crate) use self::names::is_gateway;
use self::names::{Names, Owner, UPLINK};
use self::netlink::{Route, kernel};
use self::netns::Netns;
use super::{AttachLeg, Attached, Error, Kernel, Outside, Unsynced};

/// Ports on which daemons talk to each other: Docker's for managers and for gossip.
const CONTROL_PORTS: [u16; 2] = [2377, 7946];
/// How long the thread that watches the packet rules may outlive its daemon's kernel.
const WATCH_PAUSE: Duration = Duration::from_secs(1);
/// File of the data root that keeps the gateway bridge's block over restarts.
const SUBNET_FILE: &str = "gateway-subnet";

/// Who the daemon is and where it keeps things.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data root's id: every name in the kernel derives from it.
    pub id: String,
    /// The data root: keeps the gateway block, and names this daemon to another one it clashes with.
    pub data_root: PathBuf,
    /// The run root: namespaces are pinned in its folder `netns`.
    pub run_root: PathBuf,
    /// Blocks the gateway bridge must not use, such as the swarm's address pools.
    pub avoid: Vec<Subnet>,
    /// Ports of this daemon that containers must not reach, beside those daemons talk to each other on.
    pub guarded: Vec<u16>,
}

/// The kernel of this machine. Its calls block, so they run on tokio's blocking pool.
#[derive(Clone)]
pub struct Linux {
    inner: Arc<Inner>,
}

struct Inner {
    names: Names,
    host: Netns,
    subnet: Subnet,
    root: String,
    guarded: BTreeSet<u16>,
    addresses: Mutex<Addresses>,
    guards: Guards,
    /// What containers do not reach; held over every change of the namespace of the ways out.
    outlet: Mutex<Closed>,
    /// Held over a whole `claim`, `sync` or `remove_all`: one of them at a time.
    synced: Mutex<Synced>,
}

/// What was last made so in the host's namespace.
#[derive(Default)]
struct Synced {
    port: Option<u16>,
    members: Vec<Ipv4Addr>,
    /// The rules, and the kernel's generation right after they were set.
    rules: Option<(HostRules, u32)>,
}

impl Linux {
    /// Makes the gateway bridge be there and learns what earlier runs left. Blocks for some milliseconds.
    ///
    /// The namespace of the calling thread becomes the host's.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let names = Names::new(&config.id, &config.run_root);
        let folder = |source| kernel(format!("make {}", names.folder().display()), source);
        fs::create_dir_all(names.folder()).map_err(folder)?;
        fs::create_dir_all(&config.data_root).map_err(folder)?;
        let this = |source| kernel("open the network namespace of this thread", source);
        let host = Netns::of_this_thread().map_err(this)?;
        let mut route = Route::open()?;
        let file = config.data_root.join(SUBNET_FILE);
        let subnet = gateway::subnet(&mut route, &file, &names, &config.avoid)?;
        let addresses = Mutex::new(recover(&mut route, &names, subnet)?);
        let root = config.data_root.display().to_string();
        let inner = Arc::new(Inner {
            guarded: CONTROL_PORTS.into_iter().chain(config.guarded.iter().copied()).collect(),
            guards: Guards::default(),
            outlet: Mutex::default(),
            synced: Mutex::default(),
            names,
            host,
            subnet,
            root,
            addresses,
        });
        inner.ensure_host(&mut locked(&inner.synced))?;
        watch(&inner)?;
        Ok(Self { inner })
    }

    fn blocking<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, Error>> {
        let inner = self.inner.clone();
        async move {
            match tokio::task::spawn_blocking(move || work(&inner)).await {
                Ok(result) => result,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(kernel("finish", io::ErrorKind::Interrupted.into())),
                },
            }
        }
        .boxed()
    }
}

/// Who has which address on the ways out. Ports that an earlier version plugged in the host's own bridge are removed: their
/// containers get new ones.
fn recover(route: &mut Route, names: &Names, subnet: Subnet) -> Result<Addresses, Error> {
    let mut ports = link::links(route)?;
    ports.retain(|link| names.gateway_port_of(&link.name).is_some());
    let mut batch = netlink::Batch::new();
    for port in &ports {
        let message = link::remove(port.index);
        batch.push(format!("remove link {}", port.name), netlink::Mode::Remove, message);
    }
    route.apply(batch)?;
    let file = names.outlet_file();
    if netns::is_pinned(&file) {
        let at = |source| kernel("look at the ways out", source);
        let inside = Netns::open(&file).map_err(at)?;
        ports.extend(netns::on_thread(|| {
            inside.enter().map_err(at)?;
            link::links(&mut Route::open()?)
        })?);
    }
    Ok(Addresses::recover(&ports, names, subnet))
}

/// Writes the host's rules again as soon as somebody removes them, as `nft flush ruleset` does: until the next sync would be
/// up to a minute.
fn watch(inner: &Arc<Inner>) -> Result<(), Error> {
    let (weak, table) = (Arc::downgrade(inner), inner.names.table());
    let changes = nft::Watch::open(WATCH_PAUSE)?;
    let watching = move || {
        loop {
            let removed = changes.removed(&table);
            let Some(inner) = weak.upgrade() else { return };
            if !removed {
                continue;
            }
            if let Err(error) = inner.heal_rules() {
                tracing::warn!(%error, "the packet rules were removed and cannot be written again");
            }
        }
    };
    let thread = std::thread::Builder::new().name("packet-rules".to_owned());
    thread.spawn(watching).map(drop).map_err(|source| kernel("watch the packet rules", source))
}

impl Kernel for Linux {
    fn claim(&self, port: u16) -> BoxFuture<'_, Result<(), Error>> {
        self.blocking(move |inner| inner.claim(&mut locked(&inner.synced), port))
    }
    fn occupied(&self) -> BoxFuture<'_, Result<Vec<Occupied>, Error>> {
        self.blocking(Inner::occupied)
    }
    fn sync<'a>(&'a self, desired: &'a NodeOverlay) -> BoxFuture<'a, Result<(), Error>> {
        let desired = desired.clone();
        self.blocking(move |inner| inner.sync(&desired))
    }
    fn attach<'a>(
        &'a self,
        task: TaskId,
        legs: &'a [AttachLeg],
        outside: Outside,
    ) -> BoxFuture<'a, Result<Attached, Error>> {
        let legs = legs.to_vec();
        self.blocking(move |inner| inner.attach(task, legs, outside))
    }
    fn reattach(&self, task: TaskId) -> BoxFuture<'_, Result<Attached, Error>> {
        self.blocking(move |inner| {
            let dns = container::reopen(&inner.names, task)?;
            let gateway_ip = locked(&inner.addresses).of(task);
            Ok(Attached { netns: inner.names.task_file(task), gateway_ip, dns: Some(dns) })
        })
    }
    fn detach(&self, task: TaskId) -> BoxFuture<'_, Result<(), Error>> {
        self.blocking(move |inner| inner.detach(task))
    }
    fn attached(&self) -> BoxFuture<'_, Result<Vec<TaskId>, Error>> {
        self.blocking(|inner| inner.attached())
    }
    fn remove_all(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.blocking(Inner::remove_all)
    }
}

impl Inner {
    /// Gateway bridge, ways out, forwarding and packet rules, whatever was there.
    fn ensure_host(&self, synced: &mut Synced) -> Result<(), Error> {
        let owner =
            Owner { id: self.names.id().to_owned(), port: synced.port, root: self.root.clone() };
        let rules = HostRules {
            table: self.names.table(),
            bridge: self.names.gateway(),
            subnet: self.subnet,
            accept: synced.port.map(|port| (port, synced.members.clone())),
            guarded: self.guarded.iter().copied().collect(),
        };
        let last = synced.rules.take();
        let (generation, closed) = self.in_host(|| {
            let mut route = Route::open()?;
            gateway::ensure(&mut route, &self.names, &owner, self.subnet)?;
            gateway::harden(&self.names)?;
            let forward = |source| kernel("let packets be forwarded", source);
            netns::sysctl("ipv4/ip_forward", "1").map_err(forward)?;
            // Any change of rules by anybody raises the generation: unless it stands still, ours are written again.
            if last != Some((rules.clone(), nft::generation()?)) {
                rules.apply()?;
            }
            Ok((nft::generation()?, self.closed(&mut route, synced)?))
        })?;
        synced.rules = Some((rules, generation));
        let mut outlet = locked(&self.outlet);
        *outlet = closed;
        let taken = locked(&self.addresses).taken();
        self.in_host(|| gateway::rows(&mut Route::open()?, &self.names, &taken))?;
        if taken.is_empty() {
            return self.remove_outlet();
        }
        self.ensure_outlet(&outlet, &taken, true)
    }

    /// What containers do not reach by way of the host. The socket is in its namespace.
    fn closed(&self, route: &mut Route, synced: &Synced) -> Result<Closed, Error> {
        let others = link::links(route)?;
        let others = others.iter().filter_map(|link| Owner::read(&link.alias)?.port);
        let own = link::addresses(route)?.into_iter().map(|(_, ip, _)| ip);
        // A packet for everybody is for the host as well.
        let everybody = [self.subnet.last(), Ipv4Addr::BROADCAST];
        Ok(Closed {
            uplink: UPLINK,
            tunnels: others.chain(synced.port).collect(),
            guarded: self.guarded.clone(),
            gateway: Some((gateway::address(self.subnet), self.subnet)),
            hosts: own.chain(everybody).chain(synced.members.iter().copied()).collect(),
        })
    }

    /// The ways out of containers, held to what was handed out; if `heal`, also ports that were lost.
    fn ensure_outlet(
        &self,
        closed: &Closed,
        taken: &[(Ipv4Addr, TaskId)],
        heal: bool,
    ) -> Result<(), Error> {
        let grant = |(ip, _): &(Ipv4Addr, TaskId)| Grant {
            port: self.names.gateway_port(*ip),
            mac: self.names.gateway_mac(*ip),
            ip: *ip,
        };
        let rules =
            Rules { closed: Some(closed.clone()), grants: taken.iter().map(grant).collect() };
        outlet::visit(&self.names, &self.host, |inside| {
            self.guards.set(Place::Gateway, rules)?;
            if !heal {
                return Ok(());
            }
            for (ip, task) in outlet::hold(inside, &self.names, taken)? {
                if netns::is_pinned(&self.names.task_file(task)) {
                    let out = WayOut { ip, subnet: self.subnet };
                    container::replug_out(&self.names, inside, task, out)?;
                }
            }
            Ok(())
        })
    }

    fn remove_outlet(&self) -> Result<(), Error> {
        self.guards.forget(Place::Gateway);
        outlet::remove(&self.names)
    }

    /// Takes a task's address back, and with the last of them the ways out.
    fn give_back(&self, task: TaskId) -> Result<(), Error> {
        let _one = locked(&self.outlet);
        let mut addresses = locked(&self.addresses);
        let had = addresses.of(task).is_some();
        addresses.give_back(task);
        if had && addresses.taken().is_empty() {
            drop(addresses);
            self.remove_outlet()?;
        }
        Ok(())
    }

    /// Writes the rules again if they are not as they were written last.
    fn heal_rules(&self) -> Result<(), Error> {
        let mut synced = locked(&self.synced);
        let Some((_, last)) = &synced.rules else { return Ok(()) };
        if *last == self.in_host(nft::generation)? {
            return Ok(());
        }
        self.ensure_host(&mut synced)
    }

    fn in_host<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        netns::on_thread(|| {
            let enter = |source| kernel("enter the host's network namespace", source);
            self.host.enter().map_err(enter)?;
            work()
        })
    }

    fn occupied(&self) -> Result<Vec<Occupied>, Error> {
        let ours = Occupied { block: self.subnet, by: "of this node's gateway bridge".to_owned() };
        let (links, addresses, routes) = self.in_host(|| {
            let mut route = Route::open()?;
            Ok((link::links(&mut route)?, link::addresses(&mut route)?, link::routed(&mut route)?))
        })?;
        let addresses = addresses.into_iter().map(|(index, ip, prefix)| {
            let link = links.iter().find(|link| link.index == index).map(|link| &*link.name);
            let by = format!("of {} of this node", link.unwrap_or("a link"));
            Occupied { block: Subnet::containing(ip, prefix), by }
        });
        let routes = routes
            .into_iter()
            .map(|block| Occupied { block, by: "of a route of this node".to_owned() });
        Ok(std::iter::once(ours).chain(addresses).chain(routes).collect())
    }

    fn claim(&self, synced: &mut Synced, port: u16) -> Result<(), Error> {
        let other = self.in_host(|| {
            let links = link::links(&mut Route::open()?)?;
            Ok(links.into_iter().find_map(|link| {
                let owner = Owner::read(&link.alias)?;
                let theirs = owner.id != self.names.id() && owner.port == Some(port);
                theirs.then_some((owner.root, link.name))
            }))
        })?;
        if let Some((other, bridge)) = other {
            return Err(Error::PortClash { port, other, bridge });
        }
        // Tunnels of ours hold the port themselves.
        if self.networks()?.is_empty() {
            let free = || std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map(drop);
            self.in_host(|| free().map_err(|source| Error::PortTaken { port, source }))?;
        }
        synced.port = Some(port);
        self.ensure_host(synced)
    }

    fn sync(&self, desired: &NodeOverlay) -> Result<(), Error> {
        let mut synced = locked(&self.synced);
        let synced = &mut *synced;
        synced.members.clone_from(&desired.members);
        synced.members.sort();
        synced.members.dedup();
        // The accept set first: what must not be heard any more is shut out before anything else is tried.
        if desired.data_path_port == 0 {
            self.ensure_host(synced)?;
        } else {
            self.claim(synced, desired.data_path_port)?;
        }
        let addresses = self.in_host(|| link::addresses(&mut Route::open()?))?;
        let own = |member: &&Ipv4Addr| addresses.iter().any(|(_, ip, _)| ip == *member);
        let local = desired.members.iter().find(own).copied();
        let wanted: BTreeSet<NetworkId> = desired.networks.iter().map(|n| n.id).collect();
        let mut failed = Vec::new();
        let mut note = |network, result: Result<(), Error>| {
            failed.extend(result.err().map(|error| Unsynced { network, error: Box::new(error) }));
        };
        for id in self.networks()?.difference(&wanted) {
            self.guards.forget(Place::Network(*id));
            note(*id, network::remove(&self.names, *id));
        }
        for network in &desired.networks {
            let port = desired.data_path_port;
            note(
                network.id,
                network::sync(&self.names, &self.host, &self.guards, network, port, local),
            );
        }
        if failed.is_empty() { Ok(()) } else { Err(Error::Networks(failed)) }
    }

    fn attach(
        &self,
        task: TaskId,
        legs: Vec<AttachLeg>,
        outside: Outside,
    ) -> Result<Attached, Error> {
        // Whatever an interrupted attempt left.
        self.detach(task)?;
        let open = |leg: AttachLeg| {
            let file = self.names.network_file(leg.network);
            let inside = netns::is_pinned(&file).then(|| Netns::open(&file));
            let at = |source| kernel(format!("open {}", file.display()), source);
            let inside = inside.ok_or(Error::UnknownNetwork(leg.network))?.map_err(at)?;
            Ok((leg, inside))
        };
        let legs = legs.into_iter().map(open).collect::<Result<Vec<_>, Error>>()?;
        let gateway_ip = match outside {
            Outside::Reachable => Some(locked(&self.addresses).take(task)?),
            Outside::Closed => None,
        };
        let out = gateway_ip.map(|ip| WayOut { ip, subnet: self.subnet });
        let made = (|| {
            if out.is_some() {
                let closed = locked(&self.outlet);
                let taken = locked(&self.addresses).taken();
                self.ensure_outlet(&closed, &taken, false)?;
            }
            container::make(&self.names, &self.host, &self.guards, task, &legs, out)
        })();
        match made {
            Ok(dns) => {
                Ok(Attached { netns: self.names.task_file(task), gateway_ip, dns: Some(dns) })
            }
            Err(error) => {
                // The first error is the one that counts.
                drop(self.give_back(task));
                Err(error)
            }
        }
    }

    fn detach(&self, task: TaskId) -> Result<(), Error> {
        let ip = locked(&self.addresses).of(task);
        let pinned = netns::is_pinned(&self.names.task_file(task));
        container::remove(&self.names, task)?;
        if !pinned && ip.is_some() {
            // Its namespace was unpinned by other hands, but a process may still keep it and with it the ports.
            let networks = self.networks()?;
            let files: Vec<_> = networks.iter().map(|id| self.names.network_file(*id)).collect();
            container::remove_ports(&self.names, &files, task, ip)?;
        }
        self.give_back(task)
    }

    fn attached(&self) -> Result<Vec<TaskId>, Error> {
        let mut tasks = self.pinned(|name| name.parse().ok())?;
        tasks.sort();
        Ok(tasks)
    }
    fn networks(&self) -> Result<BTreeSet<NetworkId>, Error> {
        Ok(self.files(Names::network_of)?.into_iter().collect())
    }
    /// What the files of the folder that are namespaces stand for.
    fn pinned<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Error> {
        let folder = self.names.folder().to_owned();
        self.files(move |name| read(name).filter(|_| netns::is_pinned(&folder.join(name))))
    }
    fn files<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Error> {
        let at = |source| kernel(format!("list {}", self.names.folder().display()), source);
        let mut found = Vec::new();
        for entry in fs::read_dir(self.names.folder()).map_err(at)? {
            found.extend(entry.map_err(at)?.file_name().to_str().and_then(&read));
        }
        Ok(found)
    }

    fn remove_all(&self) -> Result<(), Error> {
        let mut synced = locked(&self.synced);
        for task in self.attached()? {
            self.detach(task)?;
        }
        for network in self.networks()? {
            self.guards.forget(Place::Network(network));
            network::remove(&self.names, network)?;
        }
        {
            let _one = locked(&self.outlet);
            self.remove_outlet()?;
        }
        // First, so that the watch does not write them again.
        synced.rules = None;
        self.in_host(|| {
            let gateway = self.names.gateway();
            let mut batch = netlink::Batch::new();
            let message = link::remove_named(&gateway);
            batch.push(format!("remove bridge {gateway}"), netlink::Mode::Remove, message);
            Route::open()?.apply(batch)?;
            nft::Transaction::removing(nft::Family::Ip, &self.names.table()).commit()
        })?;
        *synced = Synced::default();
        Ok(())
    }
}

/// What a lock guards is whole even if a holder panicked: it is only ever replaced.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
