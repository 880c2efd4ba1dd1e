//! Binds, volumes and memory, where the user wants them and nowhere else.

use std::fs;
use std::path::Path;

use skein_events::task::mount::{Mount, MountSource, Propagation};
use skein_events::unit::Bytes;
use skein_runtime::api::{Container, Runtime as _, VolumeSpec};
use skein_runtime::error::Error;
use skein_runtime::log::Stream;

use crate::rig::{Rig, busybox_layer, image_archive, link};

fn bind(path: &Path, target: &str) -> Mount {
    let path = path.to_str().unwrap().to_owned();
    let propagation = Propagation::default();
    let source = MountSource::Bind { path, propagation, non_recursive: false, create: false };
    Mount { target: target.to_owned(), read_only: false, source }
}

fn volume(name: Option<&str>, target: &str) -> Mount {
    let source = MountSource::Volume {
        name: name.map(str::to_owned),
        no_copy: false,
        labels: vec![("made".to_owned(), "by test".to_owned())],
        driver: None,
        options: Vec::new(),
        subpath: None,
    };
    Mount { target: target.to_owned(), read_only: false, source }
}

fn tmpfs(target: &str) -> Mount {
    let source = MountSource::Tmpfs { size: Bytes(1 << 20), mode: Some(0o1700) };
    Mount { target: target.to_owned(), read_only: false, source }
}

/// Runs it to its end and removes it; what it said.
fn said(rig: &Rig, script: &str, mounts: Vec<Mount>) -> String {
    let mut container = rig.container(script);
    container.spec.mounts = mounts;
    rig.start(&container);
    rig.run(rig.machine.wait(container.id)).unwrap();
    let said = rig.log(container.id, Stream::Stdout);
    let errors = rig.log(container.id, Stream::Stderr);
    rig.run(rig.machine.remove(container.id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
    said + &errors
}

fn refused(rig: &Rig, mounts: Vec<Mount>) -> Error {
    let mut container: Container = rig.container("true");
    container.spec.mounts = mounts;
    let error = rig.run(rig.machine.create(container)).unwrap_err();
    assert_eq!(rig.remains(), [""; 0]);
    error
}

pub(crate) fn binds() {
    let rig = Rig::new();
    let dir = rig.dir.path().join("host");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("file"), "of the host\n").unwrap();
    let mut closed = bind(&dir, "/closed");
    closed.read_only = true;
    let mounts = vec![
        // An inner one that is given first is mounted last.
        bind(&dir.join("file"), "/srv/deep/down/inner"),
        bind(&dir, "/srv/deep/down"),
        closed,
        bind(&dir.join("file"), "/etc/hostname"),
        bind(&dir, "/dev/host"),
        tmpfs("/run/memory"),
        tmpfs("/dev/shm"),
    ];
    let said = said(
        &rig,
        "cat /srv/deep/down/inner /etc/hostname /dev/host/file; echo made >/srv/deep/down/sub/new; \
         touch /closed/x 2>/dev/null || echo closed; tail -1 /etc/hosts; \
         stat -c %a /run/memory /dev/shm; \
         dd if=/dev/zero of=/run/memory/x bs=64k count=20 2>/dev/null || echo full",
        mounts,
    );
    let file = "of the host\n".repeat(3);
    assert_eq!(said, format!("{file}closed\n10.0.0.2 me\n1700\n1700\nfull\n"));
    assert_eq!(fs::read_to_string(dir.join("sub/new")).unwrap(), "made\n");

    let error = refused(&rig, vec![bind(Path::new("/no/such"), "/x")]);
    assert_eq!(
        error.to_string(),
        "invalid mount config for type \"bind\": bind source path does not exist: /no/such"
    );
    let error = refused(&rig, vec![bind(&dir, "/proc/sys")]);
    assert_eq!(error.to_string(), "\"/proc/sys\" cannot be mounted because it is inside /proc");
    let error = refused(&rig, vec![bind(&dir, "/kept")]);
    assert!(error.to_string().contains("not a directory"), "{error}");
}

pub(crate) fn volumes() {
    let rig = Rig::new();
    let find = |name: &str| rig.run(rig.machine.volume(name.to_owned())).unwrap();
    // A new one takes what the image has there, once.
    let first = said(
        &rig,
        "ls -a /home/web; touch /home/web/mine; rm /home/web/.keep; touch /other/x",
        vec![volume(Some("data"), "/home/web"), volume(None, "/other")],
    );
    assert_eq!(first, ".\n..\n.keep\n");
    let again = said(&rig, "ls -a /home/web", vec![volume(Some("data"), "/home/web")]);
    assert_eq!(again, ".\n..\nmine\n");
    let known = find("data").unwrap();
    assert_eq!(known.labels["made"], "by test");
    // The one without a name went with its container.
    assert_eq!(rig.run(rig.machine.volumes()).unwrap(), [known]);

    let mut user = rig.container("while :; do sleep 0.05; done");
    user.spec.mounts = vec![volume(Some("data"), "/data")];
    rig.start(&user);
    assert_eq!(find("data").unwrap().users, [user.id]);
    let remove = || rig.run(rig.machine.remove_volume("data".to_owned(), true));
    assert!(matches!(remove(), Err(Error::VolumeInUse { .. })));
    rig.run(rig.machine.remove(user.id)).unwrap();
    remove().unwrap();

    // Memory as a volume: there while somebody uses it, and mounted no longer.
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let options = [text("type", "tmpfs"), text("device", "tmpfs"), text("o", "size=1m")]
        .into_iter()
        .collect();
    let spec = VolumeSpec { name: "memory".to_owned(), options, ..VolumeSpec::default() };
    rig.run(rig.machine.create_volume(spec)).unwrap();
    let kind = said(&rig, "stat -f -c %T /m", vec![volume(Some("memory"), "/m")]);
    assert_eq!(kind, "tmpfs\n");
    rig.run(rig.machine.remove_volume("memory".to_owned(), false)).unwrap();
    assert_eq!(rig.run(rig.machine.volumes()).unwrap(), []);
}

pub(crate) fn hostile() {
    let rig = Rig::new();
    let canary = tempfile::tempdir().unwrap();
    let outside = canary.path().to_str().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    link(&mut tar, "abs", outside);
    link(&mut tar, "up", &format!("../../../../../../../..{outside}"));
    let layers = [busybox_layer(), tar.into_inner().unwrap()];
    rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(image_archive(&layers, "links:1")))))
        .unwrap();
    let dir = rig.dir.path().join("host");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("file"), "x").unwrap();
    // A volume that another container filled is as hostile as an image.
    std::os::unix::fs::symlink(outside, dir.join("abs")).unwrap();
    std::os::unix::fs::symlink(format!("../../../../../../../..{outside}"), dir.join("up"))
        .unwrap();
    for target in ["/abs/made", "/up/made", "/abs", "/v/abs/made", "/v/up/made", "/v/../../made"] {
        for source in [dir.join("file"), dir.clone()] {
            let mut container = rig.container("true");
            container.spec.image = "links:1".to_owned();
            container.spec.mounts = vec![bind(&dir, "/v"), bind(&source, target)];
            // Refused or made inside: either is well.
            if rig.run(rig.machine.create(container.clone())).is_ok() {
                rig.run(rig.machine.remove(container.id)).unwrap();
            }
            assert_eq!(rig.remains(), [""; 0]);
            assert_eq!(fs::read_dir(canary.path()).unwrap().count(), 0, "{target}");
        }
    }
}
