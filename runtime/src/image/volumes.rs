//! Volumes an image asks for, as mounts beside the user's: a new one for each container, gone with it.
//! The texts are the image's, so they are read as paths and nothing else.

use skein_events::task::container::ContainerSpec;
use skein_events::task::mount::{Mount, MountSource};

use super::ImageConfig;
use crate::error::{Error, hostile};

/// Volumes an image may ask for; each costs a directory and a mount.
const VOLUMES_MAX: usize = 64;
/// Longest path: Linux's own limit.
const PATH_MAX: usize = 4096;

/// What is to be mounted besides what the user mounts: his wishes go before the image's.
pub(crate) fn mounts(image: &ImageConfig, spec: &ContainerSpec) -> Result<Vec<Mount>, Error> {
    if image.volumes.len() > VOLUMES_MAX {
        return Err(hostile(format!("more than {VOLUMES_MAX} volumes")));
    }
    let taken =
        |target: &String| spec.mounts.iter().any(|m| clean(&m.target).as_ref() == Some(target));
    let mut targets = Vec::new();
    for text in image.volumes.keys() {
        let target = clean(text).filter(|target| target != "/" && text.len() <= PATH_MAX);
        let target = target.ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            hostile(format!("volume {shown:?} is no directory below the root"))
        })?;
        // Two spellings of one path are one volume.
        if !taken(&target) && !targets.contains(&target) {
            targets.push(target);
        }
    }
    let anonymous = |target| Mount {
        target,
        read_only: false,
        source: MountSource::Volume {
            name: None,
            no_copy: false,
            labels: Vec::new(),
            driver: None,
            options: Vec::new(),
            subpath: None,
        },
    };
    Ok(targets.into_iter().map(anonymous).collect())
}

/// A path from the root without steps that lead nowhere; `None` if one leads up.
fn clean(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('/').filter(|p| !matches!(*p, "" | ".")).collect();
    let plain = !parts.contains(&"..") && !text.contains('\0');
    plain.then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn targets(volumes: &[&str], mounted: &[&str]) -> Result<Vec<String>, String> {
        let volumes = volumes.iter().map(|path| ((*path).to_owned(), json!({}))).collect();
        let image = ImageConfig { volumes, ..ImageConfig::default() };
        let mut spec = ContainerSpec::default();
        for target in mounted {
            let source = MountSource::Tmpfs { size: skein_events::unit::Bytes(0), mode: None };
            spec.mounts.push(Mount { target: (*target).to_owned(), read_only: false, source });
        }
        let mounts = mounts(&image, &spec).map_err(|error| error.to_string())?;
        Ok(mounts.into_iter().map(|mount| mount.target).collect())
    }

    #[test]
    fn an_images_volumes_are_mounted_where_the_user_mounts_nothing() {
        assert_eq!(targets(&["/data", "log/", "//data/."], &[]).unwrap(), ["/data", "/log"]);
        assert_eq!(targets(&["/data", "/log"], &["/data/"]).unwrap(), ["/log"]);
        assert!(targets(&[], &["/x"]).unwrap().is_empty());
    }

    #[test]
    fn a_path_that_leads_nowhere_good_is_refused() {
        for bad in ["/", "", "/..", "/data/../../etc", "/a\0b", &"/x".repeat(3000)] {
            assert!(targets(&[bad], &[]).unwrap_err().starts_with("image refused"), "{bad}");
        }
        let many: Vec<String> = (0..=VOLUMES_MAX).map(|n| format!("/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(targets(&many, &[]).is_err());
        assert!(targets(&many[1..], &[]).is_ok());
    }
}
