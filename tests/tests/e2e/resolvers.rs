//! Names from inside containers: of peers, by every name they have, and of the outside, from whichever server knows it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::host::{Host, until};

/// A name server of the outside that gives every name one address; ends when it is dropped.
struct Server {
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn new(socket: UdpSocket, address: [u8; 4]) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket waits");
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 600];
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let mut answer = buffer[..length].to_vec();
                // A question of its header and one name: a response with recursion, and one record of the same name.
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address);
                socket.send_to(&answer, from).expect("it can be answered");
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn names_of_the_outside_come_from_whichever_server_of_the_host_or_the_service_knows_them() {
    let etc = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::with_etc(etc.path()));
    let file = etc.path().join("resolv.conf");
    std::fs::remove_file(&file).expect("the machine has one");
    let _two = Server::new(host.udp("127.0.0.2:53"), [192, 0, 2, 2]);
    let _three = Server::new(host.udp("127.0.0.3:53"), [192, 0, 2, 3]);
    // Bound and never answers; at 127.0.0.9 there is nobody.
    let _silent = host.udp("127.0.0.8:53");
    // The daemon is there before the file.
    let daemon = Daemon::start_on(host);
    daemon.make_swarm();
    let create = |name: &str, options: &str| {
        daemon.ok(&format!(
            "service create --detach --name {name} {options} --network shop --endpoint-mode dnsrr \
             --stop-grace-period 0s hello:1 sleep 900"
        ));
        daemon.await_replicas(name, "1/1");
    };
    create("web", "");
    assert!(daemon.addresses("web.1", "a.example").is_empty(), "there is no server yet");
    let write = |text: &str| std::fs::write(&file, text).expect("the file can be written");
    for (text, found) in [
        ("nameserver 127.0.0.2\n", "192.0.2.2"),
        ("nameserver 127.0.0.9\nnameserver 127.0.0.3\n", "192.0.2.3"),
        ("nameserver 127.0.0.8\nnameserver 127.0.0.2\n", "192.0.2.2"),
        ("nameserver 127.0.0.9\nnameserver 127.0.0.8\nnameserver 127.0.0.3\n", "192.0.2.3"),
        ("nameserver 127.0.0.2\nnameserver 127.0.0.3\n", "192.0.2.2"),
    ] {
        write(text);
        assert_eq!(daemon.addresses("web.1", "b.example"), [found], "{text}");
    }
    // Replaced by another file, and by a link to one.
    let other = etc.path().join("resolv.other");
    std::fs::write(&other, "nameserver 127.0.0.3\n").expect("a file");
    std::fs::rename(&other, &file).expect("it takes the place");
    assert_eq!(daemon.addresses("web.1", "b.example"), ["192.0.2.3"]);
    std::fs::write(
        &other,
        "search lan corp.example\nnameserver 127.0.0.2\noptions timeout:1 edns0\n",
    )
    .expect("a file");
    std::fs::remove_file(&file).expect("it is there");
    std::os::unix::fs::symlink("resolv.other", &file).expect("a link");
    assert_eq!(daemon.addresses("web.1", "b.example"), ["192.0.2.2"]);
    // A container that is made now searches as the host does.
    create("late", "");
    assert_eq!(
        daemon.ok("exec late.1 cat /etc/resolv.conf"),
        "nameserver 127.0.0.11\nsearch lan corp.example\noptions timeout:1 edns0 ndots:0\n"
    );
    create("own", "--dns 127.0.0.8 --dns 127.0.0.3 --dns-search x --dns-option timeout:2");
    assert_eq!(daemon.addresses("own.1", "c.example"), ["192.0.2.3"]);
    assert_eq!(
        daemon.ok("exec own.1 cat /etc/resolv.conf"),
        "nameserver 127.0.0.11\nsearch x\noptions edns0 ndots:0 timeout:2\n"
    );
}

#[test]
fn tasks_are_found_by_host_name_and_container_and_take_no_services_name() {
    let daemon = Daemon::with_swarm();
    daemon.ok("network create --driver overlay elsewhere");
    let create = |name: &str, options: &str| {
        daemon.ok(&format!(
            "service create --detach --name {name} --endpoint-mode dnsrr {options} hello:1 sleep 900"
        ));
    };
    create("k", "--network shop --replicas 2 --hostname 'kaf-{{.Task.Slot}}'");
    create("db", "--network shop");
    create("evil", "--network name=shop,alias=tasks-db --hostname DB");
    create("other", "--network elsewhere");
    for (name, replicas) in [("k", "2/2"), ("db", "1/1"), ("evil", "1/1"), ("other", "1/1")] {
        daemon.await_replicas(name, replicas);
    }
    let own = |task: &str| {
        let text = daemon.ok(&format!("exec {task} hostname -i"));
        text.split_whitespace().next().expect("an address").to_owned()
    };
    let (second, db) = (own("k.2"), own("db.1"));
    let container = daemon.sh(r"docker ps --no-trunc -q --filter 'name=^k\.2\.'");
    let container = container.stdout.trim();
    assert_eq!(container.len(), 64, "{container}");
    // The whole id is a digit longer than a name of DNS may be.
    for name in ["kaf-2", "KAF-2", "kaf-2.shop", &container[..12]] {
        let found = until(name, || {
            let found = daemon.addresses("k.1", name);
            (!found.is_empty()).then_some(found)
        });
        assert_eq!(found, [&*second], "{name}");
        assert!(daemon.addresses("other.1", name).is_empty(), "{name} is of another network");
    }
    assert_eq!(daemon.addresses("k.1", "db"), [&*db]);
    assert_eq!(daemon.addresses("evil.1", "db"), [&*db]);
    assert_eq!(daemon.addresses("k.1", "evil").len(), 1);
}

#[test]
fn a_container_that_opens_connections_without_end_has_its_share_and_no_more() {
    let daemon = Daemon::with_swarm();
    for name in ["greedy", "modest"] {
        daemon.ok(&format!(
            "service create --detach --name {name} --network shop --endpoint-mode dnsrr \
             --stop-grace-period 0s hello:1 sleep 900"
        ));
        daemon.await_replicas(name, "1/1");
    }
    let descriptors = || {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()));
        folder.expect("it runs").count()
    };
    let before = descriptors();
    // Each is kept open by whoever writes into it, and opened anew when it is closed.
    daemon.ok("exec --detach greedy.1 sh -c 'for i in $(seq 300); do \
         (while true; do sleep 900 | nc 127.0.0.11 53; done) & done; touch /tmp/all; wait'");
    until("all connections are tried", || {
        (daemon.skein("exec greedy.1 test -e /tmp/all").code == 0).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(daemon.addresses("modest.1", "greedy").len(), 1);
        let now = descriptors();
        assert!(now < before + 100, "{before} descriptors became {now}");
    }
    assert_eq!(daemon.addresses("greedy.1", "modest").len(), 1);
}

#[test]
fn a_daemon_without_a_free_descriptor_says_so_once_and_answers_again_when_it_has_one() {
    let daemon = Daemon::with_swarm();
    daemon.ok(
        "service create --detach --name web --replicas 2 --network shop --endpoint-mode dnsrr \
         --stop-grace-period 0s hello:1 sleep 900",
    );
    daemon.await_replicas("web", "2/2");
    let pid = daemon.process("web.1");
    let limit = |count: &str| {
        let said = daemon.sh(&format!("prlimit --pid {} --nofile={count}:20000", daemon.pid()));
        assert_eq!(said.code, 0, "{said:?}");
    };
    let inside =
        |script: &str| daemon.sh(&format!("nsenter --net=/proc/{pid}/ns/net sh -c '{script}'"));
    // None is left: what is open stays open, nothing new is.
    limit("3");
    let connected = inside(
        "for i in 1 2 3 4 5 6; do (sleep 3 | timeout 20 busybox nc 127.0.0.11 53 >/dev/null 2>&1 &) ; done",
    );
    assert_eq!(connected.code, 0, "{connected:?}");
    until("it is said", || daemon.words().contains("cannot accept containers").then_some(()));
    // Datagrams need no descriptor.
    let asked = inside("timeout 9 busybox nslookup -type=a web 127.0.0.11");
    assert_eq!(asked.stdout.matches("Address: 10.").count(), 2, "{asked:?}");
    limit("20000");
    // A question over TCP: its length, an id, recursion, one question for the addresses of `web`.
    let question = "\\000\\025\\022\\064\\001\\000\\000\\001\\000\\000\\000\\000\\000\\000\\003web\\000\\000\\001\\000\\001";
    until("connections are answered again", || {
        let ask = format!(
            "(printf \"{question}\"; sleep 1) | timeout 9 busybox nc 127.0.0.11 53 | wc -c"
        );
        let bytes: usize = inside(&ask).stdout.trim().parse().unwrap_or(0);
        // More than a header: two addresses.
        (bytes > 40).then_some(())
    });
    let words = daemon.words();
    assert_eq!(words.matches("cannot accept containers").count(), 1, "{words}");
}
