//! Further processes in a running container.

use skein_runtime::api::{ExecSpec, Runtime as _};
use skein_runtime::error::Error;
use skein_runtime::signal::Signal;

use crate::rig::{Rig, words};

pub(crate) fn streams() {
    let rig = Rig::new();
    let container = rig.container("while :; do sleep 0.05; done");
    rig.run(rig.machine.create(container.clone())).unwrap();
    let early = rig.run(
        rig.machine.exec(container.id, ExecSpec { args: words(&["true"]), ..ExecSpec::default() }),
    );
    assert!(matches!(early, Err(Error::Busy { .. })), "{early:?}");
    rig.run(rig.machine.start(container.id)).unwrap();
    let said = rig.shell(container.id, "echo out; echo err >&2; exit 3");
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (3, "out\n", "err\n"));

    // More than a pipe holds, both ways.
    let big: Vec<u8> =
        std::iter::repeat_n(b"0123456789abcdef", 40_000).flatten().copied().collect();
    let exec = ExecSpec { args: words(&["wc", "-c"]), stdin: true, ..ExecSpec::default() };
    let said = rig.exec(container.id, exec, Some(&big));
    assert_eq!((said.code, said.stdout.trim()), (0, "640000"));

    let nosuch = ExecSpec { args: words(&["nosuch"]), ..ExecSpec::default() };
    let error = rig.run(rig.machine.exec(container.id, nosuch)).unwrap_err();
    assert_eq!(error.to_string(), "exec: \"nosuch\": executable file not found in $PATH");

    // Several at once, and none of their sockets is left.
    rig.run(async {
        let machine = &rig.machine;
        let sessions = (0..8).map(|n| async move {
            let args = words(&["sh", "-c", &format!("exit {n}")]);
            let exec = ExecSpec { args, ..ExecSpec::default() };
            machine.exec(container.id, exec).await.unwrap().exit.await.unwrap()
        });
        let codes = futures::future::join_all(sessions).await;
        assert_eq!(codes, (0..8).collect::<Vec<i32>>());
    });
    let library = rig.dir.path().join("run/library").join(container.id.to_string());
    let left: Vec<String> = std::fs::read_dir(library)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("tenant") || name.contains("exec"))
        .collect();
    assert_eq!(left, [""; 0]);

    // The container's end is theirs.
    let exec = ExecSpec { args: words(&["sleep", "1000"]), ..ExecSpec::default() };
    let session = rig.run(rig.machine.exec(container.id, exec)).unwrap();
    rig.run(rig.machine.signal(container.id, Signal::KILL)).unwrap();
    assert_eq!(rig.run(session.exit).unwrap(), 137);
    assert_eq!(rig.run(rig.machine.wait(container.id)).unwrap().code, 137);
}

pub(crate) fn settings() {
    let rig = Rig::new();
    let mut container = rig.container("while :; do sleep 0.05; done");
    container.spec.user = Some("web".to_owned());
    container.spec.dir = Some("/srv/made".to_owned());
    rig.start(&container);
    let said =
        rig.shell(container.id, "id -u; id -G; pwd; echo $HOME $GREETING $FROM_IMAGE $HOSTNAME");
    assert_eq!(said.stdout, "1000\n1000 4\n/srv/made\n/home/web hello 1 inside\n");
    let exec = ExecSpec {
        args: words(&["sh", "-c", "id -u; pwd; echo $GREETING; echo to-own-stdout > /dev/stdout"]),
        env: words(&["GREETING=other"]),
        user: Some("0:4".to_owned()),
        dir: Some("/etc".to_owned()),
        stdin: false,
    };
    let said = rig.exec(container.id, exec, None);
    assert_eq!(said.stdout, "0\n/etc\nother\nto-own-stdout\n");
    // A process that is not root may open its own output too.
    assert_eq!(rig.shell(container.id, "echo mine > /dev/stdout").stdout, "mine\n");
}
