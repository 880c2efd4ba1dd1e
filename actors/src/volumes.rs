//! Volumes as the API asks for them: carried to the machine, and what changed them written down.
//! Apart from `backend` for the reason images are: a machine has them whether it is in a swarm or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_events::command::{Command, VolumeNote};
use skein_events::node::VolumeChange;
use skein_net::backend::{Caller, Failure, NewVolume, Volume};
use skein_runtime::api::{Runtime, VolumeSpec};

use crate::backend::machine;
use crate::condition::unchanged;
use crate::member::Membership;

/// What Docker labels a volume with whose name it made up.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// The volumes of this machine.
pub(crate) struct Volumes {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) membership: Membership,
}

impl Volumes {
    /// Writes down what changed, if there is a log. It has happened: a log that cannot take it stops nothing.
    async fn write_down(&self, caller: Caller, change: VolumeChange, name: String) {
        let Some(running) = self.membership.load_full() else { return };
        let notes = vec![VolumeNote { change, name }];
        let command = Command::NoteVolumes { node: running.face.node, notes };
        // The request's id belongs to the change of the volume, of which a prune has several.
        let caller = Caller { request: None, ..caller };
        if let Err(error) = running.face.submit(caller, None, command).await {
            tracing::warn!(%error, "a change of volumes is not in the log");
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<Volume>, Failure> {
        let volumes = self.runtime.volumes().await.map_err(machine)?;
        Ok(volumes.into_iter().map(shown).collect())
    }

    pub(crate) async fn look(&self, name: String) -> Result<Volume, Failure> {
        let found = self.runtime.volume(name.clone()).await.map_err(machine)?;
        let missing = || machine(skein_runtime::error::Error::NoSuchVolume(name));
        found.map(shown).ok_or_else(missing)
    }

    pub(crate) async fn create(
        &self,
        caller: Caller,
        volume: NewVolume,
    ) -> Result<Volume, Failure> {
        let caller = unchanged(&self.membership, caller)?;
        let NewVolume { name, options, mut labels } = volume;
        let name = name.unwrap_or_else(|| {
            labels.insert(ANONYMOUS.to_owned(), String::new());
            made_up()
        });
        let before = self.runtime.volume(name.clone()).await.map_err(machine)?;
        let spec = VolumeSpec { name: name.clone(), options, labels };
        let made = self.runtime.create_volume(spec).await.map_err(machine)?;
        if before.is_none() {
            self.write_down(caller, VolumeChange::Created, name).await;
        }
        Ok(shown(made))
    }

    pub(crate) async fn remove(
        &self,
        caller: Caller,
        name: String,
        force: bool,
    ) -> Result<(), Failure> {
        let caller = unchanged(&self.membership, caller)?;
        let before = self.runtime.volume(name.clone()).await.map_err(machine)?;
        self.runtime.remove_volume(name.clone(), force).await.map_err(machine)?;
        if before.is_some() {
            self.write_down(caller, VolumeChange::Removed, name).await;
        }
        Ok(())
    }

    /// Removes those that are there and that nobody uses; gives their names.
    pub(crate) async fn prune(
        &self,
        caller: Caller,
        names: Vec<String>,
    ) -> Result<Vec<String>, Failure> {
        // Once for all of them: the record of the first is newer than what the caller knows.
        let caller = unchanged(&self.membership, caller)?;
        let mut gone = Vec::new();
        for name in names {
            match self.remove(caller.clone(), name.clone(), false).await {
                Ok(()) => gone.push(name),
                // Somebody was faster, or began to use it.
                Err(Failure::Missing(_) | Failure::Conflict(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(gone)
    }

    /// The records there would be of making a volume: none if it is there.
    pub(crate) async fn would_create(&self, volume: NewVolume) -> Result<Vec<VolumeNote>, Failure> {
        let name = volume.name.unwrap_or_else(made_up);
        let found = self.runtime.volume(name.clone()).await.map_err(machine)?;
        let made = VolumeNote { change: VolumeChange::Created, name };
        Ok(if found.is_none() { vec![made] } else { Vec::new() })
    }

    /// The records there would be of a removal, and the bytes it would free.
    pub(crate) async fn would_remove(
        &self,
        names: Vec<String>,
        force: bool,
    ) -> Result<(Vec<VolumeNote>, u64), Failure> {
        use skein_runtime::error::Error;
        let bytes = self.runtime.usage().await.map_err(machine)?.volumes;
        let (mut notes, mut freed) = (Vec::new(), 0);
        for name in names {
            match self.runtime.volume(name.clone()).await.map_err(machine)? {
                None if force => {}
                None => return Err(machine(Error::NoSuchVolume(name))),
                Some(volume) if !volume.users.is_empty() => {
                    return Err(machine(Error::VolumeInUse { name, users: volume.users }));
                }
                Some(_) => {
                    freed += bytes.get(&name).copied().unwrap_or(0);
                    notes.push(VolumeNote { change: VolumeChange::Removed, name });
                }
            }
        }
        Ok((notes, freed))
    }

    /// Every volume, with the bytes of it.
    pub(crate) async fn usage(
        &self,
        bytes: &BTreeMap<String, u64>,
    ) -> Result<Vec<(Volume, u64)>, Failure> {
        let sized = |volume: Volume| {
            let bytes = bytes.get(&volume.name).copied().unwrap_or(0);
            (volume, bytes)
        };
        Ok(self.list().await?.into_iter().map(sized).collect())
    }
}

/// A name nobody else has: 64 hex digits, as Docker's.
fn made_up() -> String {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the kernel gives randomness");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(volume: skein_runtime::api::Volume) -> Volume {
    let skein_runtime::api::Volume { name, options, labels, anonymous, created, mountpoint, users } =
        volume;
    Volume {
        name,
        options,
        anonymous: anonymous || labels.contains_key(ANONYMOUS),
        labels: labels.into_iter().collect(),
        created,
        mountpoint: mountpoint.display().to_string(),
        users: users.len(),
    }
}
