//! Where a long-running part of the daemon runs: a thread of its own, or the current `LocalSet` of the simulator.
//! A seam (DESIGN §7): nothing else in the core starts a thread or spawns onto a runtime it did not get.

use std::thread;

use futures::future::LocalBoxFuture;

/// Makes the future of a part, on the thread it will run on.
pub type Make = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// Runs parts of the daemon.
pub trait Spawner: Send + Sync + 'static {
    /// Runs a part until it ends by itself.
    fn spawn(&self, name: &'static str, part: Make);
}

/// A thread with a runtime of its own for each part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Spawner for Threads {
    fn spawn(&self, name: &'static str, part: Make) {
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("the kernel gives an epoll instance");
            tokio::task::LocalSet::new().block_on(&runtime, part());
        };
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        started.expect("the kernel gives a thread");
    }
}

/// The `LocalSet` the caller runs in: dropping the set ends every part at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here;

impl Spawner for Here {
    fn spawn(&self, _: &'static str, part: Make) {
        tokio::task::spawn_local(part());
    }
}
