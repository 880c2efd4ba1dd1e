//! What a user may change about a container: capabilities, limits, kernel parameters, groups, terminal, init.

use skein_events::task::container::Ulimit;
use skein_runtime::api::{Container, Runtime as _};
use skein_runtime::log::Stream;

use crate::rig::{Rig, words};

/// Runs it to its end; its exit status and standard output.
fn output(rig: &Rig, container: &Container) -> (i32, String) {
    rig.start(container);
    let exit = rig.run(rig.machine.wait(container.id)).unwrap();
    let said = rig.log(container.id, Stream::Stdout);
    rig.run(rig.machine.remove(container.id)).unwrap();
    (exit.code, said)
}

fn refused(rig: &Rig, container: &Container) -> String {
    let error = rig.run(rig.machine.create(container.clone())).unwrap_err();
    assert_eq!(rig.remains(), [""; 0]);
    error.to_string()
}

pub(crate) fn tables() {
    let rig = Rig::new();
    let mut container = rig.container(
        "grep -E '^(CapEff|Groups):' /proc/self/status; ulimit -n; ulimit -Hn; \
         cat /proc/sys/net/ipv4/ip_default_ttl /proc/self/oom_score_adj; \
         touch /x 2>/dev/null || echo read-only; touch /dev/shm/x && echo shm",
    );
    container.spec.cap_drop = words(&["ALL"]);
    container.spec.cap_add = words(&["NET_ADMIN", "CAP_CHOWN"]);
    container.spec.groups = words(&["log", "77"]);
    container.spec.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 100, hard: 200 }];
    container.spec.sysctls = vec![("net.ipv4.ip_default_ttl".to_owned(), "42".to_owned())];
    container.spec.oom_score_adj = 500;
    container.spec.read_only = true;
    let (code, said) = output(&rig, &container);
    assert_eq!(code, 0, "{said}");
    let said: Vec<&str> = said.split_whitespace().collect();
    let expected = "Groups: 0 4 77 CapEff: 0000000000001001 100 200 42 500 read-only shm";
    assert_eq!(said.join(" "), expected);

    let mut bad = rig.container("true");
    bad.spec.sysctls = vec![("kernel.panic".to_owned(), "1".to_owned())];
    assert_eq!(
        refused(&rig, &bad),
        "sysctl \"kernel.panic\" is not in a separate kernel namespace"
    );
    bad.spec.sysctls.clear();
    bad.spec.cap_add = words(&["CAP_NOSUCH"]);
    assert_eq!(refused(&rig, &bad), "invalid capability: unknown capability: \"CAP_NOSUCH\"");
    bad.spec.cap_add = words(&["ALL"]);
    bad.spec.init = Some(true);
    assert!(refused(&rig, &bad).contains("leave out --init"));
    bad.spec.cap_add.clear();
    // Beyond what the kernel gives anyone, and beyond what it gives the daemon.
    let huge = 4_000_000_000;
    bad.spec.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 100, hard: huge }];
    let told = refused(&rig, &bad);
    let begin = "--ulimit nofile=100:4000000000: the daemon itself may set no more than ";
    let most = told.strip_prefix(begin).and_then(|most| most.parse::<i64>().ok());
    assert!(most.is_some_and(|most| most > 100), "{told}");
    bad.spec.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 100, hard: most.unwrap() }];
    bad.spec.oom_score_adj = -777;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    if u64::from_str_radix(held.trim(), 16).unwrap() & 1 << 24 == 0 {
        let told = refused(&rig, &bad);
        let begin = "--oom-score-adj -777: the daemon itself may set no less than ";
        let least = told.strip_prefix(begin).and_then(|least| least.parse().ok());
        bad.spec.oom_score_adj = least.unwrap_or_else(|| panic!("{told}"));
    }
    assert_eq!(output(&rig, &bad), (0, String::new()), "the most it says can be had");
    bad.spec.groups = words(&["nosuch"]);
    assert_eq!(refused(&rig, &bad), "Unable to find group nosuch");
}

pub(crate) fn terminal() {
    let rig = Rig::new();
    let mut container = rig
        .container("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal $TERM; echo err >&2; exit 3");
    container.spec.tty = true;
    // Both streams are one, and lines end as a terminal ends them.
    assert_eq!(output(&rig, &container), (3, "terminal xterm\r\nerr\r\n".to_owned()));
    let mut open = rig.container("head -c 1; echo ended");
    open.spec.open_stdin = true;
    rig.start(&open);
    let waits = rig.shell(open.id, "cat /proc/1/wchan; echo; [ -d /proc/1 ] && echo runs");
    assert!(waits.stdout.contains("runs"), "{waits:?}");
}

pub(crate) fn init() {
    let rig = Rig::new();
    // An orphan of the program comes to the first process and must not stay a zombie.
    let mut container = rig.container(
        "trap 'echo asked; exit 7' TERM; echo pid $$; \
         (sleep 0.01 & echo $! >/orphan); \
         while grep -q . /proc/$(cat /orphan)/stat 2>/dev/null; do sleep 0.02; done; echo reaped; \
         while :; do sleep 0.05; done",
    );
    container.spec.init = Some(true);
    rig.start(&container);
    super::run::until(|| rig.log(container.id, Stream::Stdout).contains("reaped"));
    let said = rig.log(container.id, Stream::Stdout);
    assert!(said.starts_with("pid 2\n"), "{said}");
    // Our program cannot be opened from inside, and nothing tells of the machine.
    let looked = rig.shell(container.id, "cat /proc/1/exe >/dev/null; echo $?");
    assert_eq!(looked.stdout, "1\n", "{looked:?}");
    let hidden =
        "readlink /proc/1/exe /proc/1/cwd; cat /proc/1/environ /proc/1/maps; ls /proc/1/fd/";
    assert_eq!(rig.shell(container.id, hidden).stdout, "");
    let line = rig.shell(container.id, "tr '\\0' '|' </proc/1/cmdline; cat /proc/1/comm").stdout;
    let (line, name) = line.split_once('|').unwrap_or((&line, ""));
    let whole = format!("skein-init -- {}", container.spec.args.join(" "));
    assert!(line.len() > 20 && whole.starts_with(line), "{line:?}");
    assert_eq!(name, "skein-init\n");
    let grace = skein_events::time::Span::seconds(10);
    assert_eq!(rig.run(rig.machine.stop(container.id, None, grace)).unwrap().code, 7);
    assert!(rig.log(container.id, Stream::Stdout).ends_with("asked\n"));
    rig.run(rig.machine.remove(container.id)).unwrap();

    let mut killed = rig.container("kill -9 $$");
    killed.spec.init = Some(true);
    assert_eq!(output(&rig, &killed).0, 137);
    let mut missing = rig.container("");
    missing.spec.init = Some(true);
    missing.spec.args = words(&["nosuch"]);
    assert_eq!(refused(&rig, &missing), "exec: \"nosuch\": executable file not found in $PATH");
}
