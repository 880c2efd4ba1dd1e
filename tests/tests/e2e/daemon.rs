//! A daemon as a process, with private roots, and the client that talks to it.
//! Dropped, it takes along whatever it made: processes, mounts, control groups.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use tempfile::TempDir;

use crate::host::{Host, Said, run, until};

pub(crate) struct Daemon {
    pub(crate) host: Arc<Host>,
    data: TempDir,
    // Not below the target folder: names of sockets are short.
    run: TempDir,
    child: Option<Child>,
    /// Further words of its command line.
    pub(crate) options: Vec<String>,
}

/// A small image, made once for all tests.
static IMAGE: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder for the image");
    let script = root().join("scripts/image.sh");
    let said = run(Command::new(script).arg("hello:1").arg(dir.path().join("hello.tar")));
    assert_eq!(said.code, 0, "{said:?}");
    dir
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The binary of the same build.
pub(crate) fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("SKEIN_BIN") {
        return named.into();
    }
    let test = std::env::current_exe().expect("a test knows itself");
    let binary = test.ancestors().nth(2).expect("tests lie in deps/").join("skein");
    assert!(binary.exists(), "{} is not built: cargo build --workspace", binary.display());
    binary
}

/// The folder of Docker's client.
pub(crate) fn docker() -> PathBuf {
    let said = run(&mut Command::new(root().join("scripts/docker-client.sh")));
    assert_eq!(said.code, 0, "docker's client cannot be had: {said:?}");
    said.stdout.trim().into()
}

impl Daemon {
    /// A daemon in a network namespace of its own.
    pub(crate) fn start() -> Self {
        Self::start_on(Arc::new(Host::new()))
    }

    pub(crate) fn start_on(host: Arc<Host>) -> Self {
        let mut daemon = Self::stopped(host);
        daemon.resume(&[]);
        daemon
    }

    /// Roots without a daemon yet.
    pub(crate) fn stopped(host: Arc<Host>) -> Self {
        // A disk, not /tmp: where that is an overlay it takes no upper layer.
        let place = env!("CARGO_TARGET_TMPDIR");
        let data = tempfile::Builder::new().prefix("skein-e2e-").tempdir_in(place);
        let run = tempfile::Builder::new().prefix("skein-e2e-").tempdir();
        let (data, run) = (data.expect("a data root"), run.expect("a run root"));
        Self { host, data, run, child: None, options: Vec::new() }
    }

    /// With a swarm, the image and a network.
    pub(crate) fn with_swarm() -> Self {
        let daemon = Self::start();
        daemon.make_swarm();
        daemon
    }

    pub(crate) fn make_swarm(&self) {
        self.ok("swarm init --advertise-addr 127.0.0.1");
        self.load();
        self.ok("network create --driver overlay shop");
    }

    pub(crate) fn load(&self) {
        self.ok(&format!("image load -q -i {}", self.image().display()));
    }

    pub(crate) fn image(&self) -> PathBuf {
        IMAGE.path().join("hello.tar")
    }

    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) fn run_root(&self) -> &Path {
        self.run.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run.path().join("skein.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The command line of the daemon.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.host.command(binary());
        command.arg("daemon").arg("--data-root").arg(self.data()).arg("--run-root");
        command.arg(self.run.path()).arg("--host").arg(self.url()).args(&self.options);
        command
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn spawn(&mut self, environment: &[(&str, &str)]) {
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.expect("the daemon's log can be written");
        let mut command = self.command();
        command.env("NO_COLOR", "1").envs(environment.iter().copied());
        command.stdout(clone(&log)).stderr(log);
        self.child = Some(command.spawn().expect("the daemon can be started"));
    }

    /// Starts the process, on roots that may have seen others, and waits until it answers.
    pub(crate) fn resume(&mut self, environment: &[(&str, &str)]) {
        self.spawn(environment);
        until("the daemon answers", || {
            if let Some(status) = self.ended() {
                panic!("the daemon ended with {status}: {}", self.words());
            }
            UnixStream::connect(self.socket()).ok()
        });
        // It listens before it has read its log, and answers after.
        self.ok("image ls -q");
    }

    fn log(&self) -> PathBuf {
        self.run.path().join("daemon.log")
    }

    /// What the daemon has said.
    pub(crate) fn words(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a child can be asked")
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn terminate(&mut self) {
        let mut child = self.child.take().expect("it runs");
        signal(child.id(), "TERM");
        let status = until("the daemon stops", || child.try_wait().expect("a child can be asked"));
        assert!(status.success(), "{status}: {}", self.words());
    }

    /// A shell command with this daemon's clients, in its network namespace.
    pub(crate) fn sh(&self, script: &str) -> Said {
        let (skein, rest) = (binary(), std::env::var("PATH").unwrap_or_default());
        let folder = skein.parent().expect("a binary lies in a folder").display();
        let mut command = self.host.command("sh");
        command.args(["-c", script]).env("PATH", format!("{folder}:{rest}"));
        command.env("SKEIN_HOST", self.url()).env("DOCKER_HOST", self.url());
        run(command.current_dir(IMAGE.path()).env("HOME", self.run.path()))
    }

    /// `skein`, with arguments as a shell reads them.
    pub(crate) fn skein(&self, arguments: &str) -> Said {
        self.sh(&format!("skein {arguments}"))
    }

    /// `skein`, which must succeed; what it printed.
    pub(crate) fn ok(&self, arguments: &str) -> String {
        let said = self.skein(arguments);
        assert_eq!(said.code, 0, "skein {arguments}: {said:?}\n{}", self.words());
        said.stdout
    }

    /// `skein`, which must be refused; what it says.
    pub(crate) fn refused(&self, arguments: &str) -> String {
        let said = self.skein(arguments);
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "skein {arguments}: {said:?}");
        said.stderr
    }

    /// Rows that a list gives.
    pub(crate) fn rows(&self, arguments: &str) -> Vec<Value> {
        let text = self.ok(&format!("{arguments} --format json"));
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// The running task of a name, as `service ps` tells it.
    pub(crate) fn running(&self, task: &str) -> Option<Value> {
        let (service, _) = task.rsplit_once('.').expect("SERVICE.SLOT");
        let rows = self.rows(&format!("service ps {service}"));
        rows.into_iter().find(|row| {
            row["Name"] == task
                && row["CurrentState"].as_str().is_some_and(|s| s.starts_with("Running"))
        })
    }

    /// The process of a running task.
    pub(crate) fn process(&self, task: &str) -> u32 {
        let row = until(task, || self.running(task));
        let pid = row["PID"].as_u64().or_else(|| row["PID"].as_str()?.parse().ok());
        u32::try_from(pid.unwrap_or_else(|| panic!("{row}"))).expect("a process id is small")
    }

    /// Waits until a service has so many tasks running.
    pub(crate) fn await_replicas(&self, service: &str, replicas: &str) {
        until(&format!("{service} has {replicas}"), || {
            let rows = self.rows("service ls");
            rows.iter().any(|r| r["Name"] == service && r["Replicas"] == replicas).then_some(())
        });
    }

    /// Addresses a name has inside a task, sorted.
    pub(crate) fn addresses(&self, task: &str, name: &str) -> Vec<String> {
        let said = self.skein(&format!("exec {task} nslookup -type=a {name}"));
        let mut found: Vec<String> = said
            .stdout
            .lines()
            .skip(3)
            .filter_map(|line| line.strip_prefix("Address: "))
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    }

    /// Position of the newest record.
    pub(crate) fn head(&self) -> u64 {
        let line = self.ok("log -n 1 --format json");
        let line: Value = serde_json::from_str(line.trim()).expect("a line is JSON");
        line["position"].as_u64().expect("a record has a position")
    }

    /// First line of the answer to a request for a path.
    pub(crate) fn status_of(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("the daemon listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: skein\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the daemon reads");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("the daemon answers");
        line.trim().to_owned()
    }

    fn control_groups(&self) -> Vec<PathBuf> {
        let Ok(id) = fs::read_to_string(self.data().join("id")) else { return Vec::new() };
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let mut roots: Vec<PathBuf> = hierarchies.map(|entry| entry.path()).collect();
        roots.push("/sys/fs/cgroup".into());
        roots.retain(|path| path.symlink_metadata().is_ok_and(|m| m.is_dir()));
        let roots = roots.into_iter().map(|path| path.join("skein").join(id.trim()));
        roots.filter(|path| path.exists()).collect()
    }

    /// Processes that write into the roots, or are in the control groups: the daemon, shims, containers.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::new();
        for group in self.control_groups() {
            for folder in folders(&group) {
                let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                found.extend(list.lines().filter_map(|line| line.parse::<u32>().ok()));
            }
        }
        for entry in fs::read_dir("/proc").expect("there is /proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let writes = fs::read_link(entry.path().join("fd/2"));
            if writes.is_ok_and(|w| w.starts_with(self.data()) || w.starts_with(self.run.path())) {
                found.push(pid);
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Mounts below the roots, the newest first.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = all.lines().filter_map(|line| line.split(' ').nth(4));
        let mut ours: Vec<String> = points
            .filter(|p| {
                Path::new(p).starts_with(self.data()) || Path::new(p).starts_with(self.run.path())
            })
            .map(str::to_owned)
            .collect();
        ours.reverse();
        ours
    }

    /// Every control group of the daemon's containers.
    pub(crate) fn groups(&self) -> impl Iterator<Item = PathBuf> {
        self.control_groups().into_iter().flat_map(|group| folders(&group))
    }

    /// Everything that is left of this daemon outside its roots.
    pub(crate) fn remains(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.processes().iter().map(|p| format!("process {p}")).collect();
        all.extend(self.mounts().into_iter().filter(|m| !m.contains("/netns")));
        all.extend(self.control_groups().iter().map(|path| path.display().to_string()));
        all
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- the daemon said:\n{}", self.words());
        }
        self.kill();
        let ours = self.processes();
        for pid in &ours {
            signal(*pid, "KILL");
        }
        for pid in ours {
            until("a killed process goes", || (!runs(pid)).then_some(()));
        }
        for mount in self.mounts() {
            run(Command::new("umount").arg("-l").arg(mount));
        }
        for group in self.control_groups() {
            for folder in folders(&group).into_iter().rev() {
                // Whoever was in it has gone; what stays is empty.
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// A folder and all below it, parents first.
fn folders(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.to_owned()];
    let mut next = 0;
    while let Some(folder) = all.get(next).cloned() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        all.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        next += 1;
    }
    all
}

fn clone(file: &File) -> File {
    file.try_clone().expect("a file can be shared")
}

/// Whether there is such a process, and it is not only waiting to be buried.
pub(crate) fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

pub(crate) fn signal(pid: u32, name: &str) {
    run(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]));
}
