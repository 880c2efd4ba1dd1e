//! Making a container and further processes in it, with the container library; blocks, and only the shim calls it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use libcontainer::container::Container as OciContainer;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use rustix::fs::{Gid, Uid, fchown};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::PidfdFlags;
use skein_events::id::TaskId;

use super::console::{self, Console, Pair, Terminals};
use super::init::Title;
use super::launch::{Filter, Launch};
use super::protocol::{NOT_RUNNING, Order, STARTED};
use super::within::within;
use crate::api::{ExecSpec, WindowSize};
use crate::error::{Context as _, Error, words};
use crate::private;
use crate::rootfs::mount::{self, Placed, is_within};
use crate::rootfs::overlay::{self, Overlay};
use crate::rootfs::user::Who;
use crate::rootfs::{path, prepare, user};
use crate::spec::{self, Places, Process};

/// Bytes of a report why a program cannot be executed.
const REPORT_MAX: u64 = 64 << 10;
/// Killed last: without its shim a container ends.
const SHIM_OOM_SCORE: &str = "-999";
const CONTAINER_OOM_SCORE: &str = "0";

/// A container that was made, and what further processes in it need.
pub(super) struct Made {
    id: TaskId,
    library: OciContainer,
    library_root: PathBuf,
    rootfs: PathBuf,
    process: Process,
    filter: Filter,
    groups: Vec<String>,
    /// The other end of its standard input, if that is to stay open.
    _stdin: Option<OwnedFd>,
    /// Closes when the program is executed; taken by `start`.
    report: Option<OwnedFd>,
    pub(super) pid: u32,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// For further processes; none if the user mounted something else there.
    terminals: Option<Terminals>,
    further: u64,
}

impl Made {
    pub(super) fn create(order: &Order) -> Result<Self, Error> {
        let Order {
            container,
            process,
            layers,
            dir,
            volumes,
            logs: _,    // the server's
            sockets: _, // the server's
            check: _,   // the daemon's
            library,
            cgroup,
            filter,
        } = order;
        let filter = base64::engine::general_purpose::STANDARD
            .decode(filter)
            .map_err(io::Error::other)
            .and_then(|bytes| Filter::from_bytes(&bytes))
            .context("read the system call filter")?;
        within(&process.options)?;
        let rootfs = dir.join("rootfs");
        overlay::mount(&Overlay {
            layers,
            empty: &dir.join("empty"),
            upper: &dir.join("upper"),
            work: &dir.join("work"),
            target: &rootfs,
        })?;
        let root = path::open_root(&rootfs).context("open the root file system")?;
        prepare::prepare(root.as_fd(), &process.dir)?;
        let mut who = user::resolve(root.as_fd(), &process.user)?;
        user::add_groups(&mut who, root.as_fd(), &container.spec.groups)?;
        let texts =
            [&container.hosts, &container.resolv_conf, &format!("{}\n", container.hostname)];
        for (name, text) in prepare::FILES.iter().zip(texts) {
            let place = dir.join(name);
            private::write(&place, text.as_bytes()).context(format!("write {name}"))?;
            // What the container finds in its /etc, whoever runs there.
            let readable = rustix::fs::Mode::from(0o644);
            rustix::fs::chmod(&place, readable).context(format!("open {name}"))?;
        }
        let spec = &container.spec;
        let mut files = Vec::new();
        let placed: Vec<Placed<'_>> = spec
            .mounts
            .iter()
            .map(|mount| Placed { mount, volume: volumes.get(&mount.target).map(PathBuf::as_path) })
            .collect();
        // The library binds our files after all else, and walks paths; so only where the user mounts nothing.
        let bind_files = !spec.mounts.iter().any(|mount| is_within(&mount.target, "/etc"));
        if !bind_files {
            for name in prepare::FILES {
                let target = format!("/etc/{name}");
                if !spec.mounts.iter().any(|mount| mount.target == target) {
                    files.push((dir.join(name), target));
                }
            }
        }
        mount::all(root.as_fd(), &placed, &files)?;
        drop(root);
        let late = mount::late(&placed)?;
        let places = Places { rootfs: &rootfs, files: dir, cgroup, bind_files, late };
        let json = spec::oci(container, process, &who, &places)?.to_string();
        private::write(&dir.join("config.json"), json.as_bytes()).context("write config.json")?;

        let (stdout, stdout_inside) = output(&who)?;
        let (stderr, stderr_inside) = output(&who)?;
        let (report, report_inside) = pipe()?;
        let shim = ourselves()?;
        let launch = Launch {
            report: report_inside.as_raw_fd(),
            shim: shim.as_raw_fd(),
            filter: filter.clone(),
            until_filtered: until_filtered(process),
            init: match spec.init {
                Some(true) => Some(Title::own().context("find the command line")?),
                Some(false) | None => None,
            },
            terminal: false,
        };
        let console = if spec.tty { Some(Console::listen(dir)?) } else { None };
        // Open and silent, as long as its other end is.
        let stdin = if spec.open_stdin { Some(pipe()?) } else { None };
        let (stdin_inside, stdin) = stdin.unzip();
        oom_score(CONTAINER_OOM_SCORE);
        let built = ContainerBuilder::new(container.id.to_string(), SyscallType::default())
            .with_root_path(library.clone())
            .map(|builder| {
                let builder = match stdin_inside {
                    Some(stdin) if !spec.tty => builder.with_stdin(stdin),
                    Some(_) | None => builder,
                };
                builder
                    .with_executor(launch)
                    .with_stdout(stdout_inside)
                    .with_stderr(stderr_inside)
                    .with_console_socket(console.as_ref().map(|console| console.path.clone()))
                    .as_init(dir)
                    .with_systemd(false)
            })
            .and_then(libcontainer::container::init_builder::InitContainerBuilder::build);
        oom_score(SHIM_OOM_SCORE);
        drop(report_inside);
        let made = match built {
            Ok(made) => made,
            Err(error) => return Err(refused(container.id, &report, &error)),
        };
        let pid = made.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok());
        let pid = pid.ok_or_else(|| Error::Container {
            id: container.id,
            message: "the library made no process".to_owned(),
        })?;
        // A terminal is standard output and error in one.
        let stdout = match console {
            Some(console) => {
                let outer = console.receive()?;
                console::own(&outer, who.uid)?;
                outer
            }
            None => stdout,
        };
        // The user's program does not run yet, so nothing in there is its work.
        let terminals = Terminals::of(pid)?;
        Ok(Self {
            id: container.id,
            library: made,
            library_root: library.clone(),
            rootfs,
            process: process.clone(),
            filter,
            groups: spec.groups.clone(),
            _stdin: stdin,
            report: Some(report),
            pid,
            stdout,
            stderr,
            terminals,
            further: 0,
        })
    }

    pub(super) fn id(&self) -> TaskId {
        self.id
    }

    pub(super) fn started(&self) -> bool {
        self.report.is_none()
    }

    /// Lets the program run, and waits until it was executed or could not be.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        let Some(report) = self.report.take() else {
            return Err(Error::Busy { id: self.id, state: STARTED });
        };
        self.library.start().map_err(|error| Error::Container {
            id: self.id,
            message: format!("start: {}", whole(&error)),
        })?;
        match read_report(&report)? {
            message if message.is_empty() => Ok(()),
            message => Err(Error::BadCommand { message }),
        }
    }

    /// The next further process has a number of its own, also when the helper that makes it is a copy of this process.
    pub(super) fn number_further(&mut self) {
        self.further += 1;
    }

    /// Runs a further process; answers its process id. Only a helper calls it: see `further`.
    pub(super) fn exec(&mut self, exec: &ExecSpec, files: Vec<OwnedFd>) -> Result<u32, Error> {
        if !self.started() {
            return Err(Error::Busy { id: self.id, state: NOT_RUNNING });
        }
        let process = spec::exec(&self.process, exec)?;
        let root = path::open_root(&self.rootfs).context("open the root file system")?;
        let mut who = user::resolve(root.as_fd(), &process.user)?;
        user::add_groups(&mut who, root.as_fd(), &self.groups)?;
        drop(root);
        self.enter(&process.dir)?;
        let Streams { stdin, stdout, stderr } = match exec.terminal {
            Some(size) => self.terminal(size, &who, files)?,
            None => self.pipes(&who, files)?,
        };
        let directory = self.library_root.join(self.id.to_string());
        let description = directory.join(format!("exec-{}.json", self.further));
        let json = spec::process_json(&process, &who, false).to_string();
        private::write(&description, json.as_bytes()).context("write the process's description")?;

        let (report, report_inside) = pipe()?;
        let shim = ourselves()?;
        let report_fd = report_inside.as_raw_fd();
        let launch = Launch {
            report: report_fd,
            shim: shim.as_raw_fd(),
            filter: self.filter.clone(),
            until_filtered: until_filtered(&process),
            init: None,
            terminal: exec.terminal.is_some(),
        };
        oom_score(CONTAINER_OOM_SCORE);
        let built = ContainerBuilder::new(self.id.to_string(), SyscallType::default())
            .with_root_path(self.library_root.clone())
            .and_then(|builder| {
                builder
                    .with_executor(launch)
                    .with_stdin(stdin)
                    .with_stdout(stdout)
                    .with_stderr(stderr)
                    .as_tenant()
                    .with_detach(true)
                    .with_process(Some(&description))
                    .build()
            });
        oom_score(SHIM_OOM_SCORE);
        drop(report_inside);
        let _ = fs::remove_file(&description);
        sweep(&directory);
        let pid = built.map_err(|error| refused(self.id, &report, &error))?;
        match read_report(&report)? {
            message if message.is_empty() => {}
            message => return Err(Error::BadCommand { message }),
        }
        Ok(u32::try_from(pid.as_raw()).expect("the library answers the process it made"))
    }

    /// Whether a further process can begin in a directory, as the container sees it with all that is mounted there: the
    /// library would only say that it failed.
    fn enter(&self, dir: &str) -> Result<(), Error> {
        let root = path::open_root(Path::new(&format!("/proc/{}/root", self.pid)));
        let root = root.context("open the container's root")?;
        path::open_inside(root.as_fd(), dir).map(drop).map_err(|errno| {
            let reason = words(&errno.into());
            Error::BadCommand { message: format!("chdir to cwd ({dir:?}) failed: {reason}") }
        })
    }

    /// The daemon's pipes: standard output, error and perhaps input.
    fn pipes(&self, who: &Who, files: Vec<OwnedFd>) -> Result<Streams, Error> {
        let mut files = files.into_iter();
        let (Some(stdout), Some(stderr)) = (files.next(), files.next()) else {
            return Err(Error::Container { id: self.id, message: "exec without files".to_owned() });
        };
        let stdin = match files.next() {
            Some(stdin) => stdin,
            None => File::open("/dev/null").context("open /dev/null")?.into(),
        };
        own(&stdout, who)?;
        own(&stderr, who)?;
        Ok(Streams { stdin, stdout, stderr })
    }

    /// A new terminal of the container, whose outer end goes to the daemon and stays with nobody here: when the daemon
    /// closes it, or ends, the terminal hangs up.
    fn terminal(&self, size: WindowSize, who: &Who, files: Vec<OwnedFd>) -> Result<Streams, Error> {
        let Some(socket) = files.into_iter().next() else {
            return Err(Error::Container { id: self.id, message: "exec without files".to_owned() });
        };
        let Some(terminals) = &self.terminals else {
            return Err(Error::BadSetting {
                message: "the container has no terminals: something else is mounted on /dev/pts"
                    .to_owned(),
            });
        };
        let Pair { outer, inner } = terminals.make(size, who.uid)?;
        console::send(&socket, &outer)?;
        let again = || inner.try_clone().context("make a terminal");
        Ok(Streams { stdin: again()?, stdout: again()?, stderr: inner })
    }
}

fn until_filtered(process: &Process) -> Vec<u32> {
    spec::only_for_the_filter(&process.options).into_iter().map(|(_, number)| number).collect()
}

/// What a further process is given.
struct Streams {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// The library leaves a socket for each further process.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("tenant-notify-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    pipe_with(PipeFlags::CLOEXEC).context("make a pipe")
}

/// A pipe whose writing end belongs to the user inside, so that it may open `/dev/stdout`.
fn output(who: &Who) -> Result<(OwnedFd, OwnedFd), Error> {
    let (outside, inside) = pipe()?;
    own(&inside, who)?;
    Ok((outside, inside))
}

fn own(pipe: &OwnedFd, who: &Who) -> Result<(), Error> {
    fchown(pipe, Some(Uid::from_raw(who.uid)), Some(Gid::from_raw(who.gid))).context("own a pipe")
}

/// Not every kernel or container we run in allows it, and it is a matter of degree.
fn oom_score(score: &str) {
    let _ = fs::write("/proc/self/oom_score_adj", score);
}

/// A handle of this process, by which a copy of it sees whether it still lives.
fn ourselves() -> Result<OwnedFd, Error> {
    rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(io::Error::from)
        .context("open a handle of the shim")
}

fn read_report(report: &OwnedFd) -> Result<String, Error> {
    let mut text = Vec::new();
    File::from(report.try_clone().context("read a report")?)
        .take(REPORT_MAX)
        .read_to_end(&mut text)
        .context("read a report")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What went wrong: our own word from inside if there is one, else the library's.
fn refused(id: TaskId, report: &OwnedFd, error: &dyn std::error::Error) -> Error {
    match read_report(report) {
        Ok(message) if !message.is_empty() => Error::BadCommand { message },
        _ => Error::Container { id, message: whole(error) },
    }
}

/// An error with its causes, those already said left out.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

/// Whether the kernel killed a process of this cgroup for want of memory.
pub(super) fn out_of_memory(cgroup: &str) -> bool {
    let relative = cgroup.trim_start_matches('/');
    let counter = |file: PathBuf| -> io::Result<u64> {
        let text = fs::read_to_string(file)?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
    };
    let root = Path::new("/sys/fs/cgroup");
    [
        root.join("memory").join(relative).join("memory.oom_control"),
        root.join(relative).join("memory.events"),
    ]
    .into_iter()
    .any(|file| counter(file).is_ok_and(|count| count > 0))
}
