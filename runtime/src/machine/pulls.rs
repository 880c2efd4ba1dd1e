//! Who talks to registries at a time. Each talk has a thread, and threads are what starting and stopping needs too: so talks
//! wait for their turn before they have one. One of an image, since others would only wait for it; a few of a registry, so
//! that one which is slow or silent holds up its own images and no others'; some in all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pulls at a time: more are no faster on one machine's link and disk.
const AT_ONCE: usize = 16;
/// Of one registry.
const OF_A_REGISTRY: usize = 3;
/// Questions after digests and passwords at a time, each short.
const QUESTIONS: usize = 16;

/// The turns. One a machine.
#[derive(Debug)]
pub(super) struct Pulls {
    all: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    /// By registry and by image, as long as somebody has a turn or waits for it.
    shares: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// A turn; whoever has it may talk.
pub(super) struct Turn {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(AT_ONCE)),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            shares: Mutex::default(),
        }
    }
}

impl Pulls {
    /// A turn to pull an image. In this order, so that whoever waits for an image or a registry keeps nobody else waiting.
    pub(super) async fn pull(&self, image: &str, registry: &str) -> Turn {
        let mut permits = Vec::with_capacity(3);
        permits.push(taken(self.share(format!("image {image}"), 1)).await);
        permits.push(taken(self.share(format!("registry {registry}"), OF_A_REGISTRY)).await);
        permits.push(taken(Arc::clone(&self.all)).await);
        Turn { _permits: permits }
    }

    /// A turn to ask a registry something.
    pub(super) async fn question(&self) -> Turn {
        Turn { _permits: vec![taken(Arc::clone(&self.questions)).await] }
    }

    fn share(&self, of: String, most: usize) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody has or waits for are forgotten.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        Arc::clone(shares.entry(of).or_insert_with(|| Arc::new(Semaphore::new(most))))
    }
}

async fn taken(share: Arc<Semaphore>) -> OwnedSemaphorePermit {
    share.acquire_owned().await.expect("no share is ever closed")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_slow_registry_holds_up_its_own_images_only() {
        let pulls = Pulls::default();
        let first = pulls.pull("a/one", "a").await;
        assert!(pulls.pull("a/one", "a").now_or_never().is_none(), "one pull an image");
        let more = [pulls.pull("a/two", "a").await, pulls.pull("a/three", "a").await];
        assert!(pulls.pull("a/four", "a").now_or_never().is_none(), "three a registry");
        assert!(pulls.pull("b/one", "b").now_or_never().is_some());
        drop((first, more));
        assert!(pulls.pull("a/four", "a").now_or_never().is_some());
        assert!(pulls.pull("a/one", "a").now_or_never().is_some());
        let turn = pulls.pull("c/one", "c").await;
        assert_eq!(pulls.shares.lock().unwrap().len(), 2, "what nobody has is forgotten");
        drop(turn);
    }
}
