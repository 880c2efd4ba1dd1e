//! What an image has where a new volume is mounted becomes the volume's content, once, as Docker does it.
//! Made beside the volume and moved into it as a whole, under a lock of the volume: of several first containers one
//! copies and the others wait, and a copy that was cut off is begun again.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, StatxAttributes, StatxFlags, flock, statx};

use super::path::open_inside;
use crate::error::{Context as _, Error};
use crate::volume::OPENED;

/// Fills a volume that no container has had before from the image; `data` is the volume's directory.
pub(crate) fn image_content(root: BorrowedFd<'_>, target: &str, data: &Path) -> Result<(), Error> {
    let what = || format!("copy the image's {target} into its volume");
    let volume = data.parent().expect("a volume's data lies in its volume");
    let lock = File::open(volume).context(what())?;
    flock(&lock, FlockOperation::LockExclusive).context(what())?;
    let opened = volume.join(OPENED);
    if opened.exists() {
        return Ok(());
    }
    // What an option of the volume mounted there is taken as it is.
    let plain = statx(CWD, data, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|stat| !stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    let empty = fs::read_dir(data).context(what())?.next().is_none();
    if plain
        && empty
        && let Ok(image) = open_inside(root, target)
    {
        // The kernel found it below the root; nobody else writes there before the container runs.
        let image =
            fs::read_link(format!("/proc/self/fd/{}", image.as_fd().as_raw_fd())).context(what())?;
        if fs::metadata(&image).context(what())?.is_dir() {
            let copy = volume.join("copy");
            match fs::remove_dir_all(&copy) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).context(what());
                }
                _ => {}
            }
            tree(&image, &copy).context(what())?;
            fs::rename(&copy, data).context(what())?;
        }
    }
    File::create(opened).context(what())?;
    Ok(())
}

/// Copies a directory and all below it; links are copied as links, devices and sockets left out.
fn tree(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
        return lchown(to, Some(metadata.uid()), Some(metadata.gid()));
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            tree(&from.join(&name), &to.join(&name))?;
        }
    } else if kind.is_file() {
        fs::copy(from, to)?;
    } else if metadata.mode() & libc::S_IFMT == libc::S_IFIFO {
        rustix::fs::mkfifoat(CWD, to, Mode::from(0o600))?;
    } else {
        return Ok(());
    }
    // The owner first: changing it takes set-id bits away.
    chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    if kind.is_file() || kind.is_dir() {
        let times = fs::FileTimes::new().set_modified(metadata.modified()?);
        File::open(to)?.set_times(times)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::path::open_root;
    use crate::volume::DATA;

    fn volume(dir: &Path, name: &str) -> std::path::PathBuf {
        let data = dir.join(name).join(DATA);
        fs::create_dir_all(&data).unwrap();
        data
    }

    #[test]
    fn a_new_volume_takes_the_images_content_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("srv/sub")).unwrap();
        fs::write(root.join("srv/sub/file"), "text").unwrap();
        fs::set_permissions(root.join("srv"), fs::Permissions::from_mode(0o1750)).unwrap();
        symlink("/etc/shadow", root.join("srv/link")).unwrap();
        let fd = open_root(&root).unwrap();
        let data = volume(dir.path(), "new");
        // What an earlier, killed copy left.
        fs::create_dir_all(data.parent().unwrap().join("copy/half")).unwrap();
        image_content(fd.as_fd(), "/srv", &data).unwrap();
        assert_eq!(fs::read(data.join("sub/file")).unwrap(), b"text");
        assert_eq!(fs::read_link(data.join("link")).unwrap(), Path::new("/etc/shadow"));
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o1750);
        assert!(!data.join("half").exists());
        // Emptied by its user, it stays empty.
        fs::remove_dir_all(data.join("sub")).unwrap();
        fs::remove_file(data.join("link")).unwrap();
        image_content(fd.as_fd(), "/srv", &data).unwrap();
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
        // One with content of its own keeps it; one for which the image has nothing stays empty.
        for (name, target, content) in [("full", "/srv", 1), ("none", "/nosuch", 0)] {
            let data = volume(dir.path(), name);
            (0..content).for_each(|n| fs::write(data.join(n.to_string()), "x").unwrap());
            image_content(fd.as_fd(), target, &data).unwrap();
            assert_eq!(fs::read_dir(&data).unwrap().count(), content, "{name}");
        }
    }

    #[test]
    fn a_link_in_the_image_does_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret"), "x").unwrap();
        symlink(dir.path().join("outside"), root.join("abs")).unwrap();
        symlink("../outside", root.join("up")).unwrap();
        let fd = open_root(&root).unwrap();
        for target in ["/abs", "/up"] {
            let data = volume(dir.path(), target.trim_matches('/'));
            image_content(fd.as_fd(), target, &data).unwrap();
            assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "{target}");
        }
    }
}
