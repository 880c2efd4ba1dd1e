//! What the last checks of this machine's containers came to, for whoever inspects one.
//! In the memory of this daemon alone: what a check prints may be secret, so it is in no record and no file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use skein_events::id::TaskId;
use skein_events::time::Time;
use skein_net::backend::{Health, Probe, Wellness};

use crate::clock::Clock;

/// Results that are kept of one container; as many as Docker keeps.
const PROBES_MAX: usize = 5;

/// The health of every container that is checked.
pub struct Findings {
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<TaskId, Health>>,
}

impl Findings {
    /// Nothing is known; results are dated by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// What is known of a task's container; nothing if it is not checked.
    pub fn of(&self, task: TaskId) -> Option<Health> {
        self.known().get(&task).cloned()
    }

    pub(super) fn now(&self) -> Time {
        self.clock.wall()
    }

    /// A container is about to be checked, by this daemon for the first time.
    pub(super) fn begin(&self, task: TaskId, wellness: Wellness, streak: u64) {
        self.known().insert(task, Health { wellness, streak, ..Health::default() });
    }

    pub(super) fn add(&self, task: TaskId, wellness: Wellness, streak: u64, probe: Probe) {
        let mut known = self.known();
        let health = known.entry(task).or_default();
        (health.wellness, health.streak) = (wellness, streak);
        health.last.push_back(probe);
        if health.last.len() > PROBES_MAX {
            health.last.pop_front();
        }
    }

    pub(super) fn forget(&self, task: TaskId) {
        self.known().remove(&task);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<TaskId, Health>> {
        self.known.lock().expect("nobody panics while holding it")
    }
}
