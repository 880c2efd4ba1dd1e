//! Options of a container that are a table of the kernel's: capabilities, limits of processes, kernel parameters.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use skein_events::task::container::Ulimit;

use crate::error::Error;

/// What Docker gives every container, but one: see [`MKNOD`].
const USUAL: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Docker's fourteenth. Only the device controller of cgroup v1 keeps a made node dead, so it is usual only there.
const MKNOD: &str = "MKNOD";
/// The others there are, of capabilities(7).
const FURTHER: [&str; 27] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "PERFMON",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];
const ALL: &str = "ALL";

/// The kernel's numbers for them, of linux/capability.h: a name's place is its number.
const NUMBERS: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What the daemon itself may have and so can give: the bounding set of `/proc/self/status`, a bit a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounding(u64);

impl Bounding {
    /// Reads the kernel's word on a process; one that does not say is taken to have all.
    pub(crate) fn of_status(status: &str) -> Self {
        let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        Self(line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX))
    }

    fn has(self, name: &str) -> bool {
        let number = NUMBERS.iter().position(|known| *known == name);
        number.is_some_and(|number| self.0 & 1 << number != 0)
    }
}

/// Limits a process may have, of setrlimit(2).
const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Kernel parameters that belong to the container's own namespace of System V communication.
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

fn bad(message: String) -> Error {
    Error::BadSetting { message }
}

/// Whole names of the usual ones, without a device controller.
pub(super) fn usual() -> Vec<String> {
    USUAL.map(|name| format!("CAP_{name}")).to_vec()
}

/// The kernel's number of a capability, `CAP_…`.
pub(super) fn number(name: &str) -> Option<u32> {
    let short = name.strip_prefix("CAP_")?;
    let at = NUMBERS.iter().position(|known| *known == short)?;
    u32::try_from(at).ok()
}

/// What a process may have: the usual ones, what is dropped taken away, what is added given. `ALL` added is all but
/// what is dropped, `ALL` dropped is only what is added, as Docker reads them; and nothing the daemon has not itself.
pub(super) fn capabilities(
    add: &[String],
    drop: &[String],
    device_cgroup: bool,
    bounding: Bounding,
) -> Result<Vec<String>, Error> {
    let (add, drop) = (named(add)?, named(drop)?);
    if let Some(name) = add.iter().find(|name| **name != ALL && !bounding.has(name)) {
        return Err(bad(format!(
            "CAP_{name} cannot be given with --cap-add: the daemon does not have it itself"
        )));
    }
    if !device_cgroup && add.contains(MKNOD) {
        return Err(bad(
            "CAP_MKNOD cannot be given with --cap-add: this machine has no device controller (cgroup v1), so a device that is made could be opened"
                .to_owned(),
        ));
    }
    let usual = USUAL.into_iter().chain(device_cgroup.then_some(MKNOD));
    let all = USUAL.into_iter().chain(device_cgroup.then_some(MKNOD)).chain(FURTHER);
    let given: BTreeSet<&str> = if add.contains(ALL) {
        all.filter(|name| !drop.contains(name)).collect()
    } else if drop.contains(ALL) {
        add
    } else {
        usual.filter(|name| !drop.contains(name)).chain(add).collect()
    };
    let given = given.into_iter().filter(|name| bounding.has(name));
    Ok(given.map(|name| format!("CAP_{name}")).collect())
}

/// The names as we have them, with and without `CAP_`.
fn named(names: &[String]) -> Result<BTreeSet<&'static str>, Error> {
    let known = || USUAL.into_iter().chain([MKNOD, ALL]).chain(FURTHER);
    names
        .iter()
        .map(|name| {
            let short = name.strip_prefix("CAP_").unwrap_or(name);
            known()
                .find(|known| *known == short)
                .ok_or_else(|| bad(format!("invalid capability: unknown capability: {name:?}")))
        })
        .collect()
}

/// Limits as the OCI has them.
pub(super) fn rlimits(limits: &[Ulimit]) -> Result<Vec<Value>, Error> {
    limits
        .iter()
        .map(|Ulimit { name, soft, hard }| {
            if !LIMITS.contains(&name.as_str()) {
                return Err(bad(format!("invalid ulimit type: {name}")));
            }
            // Below zero is without limit.
            let amount = |n: i64| u64::try_from(n).unwrap_or(u64::MAX);
            let kind = format!("RLIMIT_{}", name.to_ascii_uppercase());
            Ok(json!({ "type": kind, "soft": amount(*soft), "hard": amount(*hard) }))
        })
        .collect()
}

/// Kernel parameters of the container's own namespaces; another one would be the machine's.
pub(super) fn sysctls(asked: &[(String, String)]) -> Result<BTreeMap<&str, &str>, Error> {
    asked
        .iter()
        .map(|(name, value)| {
            let plain = !name.contains(['/', '\0']) && !name.contains("..");
            let own = OF_IPC.contains(&name.as_str())
                || name == "kernel.domainname"
                || name.starts_with("fs.mqueue.")
                || name.starts_with("net.");
            if plain && own {
                return Ok((name.as_str(), value.as_str()));
            }
            Err(bad(format!("sysctl {name:?} is not in a separate kernel namespace")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn capabilities_are_added_and_dropped_as_docker_does() {
        let held = |add: &[&str], drop: &[&str], bounding| {
            capabilities(&texts(add), &texts(drop), true, bounding)
        };
        let all = Bounding(u64::MAX);
        let given = |add: &[&str], drop: &[&str]| held(add, drop, all);
        assert_eq!(given(&[], &[]).unwrap().len(), 14);
        assert_eq!(capabilities(&[], &[], false, all).unwrap(), usual());
        let every: BTreeSet<&str> = USUAL.into_iter().chain([MKNOD]).chain(FURTHER).collect();
        assert_eq!(every, NUMBERS.into_iter().collect(), "every name has a number");
        // CAP_SYS_RESOURCE is number 24.
        let few = Bounding::of_status("Name:\tx\nCapBnd:\t000001fffeffffff\nSeccomp:\t0\n");
        assert_eq!(held(&["ALL"], &[], few).unwrap().len(), 40);
        let error = held(&["SYS_RESOURCE"], &[], few).unwrap_err().to_string();
        assert!(error.starts_with("CAP_SYS_RESOURCE cannot be given"), "{error}");
        assert_eq!(Bounding::of_status(""), all);
        assert_eq!(given(&[], &["ALL"]).unwrap(), [""; 0]);
        assert_eq!(
            given(&["CAP_CHOWN", "NET_ADMIN"], &["ALL"]).unwrap(),
            ["CAP_CHOWN", "CAP_NET_ADMIN"]
        );
        let all = given(&["ALL"], &["CAP_SYS_ADMIN"]).unwrap();
        assert_eq!(all.len(), 40);
        assert!(!all.contains(&"CAP_SYS_ADMIN".to_owned()));
        let some = given(&["SYS_TIME"], &["NET_RAW", "CAP_CHOWN"]).unwrap();
        assert_eq!(some.len(), 13);
        assert!(some.contains(&"CAP_SYS_TIME".to_owned()));
        let error = given(&["CAP_NOSUCH"], &[]).unwrap_err();
        assert_eq!(error.to_string(), "invalid capability: unknown capability: \"CAP_NOSUCH\"");
    }

    #[test]
    fn only_parameters_of_the_containers_namespaces_are_set() {
        let one = |name: &str| {
            let asked = [(name.to_owned(), "1".to_owned())];
            sysctls(&asked).map(|set| set.len()).map_err(|error| error.to_string())
        };
        for name in ["net.core.somaxconn", "kernel.shmmax", "fs.mqueue.msg_max"] {
            assert_eq!(one(name), Ok(1), "{name}");
        }
        for name in ["kernel.panic", "vm.swappiness", "net/../kernel.panic", "kernel.hostname"] {
            assert_eq!(
                one(name),
                Err(format!("sysctl {name:?} is not in a separate kernel namespace"))
            );
        }
    }

    #[test]
    fn limits_are_the_kernels() {
        let limit = |name: &str| Ulimit { name: name.to_owned(), soft: 5, hard: -1 };
        let json = rlimits(&[limit("nofile")]).unwrap();
        assert_eq!(json[0], json!({ "type": "RLIMIT_NOFILE", "soft": 5, "hard": u64::MAX }));
        assert!(rlimits(&[limit("files")]).is_err());
    }
}
