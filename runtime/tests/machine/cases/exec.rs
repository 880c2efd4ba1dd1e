//! Further processes in a running container.

use skein_runtime::api::{ExecSession, ExecSpec, Runtime as _, WindowSize};
use skein_runtime::error::Error;
use skein_runtime::signal::Signal;

use skein_events::time::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::run::until;
use crate::rig::{Rig, busybox_layer, image_archive_of, open, words};

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
        ..ExecSpec::default()
    };
    let said = rig.exec(container.id, exec, None);
    assert_eq!(said.stdout, "0\n/etc\nother\nto-own-stdout\n");
    // A process that is not root may open its own output too.
    assert_eq!(rig.shell(container.id, "echo mine > /dev/stdout").stdout, "mine\n");
}

fn in_terminal(script: &str) -> ExecSpec {
    ExecSpec {
        args: words(&["sh", "-c", script]),
        stdin: true,
        terminal: Some(WindowSize { rows: 33, columns: 101 }),
        ..ExecSpec::default()
    }
}

/// Reads until the text has come; everything read.
async fn hear(session: &mut ExecSession, text: &str) -> String {
    let mut said = String::new();
    while !said.contains(text) {
        let byte = session.stdout.read_u8().await.unwrap_or_else(|e| panic!("{e} after {said}"));
        said.push(char::from(byte));
    }
    said
}

async fn ends(session: ExecSession) -> (String, i32) {
    let ExecSession { mut stdout, stdin, exit, .. } = session;
    let mut said = String::new();
    stdout.read_to_string(&mut said).await.unwrap();
    drop(stdin);
    (said, exit.await.unwrap())
}

pub(crate) fn terminal() {
    let rig = Rig::new();
    let mut container = rig.container("while :; do sleep 0.05; done");
    container.spec.user = Some("web".to_owned());
    rig.start(&container);
    let exec = |spec| rig.run(rig.machine.exec(container.id, spec)).unwrap();
    // Its size is known before it runs, it belongs to its user, and is the process's own in all three places.
    let session = exec(in_terminal(
        "stty size; echo $TERM; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; echo mine >/dev/tty; \
         echo mine >/dev/stdout; stat -c '%u %g %a' $(readlink /proc/self/fd/0); exit 3",
    ));
    let (said, code) = rig.run(ends(session));
    assert_eq!(code, 3);
    assert_eq!(said, "33 101\r\nxterm\r\nall\r\nmine\r\nmine\r\n1000 5 620\r\n");

    // What is typed comes back, and is read.
    let mut session = exec(in_terminal("echo ready; read line; echo got $line; exit 5"));
    rig.run(hear(&mut session, "ready\r\n"));
    let mut keys = session.stdin.take().unwrap();
    rig.run(keys.write_all(b"word\r")).unwrap();
    let (said, code) = rig.run(ends(session));
    assert_eq!((said.as_str(), code), ("word\r\ngot word\r\n", 5));
    drop(keys);

    // It is told of a new size, and what is typed becomes signals. Its shell waits for children only: a signal that comes
    // right before its `read` sleeps is not noticed until the next key.
    let mut session = exec(in_terminal(
        "trap 'stty size' WINCH; trap 'echo caught' INT; echo ready; while :; do sleep 0.05; done",
    ));
    rig.run(hear(&mut session, "ready\r\n"));
    let mut keys = session.stdin.take().unwrap();
    let resize = session.resize.clone().unwrap();
    resize(WindowSize { rows: 7, columns: 9 }).unwrap();
    rig.run(hear(&mut session, "7 9\r\n"));
    rig.run(keys.write_all(b"\x03")).unwrap();
    // The kernel sends the signal before it writes what was typed, so whoever dies of it may not show that.
    let said = rig.run(hear(&mut session, "caught\r\n"));
    if !said.contains("^C") {
        rig.run(hear(&mut session, "^C"));
    }
    let ExecSession { stdout, exit, .. } = session;
    drop((stdout, keys));
    assert_eq!(rig.run(exit).unwrap(), 129, "hung up");
    // Nobody has it any more, and it has no other size.
    resize(WindowSize { rows: 1, columns: 1 }).unwrap();

    // More than it holds, with an end that loses nothing.
    let (said, code) = rig.run(ends(exec(in_terminal("seq 50000; exit 4"))));
    assert_eq!((said.lines().count(), code), (50_000, 4));
    assert!(said.ends_with("\r\n50000\r\n"));

    // When nobody holds its outer end it hangs up.
    let mut session = exec(in_terminal("echo ready; while :; do sleep 0.05; done"));
    rig.run(hear(&mut session, "ready"));
    let ExecSession { stdout, stdin, exit, .. } = session;
    drop((stdout, stdin));
    assert_eq!(rig.run(exit).unwrap(), 129);
    // All terminals are gone with their processes.
    assert_eq!(rig.shell(container.id, "ls /dev/pts").stdout, "ptmx\n");
}

pub(crate) fn hostile_terminal() {
    let rig = Rig::new();
    let container = rig.container("while :; do sleep 0.05; done");
    let pid = rig.start(&container);
    // The inside puts other things in the place of everything that a terminal could be looked up by.
    let said = rig.shell(
        container.id,
        "cd /dev && rm ptmx tty && ln -s /etc/passwd ptmx && ln -s /etc/passwd tty && ln -s /etc/passwd console && \
         ln -s /etc /etc/elsewhere; chmod 000 pts/ptmx; touch pts/0 2>/dev/null; mv pts was 2>/dev/null; ls -ld pts",
    );
    assert!(said.stdout.starts_with('d'), "{said:?}");
    let session =
        rig.run(rig.machine.exec(container.id, in_terminal("stty size; readlink /proc/self/fd/0")));
    let (said, code) = rig.run(ends(session.unwrap()));
    assert_eq!((said.as_str(), code), ("33 101\r\n/dev/pts/0\r\n", 0));
    assert_eq!(rig.shell(container.id, "wc -c </etc/passwd").stdout, "61\n");

    // What it feeds its terminal with comes to itself alone: neither daemon nor shim has that terminal as its own.
    let mut session =
        rig.run(rig.machine.exec(container.id, in_terminal("echo ready; read line"))).unwrap();
    rig.run(hear(&mut session, "ready"));
    let shim = parent_of(pid);
    for process in [std::process::id(), shim] {
        let foreign = terminal_of(session.pid);
        assert!(foreign != 0 && terminal_of(process) != foreign, "{process} has {foreign}");
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
        let inner = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        // The directory itself is only a place.
        let inner: Vec<_> = inner
            .filter(|to| to.parent() == Some("/dev/pts".as_ref()) && !to.ends_with("ptmx"))
            .collect();
        assert!(process != shim || inner.is_empty(), "{inner:?}");
    }
    drop(session);
}

/// A field of `/proc/PID/stat`, counted after the name.
fn stat(pid: u32, field: usize) -> i64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(field).unwrap().parse().unwrap()
}

fn parent_of(pid: u32) -> u32 {
    u32::try_from(stat(pid, 1)).unwrap()
}

fn terminal_of(pid: u32) -> i64 {
    stat(pid, 4)
}

pub(crate) fn tied() {
    let rig = Rig::new();
    let container = rig.container("while :; do sleep 0.05; done");
    rig.start(&container);
    // A shell and what it started, in one process group.
    let begin = |script: &str, tied| {
        let args = words(&["sh", "-c", script]);
        let exec = ExecSpec { args, tied, ..ExecSpec::default() };
        rig.run(rig.machine.exec(container.id, exec)).unwrap()
    };
    let runs = |name: &str| {
        let said = rig.shell(container.id, "ps -o args");
        said.stdout.lines().any(|line| line.trim() == name)
    };
    let free = begin("sleep 1111 & wait", false);
    let tied = begin("sleep 2222 & wait", true);
    until(|| runs("sleep 1111") && runs("sleep 2222"));
    drop((free, tied));
    until(|| !runs("sleep 2222"));
    assert!(runs("sleep 1111"), "nobody asked for its end");
    assert_eq!(rig.shell(container.id, "exit 5").code, 5, "the container is as before");
}

pub(crate) fn check() {
    let rig = Rig::new();
    let config = serde_json::json!({
        "Cmd": ["sh"],
        "Healthcheck": { "Test": ["CMD-SHELL", "exit 1"], "Interval": 7_000_000_000_u64, "Retries": 2 },
    });
    let archive = image_archive_of(&[busybox_layer()], "checked:latest", &config);
    rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(archive)))).unwrap();
    let mut container = rig.container("while :; do sleep 0.05; done");
    container.spec.image = "checked".to_owned();
    container.spec.health.timeout = Span::seconds(9);
    let plain = rig.container("true");
    rig.start(&container);
    rig.start(&plain);
    // A later daemon knows it as well, whatever became of the image's name.
    for machine in [&rig.machine, &open(rig.dir.path())] {
        let check = rig.run(machine.check(container.id)).unwrap().unwrap();
        assert_eq!(check.args, ["/bin/sh", "-c", "exit 1"]);
        assert_eq!((check.interval, check.timeout), (Span::seconds(7), Span::seconds(9)));
        assert_eq!((check.retries, check.start_interval), (2, Span::seconds(5)));
        assert_eq!(rig.run(machine.check(plain.id)).unwrap(), None);
    }
}
