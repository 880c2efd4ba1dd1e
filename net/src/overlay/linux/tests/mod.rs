//! The kernel implementation against real kernel objects, in throw-away namespaces that stand for hosts.
//! Tools such as `ip`, `nft` and `ping` look on and interfere here; production code runs none.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output};

use skein_events::id::{NetworkId, TaskId};
use skein_events::unit::{Mac, Subnet, Vni};
use skein_events::view::overlay::{Leg, NodeNetwork, NodeOverlay, Peer};

use super::netns::{self, Netns};
use super::{Config, Linux};
use crate::overlay::{AttachLeg, Attached, Error, Kernel, Outside};

mod frames;
mod life;
mod names;
mod rules;
mod spoof;
mod traffic;

/// A namespace that stands for a machine.
struct Host(Netns);

impl Host {
    fn new() -> Self {
        let host = Self(netns::on_thread(netns::enter_new).unwrap());
        host.ok("ip link set lo up");
        host
    }
    /// Runs one command in there.
    fn sh(&self, command: &str) -> Output {
        sh_in(&self.0, command)
    }
    fn ok(&self, command: &str) -> String {
        stdout(command, self.sh(command))
    }
}

fn sh_in(place: &Netns, command: &str) -> Output {
    netns::on_thread(|| {
        place.enter().unwrap();
        Command::new("sh").args(["-c", command]).output().unwrap()
    })
}

fn stdout(command: &str, output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Two machines on one wire: 10.9.0.1 and 10.9.0.2.
fn two_hosts() -> (Host, Host) {
    let (a, b) = (Host::new(), Host::new());
    let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&b.0));
    let file = format!("/proc/{}/fd/{fd}", std::process::id());
    a.ok("ip link add wire type veth peer name other");
    a.ok(&format!("ip link set other netns {file}"));
    b.ok("ip link set other name wire");
    for (host, ip) in [(&a, "10.9.0.1/24"), (&b, "10.9.0.2/24")] {
        host.ok(&format!("ip addr add {ip} dev wire"));
        host.ok("ip link set wire up");
    }
    (a, b)
}

/// A daemon's kernel objects on a host; removes them when dropped, also by a failing test.
struct Daemon {
    kernel: Linux,
    run_root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Daemon {
    fn start(host: &Host, id: &str) -> Self {
        Self::try_start(host, id, tempfile::tempdir().unwrap()).unwrap()
    }
    fn try_start(host: &Host, id: &str, dir: tempfile::TempDir) -> Result<Self, Error> {
        let config = config(id, &dir);
        let kernel = netns::on_thread(|| {
            host.0.enter().unwrap();
            Linux::start(&config)
        })?;
        Ok(Self { kernel, run_root: config.run_root, _dir: dir })
    }
    fn sync(&self, desired: &NodeOverlay) {
        wait(self.kernel.sync(desired)).unwrap();
    }
    fn attach(&self, task: TaskId, legs: &[AttachLeg], outside: Outside) -> Attached {
        wait(self.kernel.attach(task, legs, outside)).unwrap()
    }
    /// Runs a command in the namespace of a task.
    fn in_task(&self, task: TaskId, command: &str) -> Output {
        self.in_file(&task.to_string(), command)
    }
    fn in_network(&self, network: NetworkId, command: &str) -> String {
        stdout(command, self.in_file(&format!("net-{network}"), command))
    }
    fn in_file(&self, file: &str, command: &str) -> Output {
        let file = self.run_root.join("netns").join(file);
        sh_in(&Netns::open(&file).unwrap(), command)
    }
    /// Whether one of a few packets is answered: the kernel opens a new bridge port a moment after its link is up.
    fn pings(&self, task: TaskId, ip: impl std::fmt::Display) -> bool {
        let ping = format!("busybox ping -c1 -W1 {ip}");
        (0..5).any(|_| self.in_task(task, &ping).status.success())
    }
    /// Whether one packet is lost.
    fn misses(&self, task: TaskId, ip: impl std::fmt::Display) -> bool {
        !self.in_task(task, &format!("busybox ping -c1 -W1 {ip}")).status.success()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.run_root.join("netns")).unwrap() {
            netns::unpin(&entry.unwrap().path()).unwrap();
        }
    }
}

fn config(id: &str, dir: &tempfile::TempDir) -> Config {
    Config {
        id: id.to_owned(),
        data_root: dir.path().join("data"),
        run_root: dir.path().join("run"),
        avoid: vec!["10.0.0.0/8".parse().unwrap()],
        guarded: vec![9323],
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn task(n: u8) -> TaskId {
    TaskId::from_random([n; 16])
}

fn leg(n: u8) -> Leg {
    let mac = Mac::from_random([2, 7, 7, 7, 7, n]);
    Leg { task: task(n), ip: Ipv4Addr::new(10, 0, 1, n), mac }
}

fn subnet() -> Subnet {
    "10.0.1.0/24".parse().unwrap()
}

fn plug(network: NetworkId, n: u8) -> AttachLeg {
    let Leg { ip, mac, .. } = leg(n);
    AttachLeg { network, ip, mac, subnet: subnet() }
}

fn net() -> NetworkId {
    NetworkId::from_random([200; 16])
}

fn overlay(local: &[u8], peers: &[(u8, Ipv4Addr)], members: &[Ipv4Addr]) -> NodeOverlay {
    let network = NodeNetwork {
        id: net(),
        vni: Vni(4096),
        subnet: subnet(),
        gateway: Ipv4Addr::new(10, 0, 1, 1),
        internal: false,
        mtu: 1450,
        local: local.iter().map(|n| leg(*n)).collect(),
        peers: peers.iter().map(|(n, vtep)| Peer { leg: leg(*n), vtep: *vtep }).collect(),
    };
    NodeOverlay { networks: vec![network], members: members.to_vec(), data_path_port: 4789 }
}

const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// One container on each of two hosts: 10.0.1.2 on the first, 10.0.1.3 on the second.
fn two_nodes() -> ((Host, Daemon), (Host, Daemon)) {
    let (a, b) = two_hosts();
    let (one, two) = (Daemon::start(&a, "one"), Daemon::start(&b, "two"));
    one.sync(&overlay(&[2], &[(3, B)], &[A, B]));
    two.sync(&overlay(&[3], &[(2, A)], &[A, B]));
    one.attach(task(2), &[plug(net(), 2)], Outside::Reachable);
    two.attach(task(3), &[plug(net(), 3)], Outside::Reachable);
    ((a, one), (b, two))
}
