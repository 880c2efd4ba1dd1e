//! A machine for one test: directories, a network namespace and an image of its own, gone when the test ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use nix::sched::CloneFlags;
use skein_events::id::TaskId;
use skein_events::task::container::ContainerSpec;
use skein_events::task::spec::Limits;
use skein_runtime::api::{Container, ExecSpec, LogsSpec, Runtime};
use skein_runtime::log::{Line, Stream};
use skein_runtime::machine::{Machine, Options};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) machine: Machine,
    runtime: tokio::runtime::Runtime,
}

/// What a further process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Rig {
    pub(crate) fn new() -> Self {
        // A disk, not /tmp: where that is an overlay or tmpfs it takes no upper layer or no attributes.
        let dir = tempfile::Builder::new()
            .prefix("skein-machine-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        make_netns(&dir.path().join("netns"));
        let machine = open(dir.path());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let rig = Self { dir, machine, runtime };
        let archive = image_archive(&[busybox_layer(), second_layer()], "busybox:latest");
        rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(archive)))).unwrap();
        rig
    }

    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let limit = std::time::Duration::from_secs(20);
        self.runtime.block_on(async {
            tokio::time::timeout(limit, future).await.expect("a test step takes under 20 s")
        })
    }

    /// Goes on by itself.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// A container that runs a shell script.
    pub(crate) fn container(&self, script: &str) -> Container {
        let mut random = [0; 16];
        getrandom::fill(&mut random).unwrap();
        let id = TaskId::from_random(random);
        Container {
            id,
            name: format!("test.1.{id}"),
            spec: ContainerSpec {
                image: "busybox".to_owned(),
                args: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
                ..ContainerSpec::default()
            },
            limits: Limits::default(),
            env: vec!["GREETING=hello".to_owned()],
            netns: self.dir.path().join("netns"),
            hosts: "127.0.0.1 localhost\n10.0.0.2 me\n".to_owned(),
            resolv_conf: "nameserver 127.0.0.11\n".to_owned(),
            hostname: "inside".to_owned(),
            labels: BTreeMap::new(),
            keep: skein_runtime::log::Keep::default(),
        }
    }

    /// Makes and starts it.
    pub(crate) fn start(&self, container: &Container) -> u32 {
        let created = self.run(self.machine.create(container.clone())).unwrap();
        self.run(self.machine.start(container.id)).unwrap();
        created.pid
    }

    /// Runs a script to its end; its exit status and standard output.
    pub(crate) fn output(&self, script: &str) -> (i32, String) {
        let container = self.container(script);
        self.start(&container);
        let exit = self.run(self.machine.wait(container.id)).unwrap();
        let log = self.log(container.id, Stream::Stdout);
        let errors = self.log(container.id, Stream::Stderr);
        if !errors.is_empty() {
            eprintln!("stderr: {errors}");
        }
        self.run(self.machine.remove(container.id)).unwrap();
        (exit.code, log)
    }

    pub(crate) fn exec(&self, id: TaskId, exec: ExecSpec, input: Option<&[u8]>) -> Said {
        self.run(async {
            let mut session = self.machine.exec(id, exec).await.unwrap();
            if let Some(mut stdin) = session.stdin.take() {
                stdin.write_all(input.unwrap_or_default()).await.unwrap();
            }
            let (mut stdout, mut stderr) = (String::new(), String::new());
            session.stdout.read_to_string(&mut stdout).await.unwrap();
            session.stderr.read_to_string(&mut stderr).await.unwrap();
            Said { code: session.exit.await.unwrap(), stdout, stderr }
        })
    }

    pub(crate) fn shell(&self, id: TaskId, script: &str) -> Said {
        self.exec(id, ExecSpec { args: words(&["sh", "-c", script]), ..ExecSpec::default() }, None)
    }

    pub(crate) fn log(&self, id: TaskId, stream: Stream) -> String {
        let lines = self.run(async {
            let logs = self.machine.logs(id, LogsSpec::default()).await.unwrap();
            logs.map(Result::unwrap).collect::<Vec<Line>>().await
        });
        lines.into_iter().filter(|line| line.stream == stream).map(|line| line.log).collect()
    }

    /// What a container's control group says in a file, in whichever hierarchy has it.
    pub(crate) fn control(&self, id: TaskId, file: &str) -> Option<String> {
        let group = format!("skein/{}/{id}/{file}", root_id(self.dir.path()));
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        let mut places = hierarchies.chain([root.to_owned()]);
        places.find_map(|place| fs::read_to_string(place.join(&group)).ok())
    }

    /// An empty control group with a container's name, in some hierarchy that allows one.
    pub(crate) fn make_control_group(&self, id: TaskId) -> PathBuf {
        let group = format!("skein/{}/{id}", root_id(self.dir.path()));
        let hierarchies =
            fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
        let mut places = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
        places
            .find_map(|place| {
                let place = place.join(&group);
                fs::create_dir_all(&place).is_ok().then_some(place)
            })
            .expect("some hierarchy takes a group")
    }

    /// Everything in the kernel and on disk that still names this rig.
    pub(crate) fn remains(&self) -> Vec<String> {
        let mut found = Vec::new();
        let here = self.dir.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        found.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&here) && !line.contains("/netns "))
                .map(str::to_owned),
        );
        for dir in ["data/containers", "run/shim", "run/library"] {
            for entry in fs::read_dir(self.dir.path().join(dir)).unwrap() {
                found.push(entry.unwrap().path().display().to_string());
            }
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
            let ours = hierarchy.unwrap().path().join("skein").join(root_id(self.dir.path()));
            for entry in fs::read_dir(ours).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        found
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let all = self.run(self.machine.adopt());
        for found in all.unwrap_or_default() {
            if let Err(error) = self.run(self.machine.remove(found.id)) {
                eprintln!("clean up: {error}: {:?}", std::error::Error::source(&error));
            }
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let ours = hierarchy.path().join("skein").join(root_id(self.dir.path()));
            let _ = fs::remove_dir(&ours);
            let _ = fs::remove_dir(hierarchy.path().join("skein"));
        }
        let _ = rustix::mount::unmount(
            self.dir.path().join("netns"),
            rustix::mount::UnmountFlags::DETACH,
        );
    }
}

/// Opens the machine below a directory, as a daemon does that starts there.
pub(crate) fn open(dir: &Path) -> Machine {
    open_with(dir, false)
}

/// The same with the daemon's option.
pub(crate) fn open_with(dir: &Path, no_new_privileges: bool) -> Machine {
    Machine::open(Options {
        insecure_registries: Vec::new(),
        no_new_privileges,
        data: dir.join("data"),
        run: dir.join("run"),
        root_id: root_id(dir),
        shim: PathBuf::from("/proc/self/exe"),
    })
    .unwrap()
}

fn root_id(dir: &Path) -> String {
    let name = dir.file_name().unwrap().to_str().unwrap();
    name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "")
}

fn make_netns(at: &Path) {
    File::create(at).unwrap();
    let at = at.to_owned();
    std::thread::spawn(move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let tid = rustix::thread::gettid().as_raw_nonzero();
        rustix::mount::mount_bind(format!("/proc/self/task/{tid}/ns/net"), &at).unwrap();
    })
    .join()
    .unwrap();
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(crate) fn put(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len().try_into().unwrap());
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, path, bytes).unwrap();
}

pub(crate) fn link(tar: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_link(&mut header, path, target).unwrap();
}

pub(crate) fn busybox_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    put(
        &mut tar,
        "bin/busybox",
        0o755,
        &fs::read("/bin/busybox").expect("busybox-static is installed"),
    );
    for applet in [
        "sh", "sleep", "cat", "dd", "id", "mount", "unshare", "wc", "true", "ls", "touch", "grep",
        "tail", "ps", "env", "chroot", "mknod", "head", "stat", "seq", "stty", "readlink", "rm",
        "ln", "chmod", "mv",
    ] {
        link(&mut tar, &format!("bin/{applet}"), "busybox");
    }
    put(
        &mut tar,
        "etc/passwd",
        0o644,
        b"root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n",
    );
    put(&mut tar, "etc/group", 0o644, b"root:x:0:\nweb:x:1000:\nlog:x:4:web\n");
    put(&mut tar, "hidden/by-whiteout", 0o644, b"x");
    put(&mut tar, "kept", 0o644, b"lower");
    tar.into_inner().unwrap()
}

fn second_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    put(&mut tar, "hidden/.wh.by-whiteout", 0, b"");
    put(&mut tar, "kept", 0o644, b"upper");
    put(&mut tar, "home/web/.keep", 0o644, b"");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

fn uncompressed(layer: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut out = Vec::new();
    if layer.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(layer).read_to_end(&mut out).unwrap();
    } else {
        out.extend_from_slice(layer);
    }
    out
}

/// What `docker save` would write for an image of these layers.
pub(crate) fn image_archive(layers: &[Vec<u8>], name: &str) -> Vec<u8> {
    let config = serde_json::json!({ "Env": ["FROM_IMAGE=1"], "Cmd": ["sh"], "Labels": { "made": "by test" } });
    image_archive_of(layers, name, &config)
}

/// The same with a `config` of one's own.
pub(crate) fn image_archive_of(
    layers: &[Vec<u8>],
    name: &str,
    config: &serde_json::Value,
) -> Vec<u8> {
    let digest = |bytes: &[u8]| skein_runtime::image::Digest::of(bytes);
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| digest(&uncompressed(layer)).to_string()).collect();
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))
    .unwrap();
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", digest(bytes).hex());
    let manifest = serde_json::to_vec(&serde_json::json!([{
        "Config": blob(&config),
        "RepoTags": [name],
        "Layers": layers.iter().map(|layer| blob(layer)).collect::<Vec<_>>(),
    }]))
    .unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for layer in layers {
        put(&mut tar, &blob(layer), 0o644, layer);
    }
    put(&mut tar, &blob(&config), 0o644, &config);
    put(&mut tar, "manifest.json", 0o644, &manifest);
    tar.into_inner().unwrap()
}
