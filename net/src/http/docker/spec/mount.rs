//! What is mounted into a container, in Docker's words and in ours.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::task::mount::{Mount, MountSource, Propagation};
use skein_events::unit::Bytes;

use super::{map, signed, some, sorted, unsigned, unsupported};

pub(super) fn mounts(mounts: Option<Vec<models::Mount>>) -> Result<Vec<Mount>, Refusal> {
    mounts.unwrap_or_default().into_iter().map(mount).collect()
}

fn mount(mount: models::Mount) -> Result<Mount, Refusal> {
    use models::MountType;
    let models::Mount {
        target,
        source,
        typ,
        read_only,
        consistency: _, // says how a virtual machine on a desktop shares files: nothing here
        bind_options,
        volume_options,
        image_options,
        tmpfs_options,
    } = mount;
    let target = target.unwrap_or_default();
    let source = source.filter(|source| !source.is_empty());
    let foreign = |there: bool, options: &str| {
        there.then(|| Refusal::Invalid(format!("mount {target}: {options} are of another type")))
    };
    let typ = typ.ok_or_else(|| Refusal::Invalid(format!("mount {target} has no type")))?;
    let strange = [
        foreign(bind_options.is_some() && typ != MountType::BIND, "BindOptions"),
        foreign(volume_options.is_some() && typ != MountType::VOLUME, "VolumeOptions"),
        foreign(tmpfs_options.is_some() && typ != MountType::TMPFS, "TmpfsOptions"),
        foreign(image_options.is_some() && typ != MountType::IMAGE, "ImageOptions"),
    ];
    if let Some(refusal) = strange.into_iter().flatten().next() {
        return Err(refusal);
    }
    let source = match typ {
        MountType::BIND => bind(source, bind_options.unwrap_or_default())?,
        MountType::VOLUME => volume(source, volume_options.unwrap_or_default()),
        MountType::TMPFS if source.is_some() => {
            return Err(Refusal::Invalid(format!("mount {target}: a tmpfs has no source")));
        }
        MountType::TMPFS => tmpfs(tmpfs_options.unwrap_or_default())?,
        MountType::IMAGE => {
            return Err(unsupported(
                "mounts of images are not there: use type=bind, type=volume or type=tmpfs",
            ));
        }
        MountType::CLUSTER => {
            return Err(unsupported(
                "cluster volumes are not there: use type=volume, a volume of the node",
            ));
        }
        MountType::NPIPE => {
            return Err(unsupported(
                "named pipes are of Windows: use type=bind, type=volume or type=tmpfs",
            ));
        }
    };
    Ok(Mount { target, read_only: read_only == Some(true), source })
}

fn bind(source: Option<String>, options: models::MountBindOptions) -> Result<MountSource, Refusal> {
    use models::MountBindOptionsPropagationEnum as Model;
    let models::MountBindOptions {
        propagation,
        non_recursive,
        create_mountpoint,
        read_only_non_recursive,
        read_only_force_recursive,
    } = options;
    if read_only_non_recursive == Some(true) || read_only_force_recursive == Some(true) {
        return Err(unsupported(
            "bind-recursive=writable and =readonly are not there: leave them out, or use bind-recursive=disabled",
        ));
    }
    Ok(MountSource::Bind {
        path: source.unwrap_or_default(),
        propagation: match propagation.unwrap_or(Model::EMPTY) {
            Model::EMPTY | Model::RPRIVATE => Propagation::Rprivate,
            Model::PRIVATE => Propagation::Private,
            Model::RSHARED => Propagation::Rshared,
            Model::SHARED => Propagation::Shared,
            Model::RSLAVE => Propagation::Rslave,
            Model::SLAVE => Propagation::Slave,
        },
        non_recursive: non_recursive == Some(true),
        create: create_mountpoint == Some(true),
    })
}

fn volume(name: Option<String>, options: models::MountVolumeOptions) -> MountSource {
    let models::MountVolumeOptions { no_copy, labels, driver_config, subpath } = options;
    let models::MountVolumeOptionsDriverConfig { name: driver, options } =
        driver_config.unwrap_or_default();
    MountSource::Volume {
        name,
        no_copy: no_copy == Some(true),
        labels: sorted(labels),
        driver: driver.filter(|name| !name.is_empty()),
        options: sorted(options),
        subpath: subpath.filter(|path| !path.is_empty()),
    }
}

fn tmpfs(options: models::MountTmpfsOptions) -> Result<MountSource, Refusal> {
    let models::MountTmpfsOptions { size_bytes, mode, options } = options;
    if options.is_some_and(|options| !options.is_empty()) {
        return Err(unsupported(
            "further options of a tmpfs are not there: use tmpfs-size and tmpfs-mode",
        ));
    }
    let invalid = |_| Refusal::Invalid("invalid mode of a tmpfs".to_owned());
    let mode = mode.filter(|mode| *mode != 0).map(u32::try_from).transpose().map_err(invalid)?;
    Ok(MountSource::Tmpfs { size: Bytes(unsigned("size of a tmpfs", size_bytes)?), mode })
}

pub(super) fn model(mount: &Mount) -> models::Mount {
    let Mount { target, read_only, source } = mount;
    let common = models::Mount {
        target: Some(target.clone()),
        read_only: read_only.then_some(true),
        ..models::Mount::default()
    };
    match source {
        MountSource::Bind { path, propagation, non_recursive, create } => models::Mount {
            typ: Some(models::MountType::BIND),
            source: Some(path.clone()),
            bind_options: bind_model(*propagation, *non_recursive, *create),
            ..common
        },
        MountSource::Volume { name, no_copy, labels, driver, options, subpath } => {
            let config = models::MountVolumeOptionsDriverConfig {
                name: driver.clone(),
                options: (!options.is_empty()).then(|| map(options)),
            };
            let all = models::MountVolumeOptions {
                no_copy: no_copy.then_some(true),
                labels: (!labels.is_empty()).then(|| map(labels)),
                driver_config: some(config),
                subpath: subpath.clone(),
            };
            models::Mount {
                typ: Some(models::MountType::VOLUME),
                source: name.clone(),
                volume_options: some(all),
                ..common
            }
        }
        MountSource::Tmpfs { size: Bytes(size), mode } => models::Mount {
            typ: Some(models::MountType::TMPFS),
            tmpfs_options: some(models::MountTmpfsOptions {
                size_bytes: (*size != 0).then(|| signed(*size)),
                mode: mode.map(i64::from),
                options: None,
            }),
            ..common
        },
    }
}

fn bind_model(
    propagation: Propagation,
    non_recursive: bool,
    create: bool,
) -> Option<models::MountBindOptions> {
    use models::MountBindOptionsPropagationEnum as Model;
    some(models::MountBindOptions {
        propagation: match propagation {
            Propagation::Rprivate => None,
            Propagation::Private => Some(Model::PRIVATE),
            Propagation::Rshared => Some(Model::RSHARED),
            Propagation::Shared => Some(Model::SHARED),
            Propagation::Rslave => Some(Model::RSLAVE),
            Propagation::Slave => Some(Model::SLAVE),
        },
        non_recursive: non_recursive.then_some(true),
        create_mountpoint: create.then_some(true),
        read_only_non_recursive: None,
        read_only_force_recursive: None,
    })
}
