//! Blobs on their way from a registry: what came so far lies in a file named by the digest, so that a later pull goes on
//! where this one ended, also after the daemon was killed. A file is believed only as a whole, by its digest.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use sha2::{Digest as _, Sha256};
use skein_events::time::{Span, Time};
use tokio::sync::OwnedMutexGuard;

use super::Digest;
use super::manifest::Descriptor;
use super::registry::{Asked, Registry};
use super::store::Store;
use crate::error::{Context as _, Error, hostile};

/// Connections one blob is fetched over, as long as each brings something.
const ATTEMPTS_MAX: usize = 5;
/// How long what came of a download waits for being gone on with.
const KEPT: Span = Span::seconds(7 * 24 * 60 * 60);

/// Who fetches which blob.
pub(super) type Fetching = BTreeMap<Digest, Weak<tokio::sync::Mutex<()>>>;

/// Holds blobs for one who fetches them; nobody else fetches or clears them away meanwhile.
pub(super) struct Claim(#[expect(dead_code, reason = "held, not read")] Vec<OwnedMutexGuard<()>>);

impl Store {
    /// Waits until nobody else fetches any of these blobs.
    pub(super) async fn claim(&self, blobs: impl IntoIterator<Item = Digest>) -> Claim {
        // In one order, so that two who need each other's blobs do not wait for ever.
        let ordered: std::collections::BTreeSet<Digest> = blobs.into_iter().collect();
        let mut claimed = Vec::new();
        for digest in ordered {
            let lock = {
                let mut fetching = self.fetching();
                fetching.retain(|_, lock| lock.strong_count() > 0);
                let known = fetching.get(&digest).and_then(Weak::upgrade);
                known.unwrap_or_else(|| {
                    let lock = Arc::default();
                    fetching.insert(digest, Arc::downgrade(&lock));
                    lock
                })
            };
            claimed.push(lock.lock_owned().await);
        }
        Claim(claimed)
    }

    pub(super) fn partial(&self, blob: &Digest) -> PathBuf {
        self.partial_dir().join(blob.hex())
    }

    /// Throws away what came of a blob, or what is not needed any more.
    pub(super) fn drop_partial(&self, blob: &Digest) {
        let path = self.partial(blob);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "cannot clear away a download");
            }
            _ => {}
        }
    }

    /// Clears away downloads that nobody is at, all or only those that waited too long; gives the bytes.
    pub(crate) fn clear_partials(&self, now: Option<Time>) -> Result<u64, Error> {
        // Held throughout: nobody begins with one that is being cleared away.
        let mut fetching = self.fetching();
        let mut freed = 0;
        for (path, bytes) in self.idle_partials(&mut fetching, now)? {
            fs::remove_file(path).context("clear a download")?;
            freed += bytes;
        }
        Ok(freed)
    }

    /// Bytes that clearing all of them away would free.
    pub(crate) fn clearable_partials(&self) -> Result<u64, Error> {
        let idle = self.idle_partials(&mut self.fetching(), None)?;
        Ok(idle.into_iter().map(|(_, bytes)| bytes).sum())
    }

    /// Downloads that nobody is at, with their bytes.
    fn idle_partials(
        &self,
        fetching: &mut Fetching,
        now: Option<Time>,
    ) -> Result<Vec<(PathBuf, u64)>, Error> {
        fetching.retain(|_, lock| lock.strong_count() > 0);
        let mut idle = Vec::new();
        for entry in fs::read_dir(self.partial_dir()).context("list downloads")? {
            let entry = entry.context("list downloads")?;
            let digest = entry.file_name().to_str().and_then(|name| Digest::from_hex(name).ok());
            let Ok(metadata) = entry.metadata() else { continue };
            let touched = metadata.modified().ok().and_then(since_1970);
            let old = |now: Time| touched.is_some_and(|at| at.0.saturating_add(KEPT.0) < now.0);
            let busy = digest.is_some_and(|digest| fetching.contains_key(&digest));
            if !busy && now.is_none_or(old) {
                idle.push((entry.path(), metadata.len()));
            }
        }
        Ok(idle)
    }
}

fn since_1970(at: std::time::SystemTime) -> Option<Time> {
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok().map(Time)
}

/// Fetches a blob as a whole, going on with what is there. `told` hears how many bytes there are.
/// Whoever asks has claimed it.
pub(super) async fn fetch(
    store: &Store,
    registry: &Registry,
    blob: &Descriptor,
    told: &dyn Fn(u64),
) -> Result<(), Error> {
    let resumed = length(store, blob)? > 0;
    match fetch_rest(store, registry, blob, told).await {
        // What lay there may have been spoilt, e.g. by a power cut: the registry is not blamed before it brought it all.
        Err(Error::HostileImage { .. }) if resumed => {
            store.drop_partial(&blob.digest);
            fetch_rest(store, registry, blob, told).await
        }
        other => other,
    }
    .inspect_err(|error| {
        let useless = match error {
            Error::HostileImage { .. } => true,
            // Room is what is missing.
            Error::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        };
        if useless {
            store.drop_partial(&blob.digest);
        }
    })
}

fn length(store: &Store, blob: &Descriptor) -> Result<u64, Error> {
    match fs::metadata(store.partial(&blob.digest)) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).context(format!("look at blob {}", blob.digest)),
    }
}

async fn fetch_rest(
    store: &Store,
    registry: &Registry,
    blob: &Descriptor,
    told: &dyn Fn(u64),
) -> Result<(), Error> {
    let what = || format!("write blob {}", blob.digest);
    let path = store.partial(&blob.digest);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .context(what())?;
    let mut have = length(store, blob)?;
    if have > blob.size {
        return Err(hostile(format!("blob {} is longer than its manifest says", blob.digest)));
    }
    let mut attempts = 0;
    while have < blob.size {
        attempts += 1;
        let before = have;
        let came = match registry.blob(&blob.digest, have).await? {
            Asked::OutOfRange => {
                have = 0;
                Ok(())
            }
            Asked::Coming(mut coming) => {
                have = coming.start;
                append(&mut file, &mut have, &mut coming, blob, told).await?
            }
        };
        match came {
            Ok(()) if have == blob.size => {}
            came if attempts == ATTEMPTS_MAX || (attempts > 1 && have <= before) => {
                let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(registry.broken(came.err().unwrap_or_else(short)));
            }
            _ => {}
        }
    }
    file.sync_data().context(what())?;
    if digest_of(&path).context(format!("read blob {}", blob.digest))? != blob.digest {
        return Err(hostile(format!("blob {} has other content", blob.digest)));
    }
    Ok(())
}

/// Writes what comes from `have` on. The inner error is the connection's; what was written before it counts.
async fn append(
    file: &mut File,
    have: &mut u64,
    coming: &mut super::registry::Blob,
    blob: &Descriptor,
    told: &dyn Fn(u64),
) -> Result<io::Result<()>, Error> {
    use std::io::Seek as _;
    let what = || format!("write blob {}", blob.digest);
    file.set_len(*have).context(what())?;
    file.seek(io::SeekFrom::Start(*have)).context(what())?;
    loop {
        let piece = match coming.piece().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        let bytes = u64::try_from(piece.len()).expect("a piece fits 64 bits");
        if bytes > blob.size - *have {
            return Err(hostile(format!("blob {} is longer than its manifest says", blob.digest)));
        }
        file.write_all(&piece).context(what())?;
        *have += bytes;
        told(*have);
    }
}

fn digest_of(path: &std::path::Path) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = io::Read::read(&mut file, &mut buffer)?;
        if n == 0 {
            return Ok(Digest::from_hasher(hasher));
        }
        hasher.update(&buffer[..n]);
    }
}
