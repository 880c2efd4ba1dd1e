//! A real daemon on roots of its own, for as long as the value lives; and what the kernel says of its process.
//! The bench runs in a network namespace of its own (scripts/bench.sh), so nothing here meets the machine's network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::client::Client;

/// A daemon that does not answer after so long never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a daemon keeps what it has.
pub(crate) struct Ground {
    folder: TempDir,
    skein: PathBuf,
}

/// A running daemon.
pub(crate) struct Daemon<'a> {
    ground: &'a Ground,
    child: Child,
}

impl Ground {
    /// Empty roots on the disk that holds the temporary folder.
    pub(crate) fn new(skein: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("skein-bench.").tempdir()?;
        Ok(Self { folder, skein: skein.canonicalize().context("the skein binary")? })
    }

    /// The folder the log is in.
    pub(crate) fn swarm(&self) -> PathBuf {
        self.folder.path().join("data/swarm")
    }

    /// The socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("skein.sock")
    }

    /// A place for other files on the same disk.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a daemon; does not wait for it.
    pub(crate) fn start(&self) -> anyhow::Result<Daemon<'_>> {
        let said = File::options().create(true).append(true).open(self.place("said"))?;
        let child = Command::new(&self.skein)
            .arg("daemon")
            .args(["--data-root".as_ref(), self.place("data").as_os_str()])
            .args(["--run-root".as_ref(), self.place("run").as_os_str()])
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()?;
        Ok(Daemon { ground: self, child })
    }

    /// A daemon that answers, in a swarm of its own.
    pub(crate) async fn swarm_of_one(&self) -> anyhow::Result<Daemon<'_>> {
        let daemon = self.start()?;
        let mut client = daemon.client("/_ping").await?;
        let init = r#"{"ListenAddr":"127.0.0.1:2377","AdvertiseAddr":"127.0.0.1"}"#;
        client.post("/swarm/init", init).await?;
        Ok(daemon)
    }

    /// The control groups of this data root, one a hierarchy.
    fn groups(&self) -> std::io::Result<Vec<PathBuf>> {
        let id = fs::read_to_string(self.place("data/id"))?;
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(top)?.flatten().map(|entry| entry.path());
        let hierarchies = hierarchies.chain([top.to_owned()]);
        Ok(hierarchies.map(|h| h.join("skein").join(id.trim())).collect())
    }

    /// Removes the control groups of this data root: the daemon keeps its empty ones for the next start.
    fn remove_groups(&self) -> std::io::Result<()> {
        for group in self.groups()? {
            for inner in fs::read_dir(&group).into_iter().flatten().flatten() {
                if inner.file_type()?.is_dir() {
                    fs::remove_dir(inner.path())?;
                }
            }
            drop(fs::remove_dir(group));
        }
        Ok(())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.place("said")).unwrap_or_default()
    }
}

impl Daemon<'_> {
    /// A client, once a path answers.
    pub(crate) async fn client(&self, path: &str) -> anyhow::Result<Client> {
        let begun = Instant::now();
        loop {
            if let Ok(mut client) = Client::to(&self.ground.socket()).await
                && client.ask("GET", path, "").await.is_ok()
            {
                return Ok(client);
            }
            if begun.elapsed() > PATIENCE {
                bail!("the daemon does not answer: {}", self.ground.said());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends it as a supervisor would, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// Ends it and its swarm: its links and ports are free for the daemon of the next figure.
    pub(crate) async fn leave(mut self, client: &mut Client) -> anyhow::Result<()> {
        client.post("/swarm/leave?force=1", "").await?;
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                self.child.kill()?;
                self.child.wait()?;
                bail!("the daemon does not end: {}", self.ground.said());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its control groups.
    pub(crate) fn groups(&self) -> std::io::Result<Vec<PathBuf>> {
        self.ground.groups()
    }

    /// Memory it has for itself, and its share of what it has together with others, in KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        self.rollup("Pss:")
    }

    /// What of its memory is of no file: what it keeps, and not which of its code it last ran, in KiB.
    pub(crate) fn anonymous_memory(&self) -> anyhow::Result<u64> {
        self.rollup("Pss_Anon:")
    }

    fn rollup(&self, field: &'static str) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        Ok(line.and_then(|l| l.trim().strip_suffix(" kB")).context(field)?.trim().parse()?)
    }

    /// Processor time it has used.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let mut all = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            all += text.split_whitespace().next().context("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(all))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // What is left after a failure ends with this process's namespaces; its empty groups do no harm.
        drop(self.remove_groups());
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // Also when a measurement failed; the process is ours.
        drop(self.end());
    }
}
