//! What our objects are called in the kernel: derived from the data root's id, so that daemons can share a machine.
//! Interface names have 15 characters at most; the longest here has 14.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use skein_events::id::{NetworkId, TaskId};
use skein_events::unit::Mac;

/// The bridge of an overlay network, in the network's own namespace.
pub(super) const BRIDGE: &str = "br0";
/// Its tunnel device.
pub(super) const TUNNEL: &str = "vxlan0";
/// The port of the bridge of ways out, in their own namespace, behind which the host's bridge is.
pub(super) const UPLINK: &str = "up0";
/// The table in a container's namespace.
pub(super) const CONTAINER_TABLE: &str = "skein";
/// What the file of a network's namespace begins with; a task's is its bare id.
const NETWORK_PREFIX: &str = "net-";

/// What a gateway bridge's name begins with, before its daemon's tag.
const GATEWAY_PREFIX: &str = "skein-";
/// Letters of a daemon's tag.
const TAG: usize = 6;

/// Whether a link of the host is called as gateway bridges are, whichever daemon's.
pub(crate) fn is_gateway(link: &str) -> bool {
    let hex = |tag: &str| tag.len() == TAG && tag.bytes().all(|b| b.is_ascii_hexdigit());
    link.strip_prefix(GATEWAY_PREFIX).is_some_and(hex)
}

/// The names of one daemon.
#[derive(Clone, Debug)]
pub(super) struct Names {
    tag: String,
    id: String,
    netns: PathBuf,
}

impl Names {
    /// Names for the daemon whose data root has this id.
    pub(super) fn new(id: &str, run_root: &Path) -> Self {
        let id = blake3::hash(id.as_bytes()).to_hex()[..16].to_owned();
        Self { tag: id[..TAG].to_owned(), id, netns: run_root.join("netns") }
    }
    /// The data root's id, hashed: one short word.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
    /// The folder of pinned namespaces.
    pub(super) fn folder(&self) -> &Path {
        &self.netns
    }
    pub(super) fn task_file(&self, task: TaskId) -> PathBuf {
        self.netns.join(task.to_string())
    }
    pub(super) fn network_file(&self, network: NetworkId) -> PathBuf {
        self.netns.join(format!("{NETWORK_PREFIX}{network}"))
    }
    /// Our table in the host's namespace.
    pub(super) fn table(&self) -> String {
        format!("skein-{}", self.tag)
    }
    /// The gateway bridge.
    pub(super) fn gateway(&self) -> String {
        format!("{GATEWAY_PREFIX}{}", self.tag)
    }
    /// A port of the gateway bridge, by the container's address in its block of at most 2^16.
    pub(super) fn gateway_port(&self, ip: Ipv4Addr) -> String {
        format!("sk{}-{:04x}", self.tag, ip.to_bits() & 0xffff)
    }
    /// The low half of the address whose port of the gateway bridge a link is, if it is one of ours.
    pub(super) fn gateway_port_of(&self, link: &str) -> Option<u32> {
        let low = link.strip_prefix("sk")?.strip_prefix(&*self.tag)?.strip_prefix('-')?;
        u32::from_str_radix(low, 16).ok()
    }
    /// The port of the host's bridge behind which the containers' ways out are.
    pub(super) fn uplink(&self) -> String {
        format!("su{}", self.tag)
    }
    /// The file of the namespace of the ways out.
    pub(super) fn outlet_file(&self) -> PathBuf {
        self.netns.join(format!("{NETWORK_PREFIX}gateway"))
    }
    /// The Ethernet address of the container that has an address of the gateway bridge's block.
    pub(super) fn gateway_mac(&self, ip: Ipv4Addr) -> Mac {
        self.mac(&format!("leg {ip}"))
    }
    /// An Ethernet address for one of our bridges, the same after a restart.
    pub(super) fn mac(&self, purpose: &str) -> Mac {
        let hash = blake3::hash(format!("{} {purpose}", self.id).as_bytes());
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&hash.as_bytes()[..6]);
        Mac::from_random(bytes)
    }
    /// The network whose namespace a file is.
    pub(super) fn network_of(file: &str) -> Option<NetworkId> {
        file.strip_prefix(NETWORK_PREFIX)?.parse().ok()
    }
}

/// A task's port in a network's namespace.
pub(super) fn task_port(task: TaskId) -> String {
    format!("t-{}", task.short())
}

/// Whether a link in a network's namespace is a task's port.
pub(super) fn is_task_port(link: &str) -> bool {
    link.starts_with("t-")
}

/// What the gateway bridge's alias says: who it belongs to, and the VXLAN port that daemon has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The data root's id.
    pub(super) id: String,
    /// The VXLAN port, once it has one.
    pub(super) port: Option<u16>,
    /// The data root, for people.
    pub(super) root: String,
}

impl Owner {
    /// The kernel takes 255 bytes.
    const ALIAS_MAX: usize = 255;

    pub(super) fn alias(&self) -> String {
        let mut alias = format!("skein {} {} {}", self.id, self.port.unwrap_or(0), self.root);
        while alias.len() > Self::ALIAS_MAX {
            alias.pop();
        }
        alias
    }
    pub(super) fn read(alias: &str) -> Option<Self> {
        let mut words = alias.strip_prefix("skein ")?.splitn(3, ' ');
        let (id, port, root) = (words.next()?, words.next()?, words.next()?);
        let port = port.parse().ok().filter(|port| *port != 0);
        Some(Self { id: id.to_owned(), port, root: root.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_read_back() {
        let names = Names::new("a data root", Path::new("/run/x"));
        let port = names.gateway_port(Ipv4Addr::new(172, 31, 255, 254));
        let task = TaskId::from_random([9; 16]);
        for name in [names.gateway(), names.uplink(), port.clone(), task_port(task)] {
            assert!(name.len() <= 15, "{name}");
        }
        assert_eq!(names.gateway_port_of(&port), Some(0xfffe));
        assert_eq!(names.gateway_port_of(&names.gateway()), None);
        assert_eq!(names.gateway_port_of(&names.uplink()), None);
        assert_eq!(Names::new("another", Path::new("/run/x")).gateway_port_of(&port), None);
        let outlet = names.outlet_file();
        assert_eq!(Names::network_of(outlet.file_name().unwrap().to_str().unwrap()), None);
        let network = NetworkId::from_random([3; 16]);
        let file = names.network_file(network);
        assert_eq!(Names::network_of(file.file_name().unwrap().to_str().unwrap()), Some(network));
    }

    #[test]
    fn an_owner_survives_its_alias() {
        let root = "/var/lib/with blanks".to_owned();
        let owner = Owner { id: "abc".to_owned(), port: Some(4790), root };
        assert_eq!(Owner::read(&owner.alias()), Some(owner.clone()));
        let long = Owner { root: "x".repeat(500), port: None, ..owner };
        assert_eq!(long.alias().len(), 255);
        assert_eq!(Owner::read(&long.alias()).unwrap().port, None);
    }

    #[test]
    fn any_daemons_gateway_bridge_is_known_by_its_name() {
        assert!(is_gateway(&Names::new("a", Path::new("/run")).gateway()));
        assert!(!is_gateway("skein-office") && !is_gateway("eth0"));
    }
}
