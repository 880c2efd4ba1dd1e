//! A network namespace that stands for a machine of its own, so that every test has the usual ports and rules.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long anything on this machine may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Gone when dropped, with every link and rule in it.
pub(crate) struct Host {
    holder: Child,
    own_files: bool,
}

/// What a process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::unshared(&["--net"], "true")
    }

    /// One whose `/etc` is this folder, filled with what the machine has there.
    pub(crate) fn with_etc(folder: &std::path::Path) -> Self {
        let folder = folder.display();
        let script = format!("cp -a /etc/. {folder} && mount --bind {folder} /etc");
        Self::unshared(&["--net", "--mount"], &script)
    }

    fn unshared(what: &[&str], script: &str) -> Self {
        let script = format!("{script} && ip link set lo up && echo ready && exec sleep infinity");
        let mut holder = Command::new("unshare")
            .args(what)
            .args(["--", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is part of every Debian");
        let stdout = holder.stdout.take().expect("it is piped");
        let host = Self { holder, own_files: what.contains(&"--mount") };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line can be read");
        assert_eq!(line, "ready\n", "a network namespace cannot be made: tests need root");
        host
    }

    /// The namespace, for `ip link set … netns`.
    pub(crate) fn id(&self) -> u32 {
        self.holder.id()
    }

    /// A command that will run in there.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.id()));
        if self.own_files {
            command.arg(format!("--mount=/proc/{}/ns/mnt", self.id()));
        }
        command.arg("--").arg(program);
        command
    }

    /// A socket in there.
    pub(crate) fn udp(&self, at: &str) -> UdpSocket {
        let place =
            std::fs::File::open(format!("/proc/{}/ns/net", self.id())).expect("it is there");
        let open = || {
            nix::sched::setns(&place, nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("it can be entered");
            UdpSocket::bind(at).expect("the address is free")
        };
        // A thread of its own, which never goes anywhere else.
        std::thread::scope(|scope| scope.spawn(open).join().expect("it does not panic"))
    }

    /// Runs a script in there, which must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        let said = run(self.command("sh").args(["-ec", script]));
        assert_eq!(said.code, 0, "{script}: {said:?}");
        said.stdout
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().expect("the program can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Asks again until there is an answer.
#[expect(clippy::disallowed_methods, reason = "other processes are waited for, nothing tells when")]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "not so in time: {what}");
        std::thread::sleep(PAUSE);
    }
}
