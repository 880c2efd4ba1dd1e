//! A disk that can lose power: it keeps what was written and what was synced apart, and forgets, keeps or tears the difference.
//! All of it from a seed. In the library and not in a test, because the simulator of the whole swarm mounts it too.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::Disk;

/// What a power loss may tear a write into.
const SECTOR: usize = 512;

/// The medium: outlives the incarnations of the node that mounts it.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<Medium>>);

/// One incarnation's view. After a power loss every call on it fails.
#[derive(Debug)]
pub struct SimMount {
    disk: SimDisk,
    incarnation: u64,
}

#[derive(Debug, Default)]
struct Medium {
    files: BTreeMap<String, Arc<Mutex<SimFile>>>,
    incarnation: u64,
    random: u64,
    operations: u64,
    syncs: u64,
    crash_at: Option<u64>,
    fail_sync_at: Option<u64>,
    /// By how many bytes files may still grow.
    room: Option<usize>,
    latency: (Duration, Duration),
    lost_power: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct SimFile {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Medium { random: seed, ..Medium::default() })))
    }

    /// A disk that holds one file.
    pub fn with_file(seed: u64, name: &str, bytes: Vec<u8>) -> Self {
        let disk = Self::new(seed);
        let file = SimFile { now: bytes.clone(), durable: bytes, pending: Vec::new() };
        disk.medium().files.insert(name.to_owned(), Arc::new(Mutex::new(file)));
        disk
    }

    /// For one incarnation of a node. The mount before must have lost power or be dropped.
    pub fn mount(&self) -> SimMount {
        SimMount { disk: self.clone(), incarnation: self.medium().incarnation }
    }

    /// Power is lost now.
    pub fn lose_power(&self) {
        self.medium().lose_power();
    }

    /// Power will be lost at the n-th operation from now (write, length change, sync, rename); that operation does not happen.
    pub fn lose_power_at(&self, n: u64) {
        let mut medium = self.medium();
        medium.crash_at = Some(medium.operations + n);
    }

    /// The n-th sync from now fails. As real systems do, it drops what it should have written from what a later sync writes.
    pub fn fail_sync_at(&self, n: u64) {
        let mut medium = self.medium();
        medium.fail_sync_at = Some(medium.syncs + n);
    }

    /// Files may grow by so many bytes in all from now; `None` is no end.
    pub fn set_room(&self, room: Option<usize>) {
        self.medium().room = room;
    }

    /// Takes back `lose_power_at` and `fail_sync_at`.
    pub fn heal(&self) {
        let mut medium = self.medium();
        (medium.crash_at, medium.fail_sync_at) = (None, None);
    }

    /// A durable commit takes between these, drawn from the seed.
    pub fn set_latency(&self, least: Duration, most: Duration) {
        self.medium().latency = (least, most);
    }

    /// Ends when power is lost for the next time.
    pub fn power_lost(&self) -> impl Future<Output = ()> + use<> {
        let mut lost = self.medium().lost_power.subscribe();
        async move {
            // A disk that nobody holds any more loses no power.
            if lost.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Operations so far, and syncs among them.
    pub fn operations(&self) -> (u64, u64) {
        let medium = self.medium();
        (medium.operations, medium.syncs)
    }

    /// What a file holds now, for looking at raw bytes.
    pub fn image(&self, name: &str) -> Vec<u8> {
        self.medium().files.get(name).map_or_else(Vec::new, |file| lock(file).now.clone())
    }

    /// Names of the files there are.
    pub fn names(&self) -> Vec<String> {
        self.medium().files.keys().cloned().collect()
    }

    /// Changes bits of one byte, as a bad medium does.
    pub fn flip(&self, name: &str, at: usize, mask: u8) {
        let medium = self.medium();
        let Some(file) = medium.files.get(name) else { return };
        let mut file = lock(file);
        for image in [0, 1] {
            let bytes = if image == 0 { &mut file.now } else { &mut file.durable };
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while a simulated disk is locked")
}

impl Medium {
    fn draw(&mut self, below: u64) -> u64 {
        // SplitMix64: small, and equal everywhere.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn lose_power(&mut self) {
        self.incarnation += 1;
        self.crash_at = None;
        self.fail_sync_at = None;
        let files: Vec<_> = self.files.values().cloned().collect();
        for file in files {
            let mut file = lock(&file);
            for change in std::mem::take(&mut file.pending) {
                self.settle(&mut file.durable, change);
            }
            file.now = file.durable.clone();
        }
        self.lost_power.send_replace(self.incarnation);
    }

    /// An un-synced change happened, did not happen, or happened to some of its sectors.
    fn settle(&mut self, durable: &mut Vec<u8>, change: Change) {
        match (self.draw(3), change) {
            (0, _) => {}
            (1, change) => change.apply(durable),
            (_, Change::Length(n)) => Change::Length(n).apply(durable),
            (_, Change::Write(at, bytes)) => {
                for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                    if self.draw(2) == 0 {
                        Change::Write(at + n * SECTOR, sector.to_vec()).apply(durable);
                    }
                }
            }
        }
    }

    fn step(&mut self, incarnation: u64) -> io::Result<()> {
        if self.incarnation != incarnation {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        if self.crash_at.is_some_and(|at| self.operations >= at) {
            self.lose_power();
            return Err(io::Error::other("power was lost"));
        }
        Ok(())
    }
}

impl Change {
    fn end(&self) -> usize {
        match self {
            Self::Length(n) => *n,
            Self::Write(at, bytes) => at + bytes.len(),
        }
    }

    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Length(n) => image.resize(*n, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*at..end].copy_from_slice(bytes);
            }
        }
    }
}

impl SimMount {
    fn step(&self) -> io::Result<MutexGuard<'_, Medium>> {
        let mut medium = self.disk.medium();
        medium.step(self.incarnation)?;
        Ok(medium)
    }
}

impl Disk for SimMount {
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let mut medium = self.step()?;
        let file = Arc::clone(medium.files.entry(name.to_owned()).or_default());
        drop(medium);
        let mount = Self { disk: self.disk.clone(), incarnation: self.incarnation };
        Ok(Box::new(SimBackend { mount, file }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.step()?.files.contains_key(name))
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        let mut medium = self.step()?;
        let file = medium.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        medium.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn swap(&self, one: &str, other: &str) -> io::Result<()> {
        let mut medium = self.step()?;
        let absent = |name: &str| !medium.files.contains_key(name);
        if absent(one) || absent(other) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (first, second) = (medium.files.remove(one), medium.files.remove(other));
        medium.files.extend(first.map(|file| (other.to_owned(), file)));
        medium.files.extend(second.map(|file| (one.to_owned(), file)));
        Ok(())
    }

    fn erase(&self, name: &str) -> io::Result<()> {
        let mut medium = self.step()?;
        let Some(file) = medium.files.get(name).cloned() else { return Ok(()) };
        // Overwriting and removing are two operations: power may be lost in between.
        let mut file = lock(&file);
        file.now.fill(0);
        file.durable.fill(0);
        file.pending.clear();
        drop(file);
        medium.step(self.incarnation)?;
        medium.files.remove(name);
        Ok(())
    }

    fn latency(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut medium = self.disk.medium();
        let (least, most) = medium.latency;
        let span = u64::try_from((most - least).as_nanos()).unwrap_or(u64::MAX);
        let wait = least + Duration::from_nanos(if span == 0 { 0 } else { medium.draw(span) });
        Box::pin(async move {
            if !wait.is_zero() {
                #[expect(clippy::disallowed_methods, reason = "virtual time of a simulated disk")]
                tokio::time::sleep(wait).await;
            }
        })
    }
}

#[derive(Debug)]
struct SimBackend {
    mount: SimMount,
    file: Arc<Mutex<SimFile>>,
}

impl SimBackend {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut medium = self.mount.step()?;
        let mut file = lock(&self.file);
        if let Some(room) = &mut medium.room {
            let grown = change.end().saturating_sub(file.now.len());
            *room = room.checked_sub(grown).ok_or(io::ErrorKind::StorageFull)?;
        }
        drop(medium);
        change.apply(&mut file.now);
        file.pending.push(change);
        Ok(())
    }
}

fn offset(n: u64) -> io::Result<usize> {
    usize::try_from(n).map_err(io::Error::other)
}

impl redb::StorageBackend for SimBackend {
    fn len(&self) -> io::Result<u64> {
        u64::try_from(lock(&self.file).now.len()).map_err(io::Error::other)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        if self.mount.disk.medium().incarnation != self.mount.incarnation {
            return Err(io::Error::other("the power is off"));
        }
        let (file, at) = (lock(&self.file), offset(at)?);
        let bytes = file.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(offset(len)?))
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset(at)?, data.to_vec()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut medium = self.mount.step()?;
        medium.syncs += 1;
        let failed = medium.fail_sync_at.is_some_and(|at| medium.syncs >= at);
        if failed {
            medium.fail_sync_at = None;
        }
        drop(medium);
        let mut file = lock(&self.file);
        let changes = std::mem::take(&mut file.pending);
        if failed {
            // As thinly provisioned disks do: the worst of errors looks like the mildest.
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the disk could not write (EIO)",
            ));
        }
        changes.iter().for_each(|change| change.apply(&mut file.durable));
        Ok(())
    }
}
