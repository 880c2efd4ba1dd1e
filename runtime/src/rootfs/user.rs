//! Who a container's process is: `user[:group]` against the image's own `/etc/passwd` and `/etc/group`.
//! Read from outside with limits, never by the C library inside, which would load the image's code (CVE-2019-14271).

use std::io;
use std::os::fd::BorrowedFd;

use super::path::read_inside;
use crate::error::Error;

/// Bytes either file may have (CVE-2026-47262).
const DATABASE_MAX: u64 = 1 << 20;
/// Further groups of one user; the kernel takes 65,536, ten is usual.
const GROUPS_MAX: usize = 1024;

/// A user as the kernel knows it, and its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Further groups, sorted.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Adds further groups, names or numbers; Docker's sentence for one that is not there.
pub(crate) fn add_groups(
    who: &mut Who,
    root: BorrowedFd<'_>,
    groups: &[String],
) -> Result<(), Error> {
    if groups.is_empty() {
        return Ok(());
    }
    let database = database(root, "etc/group")?;
    for group in groups {
        let gid = find_group(&database, group).ok_or_else(|| Error::BadSetting {
            message: format!("Unable to find group {group}"),
        })?;
        who.groups.push(gid);
    }
    who.groups.sort_unstable();
    who.groups.dedup();
    Ok(())
}

fn database(root: BorrowedFd<'_>, path: &str) -> Result<String, Error> {
    read_inside(root, path, DATABASE_MAX)
        .map(|bytes| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
        .map_err(|error: io::Error| Error::HostileImage { reason: format!("/{path}: {error}") })
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Resolves `user[:group]` inside a root file system; empty is root.
pub(crate) fn resolve(root: BorrowedFd<'_>, text: &str) -> Result<Who, Error> {
    look_up(text, &database(root, "etc/passwd")?, &database(root, "etc/group")?)
}

fn look_up(text: &str, passwd: &str, group: &str) -> Result<Who, Error> {
    let unknown = |what: &str, name: &str, file: &str| Error::BadSetting {
        message: format!("unable to find {what} {name}: no matching entries in {file} file"),
    };
    let (user, group_text) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user);
    let account = accounts(passwd).find(|account| match number {
        Some(uid) => account.uid == uid,
        None => account.name == user,
    });
    let (name, uid, mut gid, home) = match (&account, number) {
        (Some(found), _) => (found.name, found.uid, found.gid, found.home),
        (None, Some(uid)) => ("", uid, 0, ""),
        (None, None) => return Err(unknown("user", user, "passwd")),
    };
    let mut groups = Vec::new();
    match group_text {
        Some(wanted) => {
            gid = find_group(group, wanted).ok_or_else(|| unknown("group", wanted, "group"))?;
        }
        None if !name.is_empty() => {
            groups = groups_of(group, name);
            groups.truncate(GROUPS_MAX);
        }
        None => {}
    }
    // Else a program with a set-group-id bit could shed the group, and with it what the group is denied (CVE-2022-36109).
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = if home.starts_with('/') { home } else { "/" };
    Ok(Who { uid, gid, groups, home: home.to_owned() })
}

/// Decimal and below 2^31, as Docker demands.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n| *n < 1 << 31)
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

fn group_lines(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, number(fields.nth(1)?)?, fields.next().unwrap_or_default()))
    })
}

fn find_group(group: &str, wanted: &str) -> Option<u32> {
    let number = number(wanted);
    group_lines(group)
        .find(|(name, gid, _)| number.map_or(*name == wanted, |n| *gid == n))
        .map(|(_, gid, _)| gid)
        .or(number)
}

fn groups_of(group: &str, user: &str) -> Vec<u32> {
    group_lines(group)
        .filter(|(_, _, members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n\nbroken\nweb:x:33:34::/srv:/bin/false\n:x:7:7::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:\nlog:x:4:syslog,web\ntape:x:26:web\n";

    fn who(uid: u32, gid: u32, groups: &[u32], home: &str) -> Who {
        Who { uid, gid, groups: groups.to_vec(), home: home.to_owned() }
    }

    #[test]
    fn users_as_docker_finds_them() {
        for (text, expected) in [
            ("", who(0, 0, &[0], "/root")),
            ("web", who(33, 34, &[4, 26, 34], "/srv")),
            ("33", who(33, 34, &[4, 26, 34], "/srv")),
            ("web:log", who(33, 4, &[4], "/srv")),
            ("web:99", who(33, 99, &[99], "/srv")),
            ("1000", who(1000, 0, &[0], "/")),
            ("1000:1000", who(1000, 1000, &[1000], "/")),
            (":www", who(0, 34, &[34], "/root")),
        ] {
            assert_eq!(look_up(text, PASSWD, GROUP).unwrap(), expected, "{text}");
        }
        let error = look_up("nobody", PASSWD, GROUP).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert!(look_up("web:nogroup", PASSWD, GROUP).is_err());
        assert!(look_up("-1", PASSWD, GROUP).is_err());
    }
}
