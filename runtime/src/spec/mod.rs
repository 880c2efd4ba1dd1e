//! From what the user asked for and what the image says to an OCI configuration.
//! Pure: paths and ids come in, a JSON document goes out. The defaults are Docker's, and stricter where said.

mod option;
pub(crate) mod seccomp;

use std::path::Path;

use serde_json::{Value, json};
use skein_events::task::container::ContainerSpec;
use skein_events::task::spec::Limits;

pub(crate) use option::Bounding;

use crate::api::{Container, ExecSpec};
use crate::error::Error;
use crate::image::ImageConfig;
use crate::rootfs::user::Who;
use crate::signal::Signal;

/// What Docker gives a container that sets none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What Docker gives a container with a terminal.
const TERM: &str = "TERM=xterm";
/// Processes and threads of a container that has no limit of its own; Docker has none, and a fork bomb is free there.
const PIDS_DEFAULT: u64 = 4096;
/// Length of a scheduling period, microseconds.
const CPU_PERIOD: u64 = 100_000;

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the container's first process is: the user's wishes over the image's, as Docker merges them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Process {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) user: String,
    pub(crate) dir: String,
    pub(crate) stop_signal: Signal,
    #[serde(default)]
    pub(crate) options: Options,
}

/// What further processes of a container share with its first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Options {
    /// Their names; Docker's usual ones when absent.
    pub(crate) capabilities: Option<Vec<String>>,
    pub(crate) rlimits: Vec<Value>,
    pub(crate) oom_score_adj: i32,
    /// Whether a program may have more privileges than whoever executes it: by its set-user-id bit or capabilities.
    #[serde(default)]
    pub(crate) new_privileges: bool,
}

/// What this machine lets the daemon give to containers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// Whether the device controller of cgroup v1 keeps a made node dead.
    pub(crate) device_cgroup: bool,
    pub(crate) bounding: Bounding,
    /// Whether programs may gain privileges, as Docker lets them unless told otherwise.
    pub(crate) new_privileges: bool,
}

/// What a process keeps until its filter of system calls is in place, if it may gain privileges later: without
/// `no_new_privs` the kernel takes a filter from an administrator only. `shim::launch` takes them away.
pub(crate) const FOR_THE_FILTER: [&str; 2] = ["CAP_SYS_ADMIN", "CAP_SETPCAP"];

/// Merges; an error names what the image and the user both left out.
pub(crate) fn process(
    container: &Container,
    image: &ImageConfig,
    host: Host,
) -> Result<Process, Error> {
    // A new option must be placed: nothing is left out by `..`.
    let ContainerSpec {
        image: _,
        command,
        args,
        dir,
        user,
        hostname: _, // the agent has filled it in
        labels: _,   // data only
        stop_signal,
        stop_grace: _, // the agent passes it to `stop`
        tty,
        init,
        // What is made of these is in `oci` and `process_json`; hosts and dns came with the container's files.
        groups: _,
        hosts: _,
        dns: _,
        mounts: _,
        read_only: _,
        open_stdin: _,
        health: _, // the agent asks after it
        cap_add,
        cap_drop,
        ulimits,
        sysctls: _,
        oom_score_adj,
    } = &container.spec;
    // An entrypoint of the user's own makes the image's arguments meaningless.
    let (entrypoint, inherited) = if command.is_empty() {
        (&image.entrypoint, image.cmd.as_slice())
    } else {
        (command, [].as_slice())
    };
    let arguments = if args.is_empty() { inherited } else { args.as_slice() };
    let argv: Vec<String> = entrypoint.iter().chain(arguments).cloned().collect();
    if argv.first().is_none_or(String::is_empty) {
        return Err(Error::BadCommand { message: "no command specified".to_owned() });
    }
    let signal =
        stop_signal.as_deref().filter(|text| !text.is_empty()).unwrap_or(&image.stop_signal);
    let stop_signal = if signal.is_empty() {
        Signal::TERM
    } else {
        signal.parse().map_err(|e| Error::BadSetting { message: format!("{e}") })?
    };
    let Host { device_cgroup, bounding, new_privileges } = host;
    let capabilities = option::capabilities(cap_add, cap_drop, device_cgroup, bounding)?;
    if *init == Some(true) && capabilities.iter().any(|name| name == "CAP_SYS_PTRACE") {
        return Err(Error::BadSetting {
            message: "an init process cannot be shielded from CAP_SYS_PTRACE: leave out --init or the capability"
                .to_owned(),
        });
    }
    Ok(Process {
        args: argv,
        env: environment(&[&terminal(*tty), &image.env, &container.env], &container.hostname),
        user: user.clone().filter(|user| !user.is_empty()).unwrap_or_else(|| image.user.clone()),
        dir: directory(dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or(&image.working_dir)),
        stop_signal,
        options: Options {
            capabilities: Some(capabilities),
            rlimits: option::rlimits(ulimits)?,
            oom_score_adj: *oom_score_adj,
            new_privileges,
        },
    })
}

/// A further process: the container's own, changed where asked.
pub(crate) fn exec(base: &Process, exec: &ExecSpec) -> Result<Process, Error> {
    if exec.args.first().is_none_or(String::is_empty) {
        return Err(Error::BadCommand { message: "no command specified".to_owned() });
    }
    Ok(Process {
        args: exec.args.clone(),
        env: environment(&[&terminal(exec.terminal.is_some()), &base.env, &exec.env], ""),
        user: exec
            .user
            .clone()
            .filter(|user| !user.is_empty())
            .unwrap_or_else(|| base.user.clone()),
        dir: exec
            .dir
            .as_deref()
            .filter(|d| !d.is_empty())
            .map_or_else(|| base.dir.clone(), directory),
        stop_signal: base.stop_signal,
        options: base.options.clone(),
    })
}

/// The variable that says what a terminal is.
fn terminal(there: bool) -> Vec<String> {
    if there { vec![TERM.to_owned()] } else { Vec::new() }
}

fn directory(text: &str) -> String {
    if text.starts_with('/') { text.to_owned() } else { format!("/{text}") }
}

/// Later ones win; `NAME` without a value takes one away. What cannot be passed on is left out.
fn environment(lists: &[&[String]], hostname: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![PATH.to_owned()];
    if !hostname.is_empty() {
        out.push(format!("HOSTNAME={hostname}"));
    }
    for variable in lists.iter().copied().flatten() {
        let (name, value) = match variable.split_once('=') {
            Some((name, _)) => (name, Some(variable)),
            None => (variable.as_str(), None),
        };
        if name.is_empty() || variable.contains('\0') {
            continue;
        }
        let same = |known: &String| known.split_once('=').is_some_and(|(n, _)| n == name);
        match (out.iter().position(same), value) {
            (Some(at), Some(value)) => out[at].clone_from(value),
            (Some(at), None) => drop(out.remove(at)),
            (None, Some(value)) => out.push(value.clone()),
            (None, None) => {}
        }
    }
    out
}

/// Where things of one container lie, and what the machine is like.
#[derive(Clone, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) rootfs: &'a Path,
    /// The directory with our `hosts`, `resolv.conf` and `hostname`.
    pub(crate) files: &'a Path,
    pub(crate) cgroup: &'a str,
    /// Whether `files` are bound by the library; else they are in place already.
    pub(crate) bind_files: bool,
    /// The user's mounts that go below what the library mounts.
    pub(crate) late: Vec<Value>,
}

/// The `process` object, also of a further process.
pub(crate) fn process_json(process: &Process, who: &Who, terminal: bool) -> Value {
    let mut env = process.env.clone();
    // Set here, else the library asks the C library inside the container, which loads the image's code.
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", who.home));
    }
    let Options { capabilities, rlimits, oom_score_adj, new_privileges } = &process.options;
    let mut capabilities = capabilities.clone().unwrap_or_else(option::usual);
    if *new_privileges {
        let missing = only_for_the_filter(&process.options);
        capabilities.extend(missing.iter().map(|(name, _)| (*name).to_owned()));
    }
    let mut json = json!({
        "terminal": terminal,
        "user": { "uid": who.uid, "gid": who.gid, "additionalGids": who.groups },
        "args": process.args,
        "env": env,
        "cwd": process.dir,
        "rlimits": rlimits,
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities,
            "permitted": capabilities,
            "inheritable": [],
            "ambient": [],
        },
        "noNewPrivileges": !new_privileges,
    });
    if *oom_score_adj != 0 {
        json["oomScoreAdj"] = json!(oom_score_adj);
    }
    json
}

/// What a process has for its filter alone, with the kernel's numbers.
pub(crate) fn only_for_the_filter(options: &Options) -> Vec<(&'static str, u32)> {
    let kept = |name: &&str| match &options.capabilities {
        Some(own) => own.iter().any(|known| known == name),
        None => option::usual().iter().any(|known| known == name),
    };
    let extra = FOR_THE_FILTER.iter().filter(|name| options.new_privileges && !kept(name));
    extra.filter_map(|name| Some((*name, option::number(name)?))).collect()
}

/// The whole OCI configuration; the filter of system calls is not in it: see [`seccomp`].
pub(crate) fn oci(
    container: &Container,
    process: &Process,
    who: &Who,
    places: &Places<'_>,
) -> Result<Value, Error> {
    let own = |name: &str| {
        json!({
            "destination": format!("/etc/{name}"),
            "type": "bind",
            "source": places.files.join(name),
            "options": ["bind", "rprivate", if container.spec.read_only { "ro" } else { "rw" }],
        })
    };
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ];
    let taken =
        |mount: &Value| places.late.iter().any(|late| late["destination"] == mount["destination"]);
    mounts.retain(|mount| !taken(mount));
    mounts.extend(places.late.iter().cloned());
    if places.bind_files {
        mounts.extend(["hosts", "resolv.conf", "hostname"].map(own));
    }
    let spec = &container.spec;
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": process_json(process, who, spec.tty),
        "root": { "path": places.rootfs, "readonly": spec.read_only },
        "hostname": container.hostname,
        "mounts": mounts,
        "linux": {
            "resources": resources(&container.limits),
            "cgroupsPath": places.cgroup,
            "sysctl": option::sysctls(&spec.sysctls)?,
            "namespaces": [
                { "type": "pid" },
                { "type": "mount" },
                { "type": "ipc" },
                { "type": "uts" },
                { "type": "cgroup" },
                { "type": "network", "path": container.netns },
            ],
            "maskedPaths": MASKED,
            "readonlyPaths": READONLY,
        },
    }))
}

fn resources(limits: &Limits) -> Value {
    let Limits { resources: held, pids } = limits;
    let mut out = json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        "pids": { "limit": if *pids == 0 { PIDS_DEFAULT } else { *pids } },
    });
    if held.memory.0 != 0 {
        out["memory"] = json!({ "limit": held.memory.0 });
    }
    if held.cpus.0 != 0 {
        // The kernel takes no quota under a millisecond.
        let quota = (held.cpus.0 / 1_000_000 * CPU_PERIOD / 1_000).max(1_000);
        out["cpu"] = json!({ "quota": quota, "period": CPU_PERIOD });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_events::id::TaskId;
    use skein_events::task::spec::Resources;
    use skein_events::unit::{Bytes, NanoCpus};

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn here() -> Host {
        let bounding = Bounding::of_status("");
        Host { device_cgroup: true, bounding, new_privileges: true }
    }

    fn container() -> Container {
        Container {
            id: TaskId::from_random([1; 16]),
            name: "web.1".to_owned(),
            spec: ContainerSpec::default(),
            limits: Limits::default(),
            env: texts(&["A=2", "PATH=/bin", "GONE"]),
            netns: "/run/netns/x".into(),
            hosts: String::new(),
            resolv_conf: String::new(),
            hostname: "h".to_owned(),
            labels: std::collections::BTreeMap::new(),
            keep: crate::log::Keep::default(),
        }
    }

    fn image() -> ImageConfig {
        ImageConfig {
            env: texts(&["A=1", "B=1", "GONE=1"]),
            entrypoint: texts(&["/entry"]),
            cmd: texts(&["default"]),
            user: "web".to_owned(),
            working_dir: "srv".to_owned(),
            stop_signal: "SIGQUIT".to_owned(),
            ..ImageConfig::default()
        }
    }

    #[test]
    fn the_user_wins_over_the_image() {
        let mut container = container();
        let merged = process(&container, &image(), here()).unwrap();
        assert_eq!(merged.args, ["/entry", "default"]);
        assert_eq!(merged.env, ["PATH=/bin", "HOSTNAME=h", "A=2", "B=1"]);
        assert_eq!((merged.user.as_str(), merged.dir.as_str()), ("web", "/srv"));
        assert_eq!(merged.stop_signal.number(), 3);
        container.spec.args = texts(&["x"]);
        assert_eq!(process(&container, &image(), here()).unwrap().args, ["/entry", "x"]);
        container.spec.command = texts(&["/own"]);
        container.spec.args.clear();
        assert_eq!(process(&container, &image(), here()).unwrap().args, ["/own"]);
        container.spec.command.clear();
        assert!(process(&container, &ImageConfig::default(), here()).is_err());
    }

    #[test]
    fn the_document_is_one_the_library_reads() {
        let mut container = container();
        container.limits = Limits {
            resources: Resources { cpus: NanoCpus(500_000_000), memory: Bytes(64 << 20) },
            pids: 0,
        };
        let merged = process(&container, &image(), here()).unwrap();
        let who = Who { uid: 1, gid: 2, groups: vec![3], home: "/home".to_owned() };
        let places = Places {
            rootfs: Path::new("/r"),
            files: Path::new("/f"),
            cgroup: "/skein/x/y",
            bind_files: true,
            late: vec![json!({ "destination": "/dev/shm", "type": "bind" })],
        };
        let json = oci(&container, &merged, &who, &places).unwrap();
        let shm = |mount: &&Value| mount["destination"] == "/dev/shm";
        assert_eq!(json["mounts"].as_array().unwrap().iter().filter(shm).count(), 1);
        assert_eq!(json["linux"]["resources"]["cpu"]["quota"], 50_000);
        assert_eq!(json["linux"]["resources"]["pids"]["limit"], PIDS_DEFAULT);
        let spec: libcontainer::oci_spec::runtime::Spec = serde_json::from_value(json).unwrap();
        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.user().additional_gids().as_deref(), Some(&[3][..]));
        let capabilities = process.capabilities().as_ref().unwrap();
        assert!(capabilities.ambient().as_ref().unwrap().is_empty());
        assert!(capabilities.inheritable().as_ref().unwrap().is_empty());
        assert_eq!(capabilities.bounding().as_ref().unwrap().len(), option::usual().len() + 2);
        assert!(process.env().as_ref().unwrap().contains(&"HOME=/home".to_owned()));
    }
}
