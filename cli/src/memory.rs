//! Memory that the start or much work took is given back once it is done: docs/adr/0010-memory.md.

use std::sync::Arc;
use std::time::Duration;

use skein_net::backend::Backend;
use skein_runtime::heap;
use tokio::time::MissedTickBehavior;

/// Looked at so often; an idle daemon only compares two numbers.
const TURN: Duration = Duration::from_secs(5);
/// Records since it was last given back that make it worth while.
const RECORDS: u64 = 500;

/// Ends only with the daemon.
pub(crate) async fn give_back(backend: Arc<dyn Backend>) {
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once, while the daemon still starts.
    turns.tick().await;
    turns.tick().await;
    drop(tokio::task::spawn_blocking(heap::give_back_code).await);
    let mut given = 0;
    loop {
        turns.tick().await;
        let Ok(state) = backend.state() else { continue };
        if state.position.0.abs_diff(given) >= RECORDS {
            given = state.position.0;
            drop(state);
            drop(tokio::task::spawn_blocking(heap::give_back).await);
        }
    }
}
