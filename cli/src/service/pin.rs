//! Holds a service to the content its image's tag has in the registry now, so that all nodes run the same.
//! As Docker's client does it: the digest goes into the spec; without one, the service is made all the same.

use bollard_stubs::models::{DistributionInspect, Platform, ServiceSpec};
use skein_events::reference::Reference;

use crate::client::Client;
use crate::failure::Failure;
use crate::login;

/// The code of the answer that an image was loaded on the daemon's machine, where no registry is asked.
const LOADED: &str = "loaded";

/// Writes the digest of the spec's image into it. A sentence if the registry could not say it.
pub(super) async fn pin(
    client: &Client,
    spec: &mut ServiceSpec,
) -> Result<Option<String>, Failure> {
    let Some(task) = &mut spec.task_template else { return Ok(None) };
    let Some(image) = task.container_spec.as_mut().and_then(|spec| spec.image.as_mut()) else {
        return Ok(None);
    };
    // What is no reference, the daemon refuses; what has a digest is held to it already.
    let Ok(name) = image.parse::<Reference>() else { return Ok(None) };
    if name.digest().is_some() {
        return Ok(None);
    }
    // A password that cannot be had is none: whether it is needed, the registry says.
    let auth = login::to(name.host()).unwrap_or_default();
    let path = format!("/distribution/{}/json", name.familiar());
    let found: DistributionInspect = match client.read_as(&path, auth.as_deref()).await {
        Ok(found) => found,
        Err(failure) if failure.has_code(LOADED) => return Ok(None),
        Err(Failure::Refused { .. }) => return Ok(Some(warning(&name.familiar()))),
        Err(failure) => return Err(failure),
    };
    let digest = found.descriptor.digest.unwrap_or_default();
    let pinned = name.pinned(&digest).familiar();
    // The answer is the daemon's, its text the registry's.
    if pinned.parse::<Reference>().is_err() {
        return Ok(Some(warning(&name.familiar())));
    }
    *image = pinned;
    let platforms = found.platforms.into_iter();
    let platforms: Vec<Platform> = platforms
        .map(|platform| Platform { architecture: platform.architecture, os: platform.os })
        .collect();
    if !platforms.is_empty() {
        task.placement.get_or_insert_default().platforms = Some(platforms);
    }
    Ok(None)
}

/// Docker's words.
fn warning(image: &str) -> String {
    format!(
        "image {image} could not be accessed on a registry to record\n\
         its digest. Each node will access {image} independently,\n\
         possibly leading to different nodes running different\n\
         versions of the image.\n"
    )
}
