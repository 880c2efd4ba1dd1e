//! The simulated wire between a worker and the manager: delays, cuts and ends of what a transport would carry reliably.
//! A cut holds messages back; one that lasts longer than the transport's patience ends the session at both ends.

use std::cell::Cell;
use std::rc::Rc;

use skein_actors::dispatch::Connect;
use skein_events::time::Span;
use skein_net::session::{self, ManagerLink, NodeLink};
use tokio::sync::mpsc;

use super::time::nap;
use super::world::World;

/// A transport that hears nothing for so long gives up.
const PATIENCE: Span = Span::seconds(10);
/// While a link is cut, it is looked at again after so long.
const LOOK: Span = Span::millis(100);

/// One worker's wire.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Nothing passes.
    pub(super) cut: Cell<bool>,
    /// Most delay of one message, in milliseconds.
    pub(super) delay: Cell<u64>,
}

impl Wire {
    pub(super) fn heal(&self) {
        self.cut.set(false);
        self.delay.set(2);
    }
}

/// Opens a session of the n-th worker with the manager; none if it cannot be reached.
pub(super) async fn connect(world: Rc<World>, n: usize) -> Option<NodeLink> {
    pass(&world, n).await?;
    let dispatch = world.manager.borrow().as_ref().map(|m| m.dispatch.clone())?;
    let (manager, far) = session::pair();
    let (near, node) = session::pair();
    dispatch.send(Connect(manager)).await.ok()?;
    let outer = Rc::clone(&world.outer);
    outer.spawn_local(relay(world, n, far, near));
    Some(node)
}

async fn relay(world: Rc<World>, n: usize, far: NodeLink, near: ManagerLink) {
    let up = carry(&world, n, near.rx, far.tx.clone());
    let down = carry(&world, n, far.rx, near.tx.clone());
    futures::pin_mut!(up, down);
    futures::future::select(up, down).await;
    // One end has gone. The other learns at once, or, if its machine lost power, only by silence.
    if world.dice.borrow_mut().chance(50) {
        nap(PATIENCE).await;
    }
    drop((far.tx, near.tx));
}

async fn carry<T>(world: &World, n: usize, mut from: mpsc::Receiver<T>, to: mpsc::Sender<T>) {
    loop {
        let message = tokio::select! {
            biased;
            message = from.recv() => message,
            () = to.closed() => None,
        };
        let Some(message) = message else { return };
        if pass(world, n).await.is_none() || to.send(message).await.is_err() {
            return;
        }
    }
}

/// The time one message takes; `None` if the transport gave up.
async fn pass(world: &World, n: usize) -> Option<()> {
    let wire = &world.workers[n].wire;
    let delay = Span(world.dice.borrow_mut().below(wire.delay.get() * 1_000_000 + 1));
    nap(delay).await;
    let mut waited = Span(0);
    while wire.cut.get() {
        if waited >= PATIENCE {
            return None;
        }
        nap(LOOK).await;
        waited = Span(waited.0 + LOOK.0);
    }
    Some(())
}
