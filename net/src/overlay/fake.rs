//! A kernel that only remembers what it was asked, for the simulator and for tests of whoever drives one.
//! Fails and waits by plan, never by chance, so that a seed replays.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use skein_events::command::Occupied;
use skein_events::id::TaskId;
use skein_events::view::overlay::NodeOverlay;

use super::{AttachLeg, Attached, Error, Kernel, Outside};

/// Which call a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `claim`.
    Claim,
    /// `sync`.
    Sync,
    /// `attach`.
    Attach,
    /// `reattach`.
    Reattach,
    /// `detach`.
    Detach,
}

/// What happens to one call.
pub enum Fault {
    /// It is refused and changes nothing.
    Fail,
    /// It does its work only after this future, which the simulator makes from its clock.
    Slow(BoxFuture<'static, ()>),
}

#[derive(Clone)]
struct Plugged {
    legs: Vec<AttachLeg>,
    outside: Outside,
    gateway_ip: Option<Ipv4Addr>,
}

#[derive(Default)]
struct Held {
    port: Option<u16>,
    desired: NodeOverlay,
    syncs: u64,
    tasks: BTreeMap<TaskId, Plugged>,
    given: u16,
    plan: BTreeMap<Call, VecDeque<Fault>>,
}

/// See the top of this file.
#[derive(Default)]
pub struct Fake {
    held: Mutex<Held>,
}

impl Fake {
    /// An empty kernel.
    pub fn new() -> Self {
        Self::default()
    }
    /// Plans what happens to the next call of that kind that has no plan yet.
    pub fn plan(&self, call: Call, fault: Fault) {
        self.held().plan.entry(call).or_default().push_back(fault);
    }
    /// The set last synced.
    pub fn desired(&self) -> NodeOverlay {
        self.held().desired.clone()
    }
    /// How often `sync` did its work.
    pub fn syncs(&self) -> u64 {
        self.held().syncs
    }
    /// What a task is attached to.
    pub fn legs(&self, task: TaskId) -> Option<(Vec<AttachLeg>, Outside)> {
        self.held().tasks.get(&task).map(|plugged| (plugged.legs.clone(), plugged.outside))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
    async fn fate(&self, call: Call) -> Result<(), Error> {
        let fault = self.held().plan.get_mut(&call).and_then(VecDeque::pop_front);
        match fault {
            None => Ok(()),
            Some(Fault::Fail) => Err(Error::Injected),
            Some(Fault::Slow(until)) => {
                until.await;
                Ok(())
            }
        }
    }
}

fn attached_as(task: TaskId, plugged: &Plugged) -> Attached {
    let netns = PathBuf::from(format!("/fake/netns/{task}"));
    Attached { netns, gateway_ip: plugged.gateway_ip, dns: None }
}

impl Kernel for Fake {
    fn claim(&self, port: u16) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.fate(Call::Claim).await?;
            self.held().port = Some(port);
            Ok(())
        }
        .boxed()
    }
    /// Of nothing: the fake machine is alone in the world.
    fn occupied(&self) -> BoxFuture<'_, Result<Vec<Occupied>, Error>> {
        async { Ok(Vec::new()) }.boxed()
    }
    fn sync<'a>(&'a self, desired: &'a NodeOverlay) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            self.fate(Call::Sync).await?;
            let mut held = self.held();
            held.desired = desired.clone();
            held.syncs += 1;
            Ok(())
        }
        .boxed()
    }
    fn attach<'a>(
        &'a self,
        task: TaskId,
        legs: &'a [AttachLeg],
        outside: Outside,
    ) -> BoxFuture<'a, Result<Attached, Error>> {
        async move {
            self.fate(Call::Attach).await?;
            let mut held = self.held();
            let here: BTreeSet<_> = held.desired.networks.iter().map(|n| n.id).collect();
            if let Some(leg) = legs.iter().find(|leg| !here.contains(&leg.network)) {
                return Err(Error::UnknownNetwork(leg.network));
            }
            // Each attach has another address, in the order of the calls.
            held.given = held.given.wrapping_add(1);
            let [high, low] = held.given.to_be_bytes();
            let gateway_ip = match outside {
                Outside::Reachable => Some(Ipv4Addr::new(172, 16, high, low)),
                Outside::Closed => None,
            };
            let plugged = Plugged { legs: legs.to_vec(), outside, gateway_ip };
            let attached = attached_as(task, &plugged);
            held.tasks.insert(task, plugged);
            Ok(attached)
        }
        .boxed()
    }
    fn reattach(&self, task: TaskId) -> BoxFuture<'_, Result<Attached, Error>> {
        async move {
            self.fate(Call::Reattach).await?;
            let held = self.held();
            let plugged = held.tasks.get(&task).ok_or(Error::UnknownTask(task))?;
            Ok(attached_as(task, plugged))
        }
        .boxed()
    }
    fn detach(&self, task: TaskId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.fate(Call::Detach).await?;
            self.held().tasks.remove(&task);
            Ok(())
        }
        .boxed()
    }
    fn attached(&self) -> BoxFuture<'_, Result<Vec<TaskId>, Error>> {
        async move { Ok(self.held().tasks.keys().copied().collect()) }.boxed()
    }
    fn remove_all(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let mut held = self.held();
            let plan = std::mem::take(&mut held.plan);
            *held = Held { plan, ..Held::default() };
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(n: u8) -> TaskId {
        TaskId::from_random([n; 16])
    }

    #[tokio::test]
    async fn planned_faults_hit_the_calls_they_name_in_order() {
        let kernel = Fake::new();
        kernel.plan(Call::Attach, Fault::Fail);
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        kernel.plan(Call::Attach, Fault::Slow(told.map(|_| ()).boxed()));
        let first = kernel.attach(task(1), &[], Outside::Closed).await;
        assert!(matches!(first, Err(Error::Injected)));
        let mut second = kernel.attach(task(1), &[], Outside::Reachable);
        assert!((&mut second).now_or_never().is_none(), "it waits for its future");
        assert_eq!(kernel.attached().await.unwrap(), []);
        tell.send(()).unwrap();
        assert!(second.await.unwrap().gateway_ip.is_some());
        assert_eq!(kernel.attached().await.unwrap(), [task(1)]);
        kernel.detach(task(1)).await.unwrap();
        kernel.detach(task(1)).await.unwrap();
        assert!(kernel.legs(task(1)).is_none());
    }
}
