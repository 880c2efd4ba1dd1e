//! `exec -it` as a user sees it: both clients in a real terminal, typed into, resized, left.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::daemon::{Daemon, binary, docker};
use crate::host::until;

/// A terminal with a client in it.
struct Window {
    outer: OwnedFd,
    inner: OwnedFd,
    client: Child,
    before: Termios,
}

impl Window {
    fn open(daemon: &Daemon, program: &std::path::Path, arguments: &[&str]) -> Self {
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal can be made");
        unlockpt(&outer).expect("a terminal can be used");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let inner = ioctl_tiocgptpeer(&outer, flags).expect("a terminal has two ends");
        let end = || inner.try_clone().expect("a file can be shared");
        tcsetwinsize(&outer, size(24, 80)).expect("a terminal has a size");
        let before = tcgetattr(&inner).expect("a terminal has modes");
        let mut command = daemon.host.command("setsid");
        command.args(["--ctty", "--wait"]).arg(program).args(arguments);
        command.env("SKEIN_HOST", daemon.url()).env("DOCKER_HOST", daemon.url());
        let client = command.stdin(end()).stdout(end()).stderr(end()).spawn();
        let client = client.expect("setsid is part of every Debian");
        Self { outer, inner, client, before }
    }

    fn keys(&self, keys: &str) {
        let written = rustix::io::write(&self.outer, keys.as_bytes()).expect("keys can be typed");
        assert_eq!(written, keys.len());
    }

    /// Everything shown until the text has come.
    fn hear(&self, text: &str) -> String {
        let mut shown = String::new();
        while !shown.contains(text) {
            let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
            let mut polled = [PollFd::from_borrowed_fd(self.outer.as_fd(), PollFlags::IN)];
            let ready = poll(&mut polled, Some(&patience)).expect("a terminal can be waited for");
            assert_ne!(ready, 0, "{text:?} was not shown, but {shown:?}");
            // No further than asked for: the rest is for the next.
            let mut bytes = [0; 1];
            let read = rustix::io::read(&self.outer, &mut bytes).expect("a terminal can be read");
            shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        shown
    }

    /// Asks for the size until it is that one: a client tells it beside what is typed.
    fn shows_size(&self, told: &str) {
        until(told, || {
            // What is typed is drawn again by the shell as it pleases; what a command prints is not.
            self.keys("echo \"at $(stty size) now\"\r");
            self.hear(" now\r\n").contains(&format!("at {told} now")).then_some(())
        });
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.inner).expect("a terminal has modes")
    }

    fn is_raw(&self) -> bool {
        !self.modes().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for the client's end; its exit code, and the terminal is as it was.
    fn ended(mut self) -> i32 {
        let status =
            until("the client ends", || self.client.try_wait().expect("a child can be asked"));
        let (now, before) = (self.modes(), &self.before);
        assert_eq!(now.local_modes, before.local_modes);
        assert_eq!(now.input_modes, before.input_modes);
        assert_eq!(now.output_modes, before.output_modes);
        status.code().expect("it ends by itself")
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn with_task() -> Daemon {
    let daemon = Daemon::with_swarm();
    daemon.ok(
        "service create --detach --name web --network shop --endpoint-mode dnsrr hello:1 sleep 3600",
    );
    daemon.await_replicas("web", "1/1");
    daemon
}

#[test]
fn both_clients_have_a_terminal_in_a_task() {
    let daemon = with_task();
    for client in [binary(), docker().join("docker")] {
        let window = Window::open(&daemon, &client, &["exec", "-it", "web.1", "sh"]);
        window.hear("~ # ");
        assert!(window.is_raw(), "{} leaves its terminal alone", client.display());
        window.shows_size("24 80");
        tcsetwinsize(&window.outer, size(50, 132)).expect("a terminal has a size");
        window.shows_size("50 132");
        // A key that is a signal reaches the command inside and not the client.
        window.keys("sh -c 'echo rea\"\"dy; sleep 3600'\r");
        window.hear("ready\r\n");
        window.keys("\x03");
        window.hear("~ # ");
        window.keys("echo $?; tty\r");
        let shown = window.hear("/dev/pts/");
        assert!(shown.contains("130"), "{shown:?}");
        window.hear("~ # ");
        window.keys("exit 7\r");
        assert_eq!(window.ended(), 7, "{}", client.display());
    }
    // Their terminals are gone.
    assert_eq!(daemon.ok("exec web.1 ls /dev/pts"), "ptmx\n");
}

#[test]
fn keys_leave_a_command_running() {
    let daemon = with_task();
    let script = "echo ready; exec sleep 4242";
    let arguments = ["exec", "-it", "web.1", "sh", "-c", script];
    let window = Window::open(&daemon, &binary(), &arguments);
    window.hear("ready");
    window.keys("\x10\x11");
    assert_eq!(window.ended(), 0);
    assert!(daemon.ok("exec web.1 ps").contains("sleep 4242"));
    // Without a terminal there is none to give.
    let refused = daemon.refused("exec -it web.1 true");
    assert!(refused.contains("not a TTY"), "{refused}");
}
