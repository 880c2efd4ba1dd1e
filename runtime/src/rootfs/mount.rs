//! The user's mounts, put below a mounted root file system before the container's first process is made.
//! Not by the container library: it walks paths, and a volume that another container writes to may change a path under
//! it. Here the source is an open tree and the target an open directory, found by the kernel below the root.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use skein_events::task::mount::{Mount, MountSource, Propagation};

use super::copy;
use super::path::{open_dir_inside, open_file_inside, open_inside};
use crate::error::{Context as _, Error, words};

/// Where the kernel has the root directory's own mounts, so the library makes these after its own.
const LATE: [&str; 2] = ["/dev", "/sys"];

/// A mount, with its source found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed<'a> {
    pub(crate) mount: &'a Mount,
    /// Where a volume lies; none for other sources.
    pub(crate) volume: Option<&'a Path>,
}

/// Whether the container library must make this mount, because its target lies in a file system that the library mounts.
pub(crate) fn is_late(target: &str) -> bool {
    LATE.iter().any(|dir| is_within(target, dir))
}

/// Whether a path is `dir` or lies below it.
pub(crate) fn is_within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A target without what means nothing in it.
pub(crate) fn clean(target: &str) -> Result<String, Error> {
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let target = format!("/{}", parts.join("/"));
    let refused = |message: String| Err(Error::BadSetting { message });
    if is_within(&target, "/proc") {
        return refused(format!("{target:?} cannot be mounted because it is inside /proc"));
    }
    if target == "/" || target == "/dev" {
        return refused(format!(
            "a mount on {target} itself is not there: mount what you need below it"
        ));
    }
    Ok(target)
}

/// Puts the mounts below the root, outer ones first, but those that are late; and files of our own.
pub(crate) fn all(
    root: BorrowedFd<'_>,
    mounts: &[Placed<'_>],
    files: &[(PathBuf, String)],
) -> Result<(), Error> {
    // All of it before anything is mounted: what other containers write is not below the root yet.
    for Placed { mount: Mount { target, read_only: _, source }, volume } in mounts {
        if let (MountSource::Volume { no_copy: false, .. }, Some(data)) = (source, volume) {
            copy::image_content(root, &clean(target)?, data)?;
        }
    }
    let mut placed = Vec::new();
    for mount in mounts {
        let target = clean(&mount.mount.target)?;
        if !is_late(&target) {
            placed.push((target, mount));
        }
    }
    let depth = |target: &str| target.matches('/').count();
    placed.sort_by_key(|(target, _)| depth(target));
    for (target, placed) in placed {
        one(root, &target, placed)?;
        // Whoever mounts on /etc still finds ours in it, and may hide none of them by accident.
        if target == "/etc" {
            for (source, target) in files {
                own_file(root, source, target)?;
            }
        }
    }
    if !mounts.iter().any(|placed| placed.mount.target.trim_end_matches('/') == "/etc") {
        for (source, target) in files {
            own_file(root, source, target)?;
        }
    }
    Ok(())
}

fn own_file(root: BorrowedFd<'_>, source: &Path, target: &str) -> Result<(), Error> {
    let what = || format!("mount {target}");
    let tree = clone_tree(rustix::fs::CWD, source, true).context(what())?;
    let at = open_file_inside(root, target).context(what())?;
    attach(&tree, &at).context(what())
}

fn one(root: BorrowedFd<'_>, target: &str, placed: &Placed<'_>) -> Result<(), Error> {
    let Placed { mount: Mount { target: _, read_only, source }, volume } = placed;
    let what = || format!("mount {target}");
    let (tree, is_dir, propagation) = match source {
        MountSource::Bind { path, propagation, non_recursive, create } => {
            find_source(path, *create)?;
            let tree = clone_tree(rustix::fs::CWD, path.as_ref(), !non_recursive).context(what())?;
            // Of what was opened, whatever the path leads to by now.
            let is_dir = is_dir(&tree).context(what())?;
            (tree, is_dir, of_kernel(*propagation)?)
        }
        MountSource::Volume { subpath, .. } => {
            let data = volume.ok_or_else(|| Error::BadSetting {
                message: format!("the volume for {target} was not made"),
            })?;
            let dir = super::path::open_root(data).context(what())?;
            let dir = match subpath {
                None => dir,
                Some(subpath) => open_inside(dir.as_fd(), subpath).map_err(|errno| {
                    let reason = words(&errno.into());
                    Error::BadSetting {
                        message: format!("cannot access path {subpath} of the volume: {reason}"),
                    }
                })?,
            };
            let is_dir = is_dir(&dir).context(what())?;
            let tree = clone_tree(dir, Path::new(""), true).context(what())?;
            (tree, is_dir, libc::MS_PRIVATE)
        }
        MountSource::Tmpfs { size, mode } => {
            (tmpfs(size.0, *mode).context(what())?, true, libc::MS_PRIVATE)
        }
    };
    let attributes = match read_only {
        true => MountAttrFlags::MOUNT_ATTR_RDONLY,
        false => MountAttrFlags::empty(),
    };
    set_attributes(&tree, attributes, propagation).context(what())?;
    let at = if is_dir { open_dir_inside(root, target) } else { open_file_inside(root, target) };
    let at = at.map_err(|errno| unfit(target, errno))?;
    attach(&tree, &at).map_err(|errno| unfit(target, errno))
}

fn is_dir(fd: &OwnedFd) -> rustix::io::Result<bool> {
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    Ok(kind == rustix::fs::FileType::Directory)
}

/// What the user asked for does not go with what the image or another mount has there.
fn unfit(target: &str, errno: Errno) -> Error {
    let reason = match errno {
        Errno::NOTDIR | Errno::ISDIR => {
            "not a directory: Are you trying to mount a directory onto a file (or vice-versa)?"
                .to_owned()
        }
        Errno::ROFS => "read-only file system: make the mount point first".to_owned(),
        errno => io::Error::from(errno).kind().to_string(),
    };
    Error::BadSetting { message: format!("mount {target}: {reason}") }
}

/// The source of a bind, which must be there unless the user lets it be made; the sentence is Docker's.
pub(crate) fn find_source(path: &str, create: bool) -> Result<(), Error> {
    if fs::metadata(path).is_ok() {
        return Ok(());
    }
    if create {
        return make_source(Path::new(path)).context(format!("make {path}"));
    }
    Err(Error::BadSetting {
        message: format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {path}"
        ),
    })
}

/// Makes the source of a bind as Docker does: whoever runs in the container passes, whatever the daemon's umask.
fn make_source(path: &Path) -> io::Result<()> {
    let made: Vec<&Path> = path.ancestors().take_while(|level| !level.exists()).collect();
    fs::create_dir_all(path)?;
    let passable = rustix::fs::Mode::from(0o755);
    for level in made {
        rustix::fs::chmod(level, passable)?;
    }
    Ok(())
}

/// The flag of mount(2).
pub(crate) fn of_kernel(propagation: Propagation) -> Result<libc::c_ulong, Error> {
    match propagation {
        Propagation::Rprivate | Propagation::Private => Ok(libc::MS_PRIVATE),
        Propagation::Rslave | Propagation::Slave => Ok(libc::MS_SLAVE),
        Propagation::Rshared | Propagation::Shared => Err(Error::BadSetting {
            message: "shared binds are not there: use bind-propagation=rslave or rprivate"
                .to_owned(),
        }),
    }
}

fn clone_tree(dir: impl AsFd, path: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(dir, path, flags)
}

fn tmpfs(size: u64, mode: Option<u32>) -> rustix::io::Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", "tmpfs")?;
    if size != 0 {
        fsconfig_set_string(&fs, "size", size.to_string())?;
    }
    fsconfig_set_string(&fs, "mode", format!("{:o}", mode.unwrap_or(0o1777)))?;
    fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The structure of mount_setattr(2), which neither of our libraries has.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Gives a mount, and those below it, attributes it has not and a propagation.
pub(crate) fn set_attributes(
    tree: &OwnedFd,
    set: MountAttrFlags,
    propagation: libc::c_ulong,
) -> io::Result<()> {
    let attributes =
        Attributes { set: set.bits().into(), clear: 0, propagation, user_namespace: 0 };
    let empty = CString::default();
    // SAFETY: the descriptor is open, the path ends with a zero, the structure is as long as said and only read.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn attach(tree: &OwnedFd, at: &OwnedFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", at, "", flags)
}

/// The late mounts as the container library wants them told.
pub(crate) fn late(mounts: &[Placed<'_>]) -> Result<Vec<serde_json::Value>, Error> {
    let mut out = Vec::new();
    for Placed { mount, volume } in mounts {
        let target = clean(&mount.target)?;
        if !is_late(&target) {
            continue;
        }
        let (kind, source, mut options): (&str, PathBuf, Vec<String>) = match &mount.source {
            MountSource::Bind { path, propagation, non_recursive, create } => {
                find_source(path, *create)?;
                let slave = of_kernel(*propagation)? == libc::MS_SLAVE;
                let bind = if *non_recursive { "bind" } else { "rbind" };
                let propagation = if slave { "rslave" } else { "rprivate" };
                ("bind", path.into(), vec![bind.to_owned(), propagation.to_owned()])
            }
            MountSource::Volume { subpath, .. } => {
                if subpath.is_some() {
                    return Err(Error::BadSetting {
                        message: format!("a part of a volume cannot be mounted on {target}"),
                    });
                }
                let data = volume.map(Path::to_path_buf).unwrap_or_default();
                ("bind", data, vec!["rbind".to_owned(), "rprivate".to_owned()])
            }
            MountSource::Tmpfs { size, mode } => {
                let mut options: Vec<String> =
                    ["nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
                options.push(format!("mode={:o}", mode.unwrap_or(0o1777)));
                if size.0 != 0 {
                    options.push(format!("size={}", size.0));
                }
                ("tmpfs", "tmpfs".into(), options)
            }
        };
        if mount.read_only {
            options.push("ro".to_owned());
        }
        out.push(serde_json::json!({
            "destination": target, "type": kind, "source": source, "options": options,
        }));
    }
    Ok(out)
}
