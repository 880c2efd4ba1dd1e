//! What the machine does with images: taking them in, giving them names, clearing them away.
//! Apart from the containers' life; the two meet where a container keeps its image from being removed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use skein_events::id::TaskId;
use skein_events::reference::Reference;
use skein_events::task::container::ContainerSpec;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::{EXIT_FILE, Machine, ORDER_FILE};
use crate::api::{Input, container_id};
use crate::error::{Context as _, Error};
use crate::image::pull::{self, Sources};
use crate::image::registry::{Access, Patience, Proxies};
use crate::image::remove::Use;
use crate::image::store::Hold;
use crate::image::stream::Caps;
use crate::image::{
    ContainerUsage, Digest, Image, Import, Loaded, Login, Pull, Pulled, Resolved, Usage, archive,
    import,
};
use crate::private;
use crate::tree;

/// The file of a container that says what it stands on.
const IMAGE_FILE: &str = "image.json";
/// Chunks of an archive that wait to be unpacked.
const LOAD_QUEUE: usize = 8;
/// Bytes of one such chunk.
const LOAD_CHUNK: usize = 256 << 10;

/// What a container stands on; those of an older daemon do not know their image.
#[derive(serde::Serialize, serde::Deserialize)]
struct Ground {
    image: Option<Digest>,
    layers: Vec<Digest>,
}

impl Machine {
    /// The image of a container about to be made. It stays while it is held; from then on [`Machine::note_image`] keeps it.
    pub(super) fn lease_image(&self, spec: &ContainerSpec) -> Result<(Image, Hold), Error> {
        let leased = self.0.images.lease(&spec.image)?;
        leased.ok_or_else(|| Error::NoSuchImage(spec.image.clone()))
    }

    /// Writes down what a container stands on.
    pub(super) fn note_image(&self, dir: &Path, image: &Image) -> Result<(), Error> {
        let ground = Ground { image: Some(image.id), layers: image.layers.clone() };
        let json = serde_json::to_vec(&ground).expect("digests are texts");
        // Not synced: a container does not outlive the power, and nothing of it exists before this was written.
        private::write(&dir.join(IMAGE_FILE), &json).context("write what the container stands on")
    }

    fn containers(&self) -> Result<Vec<(TaskId, PathBuf)>, Error> {
        let dir = self.0.options.data.join("containers");
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).context(format!("list {}", dir.display()))? {
            let entry = entry.context(format!("list {}", dir.display()))?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok());
            found.extend(id.map(|id| (id, entry.path())));
        }
        found.sort();
        Ok(found)
    }

    /// What containers on this machine need of the images.
    pub(super) fn uses(&self) -> Result<Vec<Use>, Error> {
        let mut uses = Vec::new();
        for (id, dir) in self.containers()? {
            let Some(Ground { image, layers }) = ground(&dir)? else { continue };
            let running = !dir.join(EXIT_FILE).exists();
            uses.push(Use { container: container_id(id), running, image, layers });
        }
        Ok(uses)
    }

    pub(super) fn usage(&self) -> Result<Usage, Error> {
        let mut usage = Usage { layers: self.0.images.layers()?, ..Usage::default() };
        for entry in fs::read_dir(self.0.images.partial_dir()).context("list downloads")? {
            usage.partial += entry.and_then(|e| e.metadata()).map_or(0, |m| m.len());
        }
        for (task, dir) in self.containers()? {
            let Some(Ground { image, layers: _ }) = ground(&dir)? else { continue };
            let running = !dir.join(EXIT_FILE).exists();
            let written = tree::bytes(&dir.join("upper"));
            usage.containers.push(ContainerUsage { task, image, written, running });
        }
        usage.logs = self.kept_logs()?;
        for volume in self.0.volumes.list()? {
            let bytes = if volume.options.is_empty() { tree::bytes(&volume.mountpoint) } else { 0 };
            usage.volumes.insert(volume.name, bytes);
        }
        Ok(usage)
    }

    /// Clears away what a refused or interrupted arrival left; its own error is the one to tell.
    pub(super) fn collect(&self) {
        match self.0.images.collect(|| self.uses()) {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "layers that nothing needs are cleared away"),
            Err(error) => tracing::warn!(%error, "layers that nothing needs stay for now"),
        }
    }

    pub(super) async fn load_archive(self, archive: Input) -> Result<Vec<Loaded>, Error> {
        self.read_in(archive, |this, reader| archive::load(&this.0.images, reader, Caps::default()))
            .await
    }

    pub(super) async fn import_archive(
        self,
        archive: Input,
        import: Import,
    ) -> Result<Digest, Error> {
        self.read_in(archive, move |this, reader| {
            import::import(&this.0.images, reader, &import, Caps::default())
        })
        .await
    }

    pub(super) async fn pull_image(self, order: Pull) -> Result<Pulled, Error> {
        let name = order.name.to_string();
        let turn = tokio::select! {
            biased;
            () = order.progress.closed() => {
                return Err(Error::registry(order.name.host(), "the pull was given up"));
            }
            turn = self.0.pulls.pull(&name, order.name.host()) => turn,
        };
        self.apart(move |this, sources| async move {
            let _turn = turn;
            let pulled = tokio::select! {
                biased;
                () = order.progress.closed() => Err(Error::registry(
                    order.name.host(),
                    "the pull was given up; what came is kept for the next one",
                )),
                pulled = pull::pull(&this.0.images, &order, &sources) => pulled,
            };
            if pulled.is_err() {
                this.collect();
            }
            pulled
        })
        .await
    }

    pub(super) async fn resolve_image(
        self,
        name: Reference,
        login: Option<Login>,
    ) -> Result<Resolved, Error> {
        let _turn = self.0.pulls.question().await;
        self.apart(move |_, sources| async move { pull::resolve(&name, login, &sources).await })
            .await
    }

    pub(super) async fn check_registry_login(
        self,
        name: Reference,
        login: Login,
    ) -> Result<(), Error> {
        self.apart(move |_, sources| async move { pull::check_login(&name, login, &sources).await })
            .await
    }

    /// Talks to a registry on a thread of its own, where writing and unpacking may block; it goes with the talk.
    async fn apart<T: Send + 'static, F: Future<Output = Result<T, Error>>>(
        &self,
        work: impl FnOnce(Self, Sources) -> F + Send + 'static,
    ) -> Result<T, Error> {
        let insecure = self.0.options.insecure_registries.clone().into();
        let proxies = Arc::new(Proxies::of_environment());
        let access = Access { insecure, proxies, patience: Patience::default() };
        let sources = Sources { access, caps: Caps::default() };
        self.blocking(move |this| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context("make a place for a pull")?;
            let done = runtime.block_on(work(this.clone(), sources));
            // A name that is still being looked up is waited for by nobody.
            runtime.shutdown_background();
            done
        })
        .await
    }

    /// Reads an archive where blocking may be, at the pace it can be unpacked.
    async fn read_in<T: Send + 'static>(
        &self,
        mut archive: Input,
        work: impl FnOnce(&Self, Chunks) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (to, chunks) = mpsc::channel::<io::Result<Bytes>>(LOAD_QUEUE);
        let working = self.blocking(move |this| {
            let done = work(this, Chunks { from: chunks, current: Bytes::new() });
            if done.is_err() {
                this.collect();
            }
            done
        });
        let feeding = async move {
            loop {
                let mut chunk = Vec::with_capacity(LOAD_CHUNK);
                let read = archive.read_buf(&mut chunk).await;
                let more = !matches!(read, Ok(0));
                let failed = read.is_err();
                let message = read.map(|_| Bytes::from(chunk));
                // The other side may have refused already; then it is its answer that counts.
                if !more || to.send(message).await.is_err() || failed {
                    return;
                }
            }
        };
        futures::future::join(working, feeding).await.0
    }
}

/// What a container stands on; `None` if it was never made: then what it left is half written.
fn ground(dir: &Path) -> Result<Option<Ground>, Error> {
    #[derive(serde::Deserialize)]
    struct Ordered {
        layers: Vec<PathBuf>,
    }
    if let Some(json) = read(&dir.join(IMAGE_FILE))? {
        return Ok(serde_json::from_slice(&json).ok());
    }
    let Some(json) = read(&dir.join(ORDER_FILE))? else { return Ok(None) };
    let Ok(Ordered { layers }) = serde_json::from_slice(&json) else { return Ok(None) };
    let digest = |path: &PathBuf| path.parent()?.file_name()?.to_str().map(Digest::from_hex)?.ok();
    Ok(Some(Ground { image: None, layers: layers.iter().filter_map(digest).collect() }))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(format!("read {}", path.display())),
    }
}

/// An archive that comes in pieces, as something that can be read.
struct Chunks {
    from: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.from.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}
