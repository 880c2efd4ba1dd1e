//! The life of a container from create to remove.

use std::time::Instant;

use skein_events::time::Span;
use skein_events::unit::Bytes;
use skein_runtime::api::{Condition, Runtime as _, container_id};
use skein_runtime::error::Error;
use skein_runtime::log::Stream;
use skein_runtime::signal::Signal;

use crate::rig::{Rig, words};

pub(crate) fn output_and_status() {
    let rig = Rig::new();
    let container = rig.container("echo out; echo err >&2; echo $GREETING $FROM_IMAGE; exit 7");
    let created = rig.run(rig.machine.create(container.clone())).unwrap();
    assert_eq!(created.container_id, container_id(container.id));
    let found = rig.run(rig.machine.adopt()).unwrap();
    assert_eq!(found[0].state, Condition::Created { pid: created.pid });
    let twice = rig.run(rig.machine.create(container.clone()));
    assert!(matches!(twice, Err(Error::Busy { .. })), "{twice:?}");
    let early = rig.machine.wait(container.id);
    rig.run(rig.machine.start(container.id)).unwrap();
    let exit = rig.run(rig.machine.wait(container.id)).unwrap();
    assert_eq!((exit.code, exit.signal, exit.oom), (7, None, false));
    assert_eq!(rig.run(early).unwrap(), exit);
    assert!(exit.at.0 > 1_700_000_000_000_000_000);
    assert_eq!(rig.log(container.id, Stream::Stdout), "out\nhello 1\n");
    assert_eq!(rig.log(container.id, Stream::Stderr), "err\n");
    assert!(matches!(rig.run(rig.machine.start(container.id)), Err(Error::Busy { .. })));
}

pub(crate) fn stop() {
    let rig = Rig::new();
    let polite = rig.container("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    rig.start(&polite);
    until(|| rig.log(polite.id, Stream::Stdout).contains("ready"));
    let exit = rig.run(rig.machine.stop(polite.id, None, Span::seconds(30))).unwrap();
    assert_eq!(exit.code, 5);

    let stubborn = rig.container("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    rig.start(&stubborn);
    until(|| rig.log(stubborn.id, Stream::Stdout).contains("ready"));
    let exit = rig.run(rig.machine.stop(stubborn.id, None, Span::millis(300))).unwrap();
    assert_eq!((exit.code, exit.signal, exit.oom), (137, Some(9), false));
    // Stopping what has ended answers how it ended.
    assert_eq!(rig.run(rig.machine.stop(stubborn.id, None, Span(0))).unwrap(), exit);
    rig.run(rig.machine.signal(stubborn.id, Signal::TERM)).unwrap();

    let mut own = rig.container("trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done");
    own.spec.stop_signal = Some("SIGUSR1".to_owned());
    rig.start(&own);
    until(|| rig.log(own.id, Stream::Stdout).contains("ready"));
    assert_eq!(rig.run(rig.machine.stop(own.id, None, Span::seconds(30))).unwrap().code, 6);

    let never_started = rig.container("true");
    rig.run(rig.machine.create(never_started.clone())).unwrap();
    let exit = rig.run(rig.machine.stop(never_started.id, None, Span::seconds(50))).unwrap();
    assert_eq!(exit.code, 137);
}

pub(crate) fn bad_command() {
    let rig = Rig::new();
    for (args, message) in [
        (&["nosuch"][..], "exec: \"nosuch\": executable file not found in $PATH"),
        (&["/nosuch"], "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
        (&["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
        (&["/bin"], "exec: \"/bin\": permission denied"),
    ] {
        let mut container = rig.container("");
        container.spec.args = words(args);
        match rig.run(rig.machine.create(container.clone())) {
            Err(Error::BadCommand { message: said }) => assert_eq!(said, message),
            other => panic!("{args:?}: {other:?}"),
        }
        assert_eq!(rig.remains(), [""; 0]);
    }
    // What only the kernel can tell comes with start.
    let text = rig.container("cp /bin/busybox /t 2>/dev/null; true");
    rig.start(&text);
    let mut garbage = rig.container("");
    garbage.spec.command = words(&["/garbage"]);
    let layer = {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(7);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, "garbage", &b"garbage"[..]).unwrap();
        tar.into_inner().unwrap()
    };
    let archive = crate::rig::image_archive(&[layer], "garbage:1");
    rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(archive)))).unwrap();
    garbage.spec.image = "garbage:1".to_owned();
    rig.run(rig.machine.create(garbage.clone())).unwrap();
    let error = rig.run(rig.machine.start(garbage.id)).unwrap_err();
    assert_eq!(error.to_string(), "exec /garbage: exec format error");

    let mut unknown = rig.container("true");
    unknown.spec.image = "nosuch:1".to_owned();
    let error = rig.run(rig.machine.create(unknown)).unwrap_err();
    assert_eq!(error.to_string(), "no such image: nosuch:1");
    let mut nobody = rig.container("true");
    nobody.spec.user = Some("nobody".to_owned());
    let error = rig.run(rig.machine.create(nobody)).unwrap_err();
    assert!(matches!(error, Error::BadSetting { .. }), "{error:?}");
}

pub(crate) fn remove() {
    let rig = Rig::new();
    let container = rig.container("sleep 1000 & sleep 1000");
    let pid = rig.start(&container);
    assert!(!rig.remains().is_empty());
    let waiting = rig.machine.wait(container.id);
    rig.run(rig.machine.remove(container.id)).unwrap();
    assert_eq!(rig.remains(), [""; 0]);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    rig.run(rig.machine.remove(container.id)).unwrap();
    assert!(matches!(rig.run(waiting), Err(Error::NoSuchContainer(_))));
    assert_eq!(rig.run(rig.machine.adopt()).unwrap(), []);
}

pub(crate) fn out_of_memory() {
    let rig = Rig::new();
    let mut container = rig.container("dd if=/dev/zero of=/dev/null bs=256M count=1; exit $?");
    container.limits.resources.memory = Bytes(16 << 20);
    rig.start(&container);
    let exit = rig.run(rig.machine.wait(container.id)).unwrap();
    assert_eq!((exit.code, exit.oom), (137, true));
}

pub(crate) fn images() {
    let rig = Rig::new();
    let all = rig.run(rig.machine.images()).unwrap();
    let [image] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(image.names, ["busybox:latest"]);
    assert_eq!(image.config.labels["made"], "by test");
    assert!(image.size > 100_000);
    for name in [
        "busybox",
        "docker.io/library/busybox:latest",
        &image.id.to_string(),
        &image.id.hex()[..12],
    ] {
        let found = rig.run(rig.machine.image(name.to_owned())).unwrap();
        assert_eq!(found.as_ref(), Some(image), "{name}");
    }
    for name in ["busybox:1", "box", &image.id.hex()[..11], ""] {
        assert_eq!(rig.run(rig.machine.image(name.to_owned())).unwrap(), None, "{name}");
    }
    // A layer hides and replaces what lies below it.
    assert_eq!(rig.output("ls /hidden | wc -l; cat /kept"), (0, "0\nupper".to_owned()));
}

/// Looks again and again; a test's only way to wait for what a container does by itself.
pub(crate) fn until(done: impl Fn() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "bounds the wait for a real process")]
    let from = Instant::now();
    while !done() {
        assert!(from.elapsed().as_secs() < 30, "it never happened");
        std::thread::yield_now();
    }
}
