//! What an image has where a new volume is mounted becomes the volume's content, once, as Docker does it.
//! Made beside the volume and moved into it as a whole, under a lock of the volume: of several first containers one
//! copies and the others wait, and a copy that was cut off is begun again.
//!
//! Before anything of the user's is mounted: what another container writes into a volume of this one, from which a link
//! could lead out, is then not below the root yet; and `RESOLVE_NO_XDEV` refuses what is mounted all the same.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, StatxAttributes, StatxFlags, flock,
    fstat, mkdirat, openat, statx,
};

use super::path::{open_image_dir, open_root};
use crate::error::{Context as _, Error};
use crate::volume::{DATA, OPENED};
use crate::{private, tree};

/// Where a copy is made, beside the volume's content.
const COPY: &str = "copy";
/// Bytes of one volume's content that an image may bring: what an image may unpack into.
const BYTES_MAX: u64 = 64 << 30;

/// Fills a volume that no container has had before from the image; `data` is the volume's directory.
pub(crate) fn image_content(root: BorrowedFd<'_>, target: &str, data: &Path) -> Result<(), Error> {
    let what = || format!("copy the image's {target} into its volume");
    let place = data.parent().expect("a volume's data lies in its volume");
    let volume = open_root(place).context(what())?;
    flock(&volume, FlockOperation::LockExclusive).context(what())?;
    let opened = place.join(OPENED);
    if opened.exists() {
        return Ok(());
    }
    // What an option of the volume mounted there is taken as it is.
    let plain = statx(CWD, data, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|stat| !stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    let empty = fs::read_dir(data).context(what())?.next().is_none();
    if plain
        && empty
        && let Ok(image) = open_image_dir(root, target)
        && FileType::from_raw_mode(fstat(&image).context(what())?.st_mode) == FileType::Directory
    {
        // What a copy that was cut off left.
        tree::remove(&place.join(COPY)).context(what())?;
        mkdirat(&volume, COPY, Mode::from(0o700)).context(what())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let copy = openat(volume.as_fd(), COPY, flags, Mode::empty()).context(what())?;
        tree::copy(image, copy, BYTES_MAX).context(what())?;
        match rustix::fs::renameat(&volume, COPY, &volume, DATA) {
            // Somebody who did not want the image's content wrote to it meanwhile: then it is his.
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => {
                tree::remove(&place.join(COPY)).context(what())?;
            }
            renamed => renamed.map_err(io::Error::from).context(what())?,
        }
    }
    private::create(&opened).context(what())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

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
