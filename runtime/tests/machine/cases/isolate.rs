//! What a container cannot do.

use skein_events::unit::{Bytes, NanoCpus};
use skein_runtime::api::Runtime as _;
use skein_runtime::error::Error;

use crate::rig::{Rig, busybox_layer, image_archive, link, put};

pub(crate) fn seccomp() {
    let rig = Rig::new();
    // A new user namespace needs no capability: only the filter refuses it. That `sh` can fork shows `clone` works.
    let probe = "grep -E '^(Seccomp|NoNewPrivs|CapEff|CapInh|CapAmb|CapBnd):' /proc/self/status; \
        unshare -U true 2>&1; echo $?; mount -t tmpfs none /mnt 2>&1; echo $?";
    let (_, first) = rig.output(probe);
    let container = rig.container("while :; do sleep 0.05; done");
    rig.start(&container);
    let further = rig.shell(container.id, probe).stdout;
    for said in [first, further] {
        let lines: Vec<String> = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let caps = if std::path::Path::new("/sys/fs/cgroup/devices").exists() {
            "00000000a80425fb"
        } else {
            "00000000a00425fb"
        };
        assert_eq!(
            lines,
            [
                "CapInh: 0000000000000000".to_owned(),
                format!("CapEff: {caps}"),
                format!("CapBnd: {caps}"),
                "CapAmb: 0000000000000000".to_owned(),
                "NoNewPrivs: 0".to_owned(),
                "Seccomp: 2".to_owned(),
                "unshare: unshare(0x10000000): Operation not permitted".to_owned(),
                "1".to_owned(),
                "mount: permission denied (are you root?)".to_owned(),
                "1".to_owned(),
            ],
            "{said}"
        );
    }
}

/// A program with a set-user-id bit has what it asks for, unless the daemon forbids it; the filter holds either way.
pub(crate) fn privileges() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    const ASKS: &str = r#"
static long call(long n, long a, long b, long c) {
  long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r;
}
void _start(void) {
  long code = call(107, 0, 0, 0) == 0 ? 1 : 2;                 /* geteuid */
  if (call(41, 38, 5, 0) == -1) code += 4;                     /* socket: AF_ALG is EPERM */
  if (call(41, 40, 1, 0) == -1) code += 8;                     /* AF_VSOCK */
  if (call(41, 1, 1, 0) >= 0) code += 16;                      /* AF_UNIX */
  if (call(272, 0x10000000, 0, 0) == -1) code += 32;           /* unshare */
  call(60, code, 0, 0);
}
"#;
    let rig = Rig::new();
    let (source, program) = (rig.dir.path().join("asks.c"), rig.dir.path().join("asks"));
    std::fs::write(&source, ASKS).unwrap();
    let flags = ["-O1", "-nostdlib", "-static", "-fno-stack-protector", "-o"];
    let made = std::process::Command::new("gcc").args(flags).arg(&program).arg(&source).status();
    assert!(made.unwrap().success());
    let mut layer = tar::Builder::new(Vec::new());
    put(&mut layer, "asks", 0o4755, &std::fs::read(&program).unwrap());
    let archive = image_archive(&[busybox_layer(), layer.into_inner().unwrap()], "setuid:1");
    rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(archive)))).unwrap();
    let filtered = 4 + 8 + 16 + 32;
    for (forbidden, euid) in [(false, 1), (true, 2)] {
        let machine = crate::rig::open_with(rig.dir.path(), forbidden);
        let mut container = rig.container("while :; do sleep 0.1; done");
        container.spec.image = "setuid:1".to_owned();
        container.spec.user = Some("1000".to_owned());
        rig.run(machine.create(container.clone())).unwrap();
        rig.run(machine.start(container.id)).unwrap();
        let asks = skein_runtime::api::ExecSpec {
            args: vec!["/asks".to_owned()],
            ..skein_runtime::api::ExecSpec::default()
        };
        assert_eq!(rig.exec(container.id, asks, None).code, euid + filtered, "{forbidden}");
        // What was there for the filter alone is gone, for the first process and further ones.
        let caps = rig.shell(container.id, "grep -h Cap /proc/1/status /proc/self/status").stdout;
        for line in caps.lines() {
            let set = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
            assert_eq!(set & (1 << 21), 0, "CAP_SYS_ADMIN: {line}");
        }
        rig.run(machine.remove(container.id)).unwrap();
    }
}

pub(crate) fn inside() {
    let rig = Rig::new();
    let (code, said) = rig.output(
        "echo pid $$; cat /etc/hostname /etc/resolv.conf; tail -1 /etc/hosts; \
         ls /dev | tr '\\n' ' ' 2>/dev/null || ls /dev; echo; \
         touch /sys/x 2>/dev/null || echo sys ro; echo 1 2>/dev/null > /proc/sys/kernel/panic || echo proc ro; \
         ls /proc/self/fd | wc -l; echo x > /dev/null; head -c 4 /dev/zero | wc -c; \
         mknod /sda b 8 0 2>/dev/null && head -c 1 /sda 2>/dev/null || echo no device; \
         stat -c %a /dev/shm; ls /sys/class/net",
    );
    assert_eq!(code, 0, "{said}");
    for expected in [
        "pid 1\ninside\nnameserver 127.0.0.11\n10.0.0.2 me\n",
        "sys ro\nproc ro\n4\n4\nno device\n1777\nlo\n",
    ] {
        assert!(said.contains(expected), "{expected:?} not in {said}");
    }
    for device in [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "fd",
        "stdout",
    ] {
        assert!(said.contains(device), "{device} not in {said}");
    }
}

pub(crate) fn hostile_root() {
    let rig = Rig::new();
    let canary = tempfile::tempdir().unwrap();
    for (n, target) in ["dev", "proc", "sys", "etc"].iter().enumerate() {
        let mut tar = tar::Builder::new(Vec::new());
        link(&mut tar, target, canary.path().to_str().unwrap());
        let layers = [busybox_layer(), tar.into_inner().unwrap()];
        let name = format!("hostile:{n}");
        rig.run(rig.machine.load(Box::pin(std::io::Cursor::new(image_archive(&layers, &name)))))
            .unwrap();
        let mut container = rig.container("true");
        container.spec.image = name;
        let error = rig.run(rig.machine.create(container)).unwrap_err();
        assert!(matches!(error, Error::HostileImage { .. }), "{target}: {error:?}");
        assert_eq!(rig.remains(), [""; 0]);
        assert_eq!(std::fs::read_dir(canary.path()).unwrap().count(), 0, "{target}");
    }
    // A working directory through a link is made inside.
    let mut tar = tar::Builder::new(Vec::new());
    link(&mut tar, "out", canary.path().to_str().unwrap());
    let layers = [busybox_layer(), tar.into_inner().unwrap()];
    rig.run(
        rig.machine.load(Box::pin(std::io::Cursor::new(image_archive(&layers, "hostile:dir")))),
    )
    .unwrap();
    let mut container = rig.container("true");
    container.spec.image = "hostile:dir".to_owned();
    container.spec.dir = Some("/out/made".to_owned());
    let _ = rig.run(rig.machine.create(container));
    assert_eq!(std::fs::read_dir(canary.path()).unwrap().count(), 0);
}

pub(crate) fn pids() {
    let rig = Rig::new();
    let mut container = rig.container("for i in $(seq 50); do sleep 5 & done; echo made all");
    container.limits.pids = 10;
    rig.start(&container);
    let exit = rig.run(rig.machine.wait(container.id)).unwrap();
    assert_ne!(exit.code, 0);
    assert_eq!(rig.log(container.id, skein_runtime::log::Stream::Stdout), "");
}

pub(crate) fn limits() {
    let rig = Rig::new();
    let mut container = rig.container("while :; do sleep 0.05; done");
    container.limits.resources.cpus = NanoCpus(500_000_000);
    container.limits.resources.memory = Bytes(64 << 20);
    container.limits.pids = 77;
    rig.start(&container);
    let says = |file| rig.control(container.id, file).map(|text| text.trim().to_owned());
    // The first form's names, else the second's.
    let quota = says("cpu.cfs_quota_us").zip(says("cpu.cfs_period_us"));
    let cpu = quota.map(|(quota, period)| format!("{quota} {period}")).or_else(|| says("cpu.max"));
    assert_eq!(cpu.as_deref(), Some("50000 100000"));
    let memory = says("memory.limit_in_bytes").or_else(|| says("memory.max"));
    assert_eq!(memory.as_deref(), Some("67108864"));
    assert_eq!(says("pids.max").as_deref(), Some("77"));
    rig.run(rig.machine.remove(container.id)).unwrap();

    // What nobody limited has no limit but the one against fork bombs.
    let free = rig.container("while :; do sleep 0.05; done");
    rig.start(&free);
    let says = |file| rig.control(free.id, file).map(|text| text.trim().to_owned());
    let cpu = says("cpu.cfs_quota_us").or_else(|| says("cpu.max"));
    assert!(matches!(cpu.as_deref(), Some("-1" | "max 100000")), "{cpu:?}");
    assert_eq!(says("pids.max").as_deref(), Some("4096"));
}

pub(crate) fn hidden() {
    let rig = Rig::new();
    let container = rig.container("while :; do sleep 0.05; done");
    let pid = rig.start(&container);
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let mount = |at: &str| {
        let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.find(|fields| fields[4] == at).map(|fields| fields.join(" "))
    };
    // What a kernel does not have needs no cover.
    let there = |path: &&str| std::path::Path::new(path).exists();
    let covered =
        ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/acpi"];
    let covered: Vec<&str> = covered.into_iter().chain(["/sys/firmware"]).filter(there).collect();
    assert!(covered.len() > 2, "{covered:?}");
    for path in covered {
        assert!(mount(path).is_some(), "{path} is open");
        let said =
            rig.shell(container.id, &format!("cat {path} 2>/dev/null; ls {path}/ 2>/dev/null"));
        assert_eq!(said.stdout, "", "{path}");
    }
    let read_only = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];
    for path in read_only.into_iter().filter(there) {
        let options = mount(path).unwrap_or_else(|| panic!("{path} may be written"));
        assert!(options.split(' ').nth(5).unwrap().split(',').any(|o| o == "ro"), "{options}");
    }
    let said = rig.shell(container.id, "echo h >/proc/sysrq-trigger; echo $?");
    assert_eq!(said.stdout, "1\n", "{said:?}");
}
