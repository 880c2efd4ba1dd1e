//! The composition root: builds every part of the daemon and joins them.
//! The one file that knows every crate.
//!
//! ```text
//!  thread actors       actix: the one writer, nouns, dispatch, agent, tasks
//!  thread serving      HTTP on the socket, DNS for containers
//!  thread consensus    openraft            thread log-writer   redb, fsync
//!  blocking pool       netlink, unpacking, reads of the log
//! ```

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arc_swap::ArcSwapOption;
use skein_actors::agent::Tools;
use skein_actors::agent::findings::Findings;
use skein_actors::agent::names::Served;
use skein_actors::backend::Service;
use skein_actors::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use skein_actors::images::Images;
use skein_actors::member::{Ground, MemberActor, Membership, ShutDown};
use skein_actors::spawner::Threads;
use skein_actors::swarm::Seams;
use skein_events::node::Description;
use skein_events::unit::{Bytes, NanoCpus, Subnet};
use skein_net::backend::{Backend, Cgroup, Local};
use skein_net::dns::{DnsServer, HostFile};
use skein_net::overlay::{Config, Kernel, Linux};
use skein_runtime::api::Runtime;
use skein_runtime::machine::{Machine, Options};
use skein_store::FileDisk;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::args::{DaemonArgs, LogFormat, LogLevel};
use crate::failure::FATAL;
use crate::{memory, screen, supervisor};

/// Where the host lists its resolvers.
const RESOLVERS: &str = "/etc/resolv.conf";

/// Runs the daemon until it is told to stop.
pub fn run(args: DaemonArgs) -> anyhow::Result<()> {
    trace(args.log_format, args.log_level);
    end_on_panic();
    keep_to_ourselves()?;
    make_private(&args.data_root, 0o700)?;
    // Others may pass through the run root only where the socket is there, whose own mode says who may use it.
    let passed_through = args.host.starts_with(&args.run_root);
    make_private(&args.run_root, if passed_through { 0o711 } else { 0o700 })?;
    let data_root = args.data_root.canonicalize()?;
    let run_root = args.run_root.canonicalize()?;
    let _lock = FileDisk::open(&data_root)?;
    let _run_lock = (run_root != data_root).then(|| own_run_root(&run_root)).transpose()?;
    let listener = listen(&args.host)?;
    // Whoever finds the data root in use asks there: `skein replay --data-root`. A full disk must not stop a start.
    let address = format!("unix://{}\n", args.host.display());
    if let Err(error) = fs::write(data_root.join(skein_actors::offline::HOST_FILE), address) {
        tracing::warn!(%error, "cannot write down in the data root where the daemon listens");
    }
    let id = identity(&data_root)?;
    let metrics = args.metrics_addr.map(listen_for_metrics).transpose()?;

    let serving = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("serving")
        .enable_all()
        .build()?;
    let resolvers = Arc::new(HostFile::new(Path::new(RESOLVERS)));
    serving.spawn(heed_signals(Arc::clone(&resolvers), run_root.clone()));
    let kernel = Linux::start(&Config {
        id: id.clone(),
        data_root: data_root.clone(),
        run_root: run_root.clone(),
        avoid: vec![Subnet::containing(std::net::Ipv4Addr::new(10, 0, 0, 0), 8)],
        guarded: args.metrics_addr.iter().map(SocketAddr::port).collect(),
    })?;
    let machine = Machine::open(Options {
        data: data_root.clone(),
        run: run_root,
        root_id: id.clone(),
        insecure_registries: args.insecure_registry,
        no_new_privileges: args.no_new_privileges,
        shim: PathBuf::from("/proc/self/exe"),
    })?;
    let entropy = SystemEntropy;
    let [a, b, c, d, e, f, g, h, ..] = entropy.seed();
    let dns = DnsServer::new(resolvers, u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    let runtime: Arc<dyn Runtime> = Arc::new(machine);
    let kernel: Arc<dyn Kernel> = Arc::new(kernel);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let findings = Arc::new(Findings::new(Arc::clone(&clock)));
    let description = describe();
    let membership: Membership = Arc::new(ArcSwapOption::empty());
    let ground = Ground {
        seams: Seams {
            clock: Arc::clone(&clock),
            entropy: Arc::new(entropy),
            spawner: Arc::new(Threads),
            fatal: Arc::new(|text| {
                tracing::error!("{text}");
                std::process::exit(FATAL);
            }),
        },
        tools: Tools {
            findings: Arc::clone(&findings),
            runtime: Arc::clone(&runtime),
            images: Images {
                runtime: Arc::clone(&runtime),
                membership: Arc::clone(&membership),
                clock: Arc::clone(&clock),
            },
            kernel: Arc::clone(&kernel),
            names: Arc::new(Served::new(dns, serving.handle().clone())),
        },
        description: description.clone(),
        folder: data_root.join(skein_actors::offline::FOLDER),
        membership: Arc::clone(&membership),
    };
    let local = local(&description, &data_root, id);
    let host = args.host;
    let on = serving.handle().clone();
    let ended = actix::System::new().block_on(async move {
        let member = MemberActor::resume(ground).await.map_err(anyhow::Error::new)?;
        let service =
            Service { member: member.clone(), membership, runtime, kernel, findings, clock, local };
        let (stop, stopped) = oneshot::channel::<()>();
        let backend: Arc<dyn Backend> = Arc::new(service);
        listener.set_nonblocking(true)?;
        let listener = {
            let _on = on.enter();
            tokio::net::UnixListener::from_std(listener)?
        };
        on.spawn(supervisor::watchdog(Arc::clone(&backend)));
        on.spawn(memory::give_back(Arc::clone(&backend)));
        let closing = CancellationToken::new();
        let _until_the_end = closing.clone().drop_guard();
        if let Some(metrics) = metrics {
            let _on = on.enter();
            let metrics = tokio::net::TcpListener::from_std(metrics)?;
            let backend = Arc::clone(&backend);
            on.spawn(skein_net::http::serve_metrics(metrics, backend, closing));
        }
        let http = on.spawn(skein_net::http::serve(listener, backend, async {
            // The sender gone means the same as told.
            drop(stopped.await);
        }));
        supervisor::ready(&host);
        told_to_stop().await?;
        supervisor::stopping();
        drop(stop);
        http.await?;
        let (done, ended) = oneshot::channel();
        member.send(ShutDown(done)).await?;
        ended.await?;
        drop(fs::remove_file(&host));
        Ok(())
    });
    // Out here, because it may not end within another: also when the start fails.
    serving.shutdown_background();
    ended
}

/// Takes the run root for this daemon: another one's namespaces and sockets there would be swept as nobody's.
fn own_run_root(run_root: &Path) -> anyhow::Result<FileDisk> {
    FileDisk::open(run_root).map_err(|error| match error {
        skein_store::Error::InUse { root, by } => {
            anyhow::anyhow!(
                "run root in use: {by} runs on {root}; give each daemon its own --run-root"
            )
        }
        other => other.into(),
    })
}

/// Diagnostics go to standard error. RUST_LOG, which can name single modules, goes before the level.
fn trace(format: LogFormat, level: LogLevel) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level.filter()));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(screen::error_is_coloured())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// A panic anywhere but in the guarded `decide` ends the process: restart and replay is the supervisor.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if skein_actors::log::is_guarded() {
            return;
        }
        report(panic);
        std::process::exit(FATAL);
    }));
}

/// What this process makes is for root alone unless a mode is set where it is made, whatever started the daemon; and its
/// memory, which holds the swarm's keys, is never written into a core file or looked into by who is not root.
fn keep_to_ourselves() -> anyhow::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};
    umask(rustix::fs::Mode::from(0o077));
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid core files")
}

/// Makes a root if it is not there; one that an earlier version left open is closed.
fn make_private(root: &Path, mode: u32) -> anyhow::Result<()> {
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    fs::set_permissions(root, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot protect {}", root.display()))
}

/// Takes the socket, unless somebody answers there.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        bail!("another daemon listens on {}: give this one another --host", path.display());
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    if !folder.exists() {
        // The socket's own mode says who may use it.
        fs::create_dir_all(folder)
            .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    // Bound under another name first: nobody connects before the mode is right.
    let hidden = path.with_extension("new");
    drop(fs::remove_file(&hidden));
    let listener = UnixListener::bind(&hidden)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o660))?;
    fs::rename(&hidden, path)?;
    Ok(listener)
}

/// Takes the address for metrics. Whoever reaches it may read them, so more than this host is worth a word.
fn listen_for_metrics(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot serve metrics at {address}"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    tracing::info!("metrics at http://{address}/metrics");
    if !address.ip().is_loopback() {
        tracing::warn!("metrics at {address} are read by everybody who reaches it");
    }
    Ok(listener)
}

/// The data root's id: eight hex digits that name its objects in the kernel.
fn identity(data_root: &Path) -> anyhow::Result<String> {
    let path = data_root.join("id");
    match fs::read_to_string(&path) {
        Ok(id) if id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(id),
        Ok(_) => bail!("{} is damaged: it holds eight hex digits", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let [a, b, c, d, ..] = SystemEntropy.seed();
            let id = format!("{a:02x}{b:02x}{c:02x}{d:02x}");
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(id.as_bytes())?;
            file.sync_all()?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn describe() -> Description {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0u64);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    Description {
        hostname: read("/proc/sys/kernel/hostname").trim().to_owned(),
        os: "linux".to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpus: NanoCpus(cpus * 1_000_000_000),
        memory: Bytes(memory * 1024),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn local(description: &Description, data_root: &Path, id: String) -> Local {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Local {
        node: None,
        address: None,
        hostname: description.hostname.clone(),
        cpus: description.cpus.0 / 1_000_000_000,
        memory: description.memory.0,
        kernel: kernel.trim().to_owned(),
        system: operating_system(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        cgroup: if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            Cgroup::V2
        } else {
            Cgroup::V1
        },
        data_root: data_root.display().to_string(),
        id,
    }
}

/// What `/etc/os-release` calls the system.
fn operating_system(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map(|name| name.trim_matches(['"', '\'']));
    name.filter(|name| !name.is_empty()).unwrap_or("Linux").to_owned()
}

/// Signals that mean something else than the end: SIGHUP reads again what may change while the daemon runs, as it means to
/// every daemon, and comes from a terminal that goes; SIGUSR1 writes down what the threads do. Neither kills.
async fn heed_signals(resolvers: Arc<HostFile>, run_root: PathBuf) {
    use tokio::signal::unix::{SignalKind, signal};
    let heard =
        |kind| signal(kind).map_err(|error| tracing::warn!(%error, "a signal is not heard"));
    let (Ok(mut reload), Ok(mut dump)) =
        (heard(SignalKind::hangup()), heard(SignalKind::user_defined1()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = reload.recv() => {
                drop(resolvers.now());
                tracing::info!("reloaded: {RESOLVERS} was read again; options are those of the start");
            }
            _ = dump.recv() => match dump_threads(&run_root) {
                Ok(path) => tracing::info!("what the threads do is in {}", path.display()),
                Err(error) => tracing::warn!(%error, "what the threads do cannot be written down"),
            },
        }
    }
}

/// Writes what each thread of this process is at, as the kernel sees it, into a file for root.
fn dump_threads(run_root: &Path) -> std::io::Result<PathBuf> {
    let mut text = String::new();
    for thread in fs::read_dir("/proc/self/task")?.flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let id = thread.file_name().to_string_lossy().into_owned();
        text.push_str(&format!("thread {id} {}", read("comm")));
        text.push_str(&read("status"));
        text.push_str(&read("stack"));
        text.push('\n');
    }
    let path = run_root.join(format!("threads-{}.txt", std::process::id()));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
