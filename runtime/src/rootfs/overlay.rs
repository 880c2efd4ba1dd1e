//! The overlay mount: a container's own upper directory over its image's layers.
//! Through the new mount API with one `lowerdir+` a layer, so no page-sized option string limits their number.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use crate::error::{Context as _, Error};

/// Where there is a controller that says which devices may be opened (cgroup v1).
pub(crate) const DEVICE_CONTROLLER: &str = "/sys/fs/cgroup/devices/devices.list";

/// Where the parts of a container's root file system lie.
#[derive(Clone, Debug)]
pub(crate) struct Overlay<'a> {
    /// Lowest first; none is a container on an image without layers, which has only its upper directory.
    pub(crate) layers: &'a [PathBuf],
    pub(crate) empty: &'a Path,
    pub(crate) upper: &'a Path,
    pub(crate) work: &'a Path,
    pub(crate) target: &'a Path,
}

/// Mounts it. `nodev`: device nodes of an image or of the container's making are dead in it; `/dev` is its own mount.
pub(crate) fn mount(overlay: &Overlay<'_>) -> Result<(), Error> {
    let what = || format!("mount the root file system {}", overlay.target.display());
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context(what())?;
    let set = |key: &str, value: &OsStr| fsconfig_set_string(&fs, key, value).context(what());
    set("source", OsStr::new("skein"))?;
    // The kernel takes no directory twice. Of equal layers the uppermost has, and hides, all that those below it do, whatever
    // lies in between: they change nothing.
    for (at, layer) in overlay.layers.iter().enumerate().rev() {
        if !overlay.layers[at + 1..].contains(layer) {
            set("lowerdir+", layer.as_os_str())?;
        }
    }
    if overlay.layers.is_empty() {
        set("lowerdir+", overlay.empty.as_os_str())?;
    }
    set("upperdir", overlay.upper.as_os_str())?;
    set("workdir", overlay.work.as_os_str())?;
    fsconfig_create(&fs).context(what())?;
    // Devices that an image ships or a container makes are as dead as the device controller makes them; where there is none,
    // all of them are.
    let devices = match Path::new(DEVICE_CONTROLLER).exists() {
        true => MountAttrFlags::empty(),
        false => MountAttrFlags::MOUNT_ATTR_NODEV,
    };
    let mounted = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, devices).context(what())?;
    move_mount(
        &mounted,
        "",
        rustix::fs::CWD,
        overlay.target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .context(what())
}

/// Takes it away, however often it was mounted; nothing to do is no error.
pub(crate) fn take_away(target: &Path) -> Result<(), Error> {
    loop {
        match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error).context(format!("unmount {}", target.display())),
        }
    }
}
