//! What hostile images and containers try against the host, and does not work.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use skein_events::task::mount::{Mount, MountSource};
use skein_runtime::api::{ExecSpec, Runtime as _};
use skein_runtime::error::Error;

use crate::rig::{Rig, busybox_layer, image_archive, put, words};

/// Run as the ELF interpreter of the host's own program, it tries to change that; how far it came is its exit status.
const TRIES: &str = r#"
typedef long L;
static L sc(L n, L a, L b, L c, L d, L e) {
  L r; register L r10 __asm__("r10") = d; register L r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return r;
}
void _start(void) {
  static const char exe[] = "/proc/self/exe";
  L came = 64, fd = sc(2, (L)exe, 0, 0, 0, 0);
  if (fd >= 0) {
    if (sc(91, fd, 04777, 0, 0, 0) == 0) came |= 1;                                   /* fchmod */
    if (sc(93, fd, 1, 1, 0, 0) == 0) came |= 2;                                       /* fchown */
    if (sc(190, fd, (L)"user.x", (L)"y", 1, 0) == 0) came |= 4;                       /* fsetxattr */
  }
  if (sc(2, (L)exe, 1, 0, 0, 0) >= 0) came |= 8;                                      /* open for writing */
  if (sc(76, (L)exe, 0, 0, 0, 0) == 0) came |= 16;                                    /* truncate */
  if (sc(90, (L)exe, 04777, 0, 0, 0) == 0) came |= 32;                                /* chmod */
  sc(60, came, 0, 0, 0, 0);
}
"#;

pub(crate) fn program() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let rig = Rig::new();
    let source = rig.dir.path().join("tries.c");
    let interpreter = rig.dir.path().join("tries");
    fs::write(&source, TRIES).unwrap();
    let flags = ["-O1", "-nostdlib", "-static-pie", "-fPIE", "-fno-stack-protector", "-o"];
    let made = Command::new("gcc").args(flags).arg(&interpreter).arg(&source).status().unwrap();
    assert!(made.success());
    let mut layer = tar::Builder::new(Vec::new());
    put(&mut layer, "lib64/ld-linux-x86-64.so.2", 0o755, &fs::read(&interpreter).unwrap());
    put(&mut layer, "bin/script", 0o755, b"#!/proc/self/exe\n");
    let archive = image_archive(&[busybox_layer(), layer.into_inner().unwrap()], "hostile:1");
    rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(archive)))).unwrap();

    let host = std::env::current_exe().unwrap();
    let as_it_is = || {
        let metadata = fs::metadata(&host).unwrap();
        let attribute = rustix::fs::getxattr(&host, "user.x", &mut [0; 8]);
        assert!(attribute.is_err(), "an attribute was set");
        (metadata.ino(), metadata.mode(), metadata.uid(), metadata.gid(), metadata.len())
    };
    let before = as_it_is();
    let hostile = |args: &[&str], init: bool| {
        let mut container = rig.container("");
        container.spec.image = "hostile:1".to_owned();
        container.spec.args = words(args);
        container.spec.init = init.then_some(true);
        container
    };
    for (args, init) in
        [(["/proc/self/exe"], false), (["/bin/script"], false), (["/proc/self/exe"], true)]
    {
        let container = hostile(&args, init);
        rig.start(&container);
        let exit = rig.run(rig.machine.wait(container.id)).unwrap();
        assert_eq!(as_it_is(), before, "{args:?} {init}");
        assert_eq!(exit.code, 64, "{args:?} {init}: it ran, and did nothing");
        rig.run(rig.machine.remove(container.id)).unwrap();
    }
    // A further process, a health check among them, is made the same way.
    for init in [false, true] {
        let container = hostile(&["sh", "-c", "while :; do sleep 0.1; done"], init);
        rig.start(&container);
        for args in [["/proc/self/exe"], ["/bin/script"], ["/proc/1/exe"]] {
            let exec = ExecSpec { args: words(&args), ..ExecSpec::default() };
            let ran = rig.run(rig.machine.exec(container.id, exec));
            if let Ok(session) = ran {
                let code = rig.run(session.exit).unwrap();
                assert!(code == 64 || code >= 126 || args == ["/proc/1/exe"], "{args:?} {code}");
            }
            assert_eq!(as_it_is(), before, "{args:?}");
        }
        rig.run(rig.machine.remove(container.id)).unwrap();
    }
    assert_eq!(rig.remains(), [""; 0]);
}

fn volume(name: &str, target: &str) -> Mount {
    Mount {
        target: target.to_owned(),
        read_only: false,
        source: MountSource::Volume {
            name: Some(name.to_owned()),
            no_copy: false,
            labels: Vec::new(),
            driver: None,
            options: Vec::new(),
            subpath: None,
        },
    }
}

/// A volume of several containers, in which one exchanges a directory for a link to the host while others, whose image has
/// a volume below it, are made.
pub(crate) fn copy() {
    let rig = Rig::new();
    let secret = rig.dir.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("canary"), "of the host").unwrap();
    let mut evil = rig.container(&format!(
        "mkdir -p /data/sub; ln -s {} /data/evil; \
         while :; do mv /data/sub /data/x; mv /data/evil /data/sub; mv /data/sub /data/evil; mv /data/x /data/sub; done",
        secret.display()
    ));
    evil.spec.mounts = vec![volume("shared", "/data")];
    rig.start(&evil);
    let mut image = tar::Builder::new(Vec::new());
    put(&mut image, "data/sub/of-the-image", 0o644, b"x");
    let archive = image_archive(&[busybox_layer(), image.into_inner().unwrap()], "victim:1");
    rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(archive)))).unwrap();
    for n in 0..15 {
        let mut victim = rig.container("sleep 60");
        victim.spec.image = "victim:1".to_owned();
        let inner = format!("inner-{n}");
        victim.spec.mounts = vec![volume("shared", "/data"), volume(&inner, "/data/sub")];
        // The directory may be the link at the moment it is to be mounted on: then the container is refused.
        let made = rig.run(rig.machine.create(victim.clone()));
        if let Err(error) = &made {
            assert!(matches!(error, Error::BadSetting { .. } | Error::Io { .. }), "{error}");
        }
        let content = rig.dir.path().join("data/volumes").join(&inner).join("_data");
        let names: Vec<String> = fs::read_dir(&content)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.is_empty() || names == ["of-the-image"], "{names:?}");
        if made.is_ok() {
            assert_eq!(names, ["of-the-image"]);
            rig.run(rig.machine.remove(victim.id)).unwrap();
        }
    }
    assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
    rig.run(rig.machine.remove(evil.id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// Directories nested deeper than any stack or path, in the writable layer and in volumes.
pub(crate) fn depth() {
    let rig = Rig::new();
    let mut container = rig.container(
        "for place in / /named /anonymous; do cd $place; n=0; \
         while [ $n -lt 300 ]; do mkdir d && cd -P d || exit 1; n=$((n+1)); done; done; sleep 60",
    );
    container.spec.mounts = vec![volume("named", "/named"), volume("", "/anonymous")];
    if let MountSource::Volume { name, .. } = &mut container.spec.mounts[1].source {
        *name = None;
    }
    container.spec.args[2] = container.spec.args[2].replace("sleep 60", "echo built; sleep 60");
    rig.start(&container);
    let built = || rig.log(container.id, skein_runtime::log::Stream::Stdout).contains("built");
    while !built() {
        std::thread::yield_now();
    }
    rig.run(rig.machine.usage()).unwrap();
    rig.run(rig.machine.remove(container.id)).unwrap();
    rig.run(rig.machine.remove_volume("named".to_owned(), false)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
    let data = rig.dir.path().join("data");
    let until_empty = || {
        while entries(&data.join("discarded")) + entries(&data.join("volumes/.discarded")) > 0 {
            std::thread::yield_now();
        }
    };
    until_empty();
    // A daemon that was killed in the midst of it: the next one goes on with it, and serves meanwhile.
    fs::create_dir_all(data.join("discarded/left").join("d/".repeat(1_000))).unwrap();
    let again = crate::rig::open(rig.dir.path());
    rig.run(again.adopt()).unwrap();
    until_empty();
}

/// The container's first process stops or kills whatever joins it, at whatever step it is.
pub(crate) fn held() {
    let rig = Rig::new();
    for signal in ["STOP", "KILL"] {
        let container = rig.container(&format!(
            "n=2; while :; do for q in $(seq $n $((n+40))); do kill -{signal} $q 2>/dev/null && n=$((q+1)); done; done"
        ));
        rig.start(&container);
        for _ in 0..3 {
            let exec = ExecSpec { args: words(&["true"]), tied: true, ..ExecSpec::default() };
            // A process that ran before it was hit is no failure; one that was stopped on its way ends by the deadline.
            let limit = std::time::Duration::from_secs(5);
            let asked =
                async { tokio::time::timeout(limit, rig.machine.exec(container.id, exec)).await };
            drop(rig.run(asked));
            // Meanwhile its shim is there for others.
            let found = rig.run(rig.machine.adopt()).unwrap();
            let state =
                found.iter().find(|found| found.id == container.id).map(|found| &found.state);
            assert!(
                matches!(state, Some(skein_runtime::api::Condition::Running { .. })),
                "{state:?}"
            );
        }
        // A daemon that starts now finds it and ends it.
        let again = crate::rig::open(rig.dir.path());
        let exit =
            rig.run(again.stop(container.id, None, skein_events::time::Span::seconds(1))).unwrap();
        assert_eq!(exit.signal, Some(9));
        rig.run(again.remove(container.id)).unwrap();
        assert_eq!(rig.remains(), [""; 0]);
    }
}

/// A shim that does not answer at all costs its container, and nobody else anything.
pub(crate) fn silent() {
    let rig = Rig::new();
    let (held, well) = (rig.container("sleep 1000"), rig.container("sleep 1000"));
    rig.start(&held);
    let pid = rig.start(&well);
    let shim = *super::adopt::processes_of(&held.id.to_string()).first().expect("the shim runs");
    let stop = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), signal).unwrap();
    stop(nix::sys::signal::Signal::SIGSTOP);
    let again = crate::rig::open(rig.dir.path());
    let found = rig.run(again.adopt()).unwrap();
    let state = |id| found.iter().find(|found| found.id == id).unwrap().state.clone();
    assert_eq!(state(held.id), skein_runtime::api::Condition::Lost);
    assert_eq!(state(well.id), skein_runtime::api::Condition::Running { pid });
    let exit = rig.run(again.stop(held.id, None, skein_events::time::Span::seconds(1))).unwrap();
    assert_eq!(exit.signal, Some(9));
    rig.run(again.remove(held.id)).unwrap();
    rig.run(again.remove(well.id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
}
