//! What the daemon tells the service manager that started it: ready, stopping, still alive.
//! Silent without one: `NOTIFY_SOCKET` and `WATCHDOG_USEC` say whether anybody listens.

use std::path::Path;
use std::sync::Arc;

use sd_notify::NotifyState;
use skein_net::backend::Backend;

/// Requests are answered from now on.
pub(crate) fn ready(host: &Path) {
    tracing::info!("listening on unix://{}", host.display());
    let status = format!("listening on unix://{}", host.display());
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The daemon was told to stop.
pub(crate) fn stopping() {
    tracing::info!("stopping; containers keep running");
    tell(&[NotifyState::Stopping]);
}

/// Says twice within the time allowed that the daemon lives, as long as all its threads answer; ends only with the daemon.
pub(crate) async fn watchdog(backend: Arc<dyn Backend>) {
    let Some(allowed) = sd_notify::watchdog_enabled() else { return };
    let mut turns = tokio::time::interval(allowed / 2);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        match backend.pulse().await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(failure) => tracing::error!("{failure}: the watchdog is not told"),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}
