//! What happens to services. Payloads are frozen: a change is a new version and an upcaster.

use crate::id::ServiceId;

use super::ServiceSpec;

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
    /// It was removed; its tasks end.
    ServiceRemoved {
        /// The service.
        id: ServiceId,
    }
}
