//! The daemon as a service manager and a probe see it. No systemd runs here: its protocol is a datagram socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::host::Host;

/// Reads datagrams until one holds this line.
fn hear(socket: &UnixDatagram, line: &str) {
    let mut buffer = [0; 4096];
    loop {
        let read = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{line}: {error}"));
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        if text.lines().any(|heard| heard == line) {
            return;
        }
    }
}

/// Status line and body of a GET.
fn get(daemon: &Daemon, path: &str) -> (String, String) {
    let mut stream = UnixStream::connect(daemon.socket()).expect("the daemon listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: skein\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[test]
fn a_service_manager_hears_that_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let mut daemon = Daemon::stopped(Arc::new(Host::new()));
    let path = path.to_str().expect("a path is text");
    daemon.resume(&[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "400000")]);
    hear(&socket, "READY=1");
    hear(&socket, "WATCHDOG=1");
    daemon.ok("swarm init --advertise-addr 127.0.0.1");
    // A swarm has more threads to ask; it lives on.
    hear(&socket, "WATCHDOG=1");
    let (status, body) = get(&daemon, "/readyz");
    assert_eq!(
        (status.as_str(), body.as_str()),
        ("HTTP/1.1 200 OK", "threads: ok\napplied: ok\nleader: ok\nagent: ok\ndisk: ok\n")
    );
    daemon.terminate();
    hear(&socket, "STOPPING=1");
}
