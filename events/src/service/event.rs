//! What happens to services. Payloads are frozen: a change is a new version and an upcaster.

use crate::id::ServiceId;
use crate::time::Time;

use super::ServiceSpec;
use super::update::{UpdateState, Way};

crate::event::payloads! {
    /// A service came to be. Environment values are in the detachable part.
    ServiceCreated {
        /// Its id.
        id: ServiceId,
        /// What was asked for, defaults filled in.
        spec: ServiceSpec,
        /// How many environment values the detachable part holds.
        env: u32,
    }
    /// It should have another number of tasks.
    ServiceScaled {
        /// The service.
        id: ServiceId,
        /// How many.
        replicas: u64,
    }
    /// What is asked for changed; its tasks follow one after another. Environment values are in the detachable part.
    ServiceUpdated {
        /// The service.
        id: ServiceId,
        /// What is asked for now.
        spec: ServiceSpec,
        /// Which version of what tasks run that is. One that is kept already has its values.
        version: u64,
        /// How many environment values the detachable part holds.
        env: u32,
        /// Forward, or back to what it was.
        way: Way,
    }
    /// Its update began, ended or was held up.
    ServiceUpdateChanged {
        /// The service.
        id: ServiceId,
        /// How far it is.
        state: UpdateState,
        /// Docker's words for it.
        message: String,
        /// How many of its slots are to be updated; as of when it began.
        slots: u64,
    }
    /// Its update waits.
    ServiceUpdateDelayed {
        /// The service.
        id: ServiceId,
        /// Until then; for its tasks only when absent.
        until: Option<Time>,
    }
    /// It was removed; its tasks end.
    ServiceRemoved {
        /// The service.
        id: ServiceId,
    }
}
