//! The node's end of a session: keeps what it was assigned, has it carried out, says what became of it.
//! Sees its own assignment and nothing else of the swarm, on managers too.

mod checkup;
pub mod findings;
pub mod names;
mod task;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, StreamHandler, WrapFuture,
};
use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use skein_events::command::Sighting;
use skein_events::id::{NodeId, TaskId};
use skein_events::node::Description;
use skein_events::time::Span;
use skein_events::view::assignment::Assignment;
use skein_net::overlay::Kernel;
use skein_net::session::{FromNode, NodeLink, ToNode};
use skein_runtime::api::{Condition, Found, Runtime};

use crate::dispatch::HEARTBEAT;
use crate::images::Images;
use findings::Findings;
use names::Names;
use task::{Order, TaskActor};

/// The kernel is compared with what it should hold at least so often, so that what somebody removed by hand heals.
const RESYNC: Span = Span::seconds(60);
/// After a lost session the next one is tried so soon.
const RECONNECT: Span = Span::millis(500);
/// Messages of tasks and of the link that may wait.
const MAILBOX: usize = 4_096;

/// What the agent works with.
#[derive(Clone)]
pub struct Tools {
    /// Containers and images.
    pub runtime: Arc<dyn Runtime>,
    /// Fetches the images that are not here.
    pub images: Images,
    /// Links, tables, rules.
    pub kernel: Arc<dyn Kernel>,
    /// Answers to containers' questions for names.
    pub names: Arc<dyn Names>,
    /// What checks of containers come to.
    pub findings: Arc<Findings>,
}

/// Opens a link to the manager.
pub type Connector = Box<dyn Fn() -> LocalBoxFuture<'static, Option<NodeLink>>>;

/// The node's end of a session.
pub struct AgentActor {
    node: NodeId,
    description: Description,
    tools: Tools,
    connect: Connector,
    link: Option<mpsc::Sender<FromNode>>,
    assignment: Assignment,
    tasks: BTreeMap<TaskId, Addr<TaskActor>>,
    /// Containers found at start that no task has claimed yet.
    found: BTreeMap<TaskId, Condition>,
    /// The first assignment of a session is the whole of it.
    whole: bool,
    /// This node has left: nothing is begun any more.
    ended: bool,
    reports: VecDeque<(TaskId, Sighting)>,
    /// What was sent and not yet confirmed.
    reporting: Option<(u64, Vec<(TaskId, Sighting)>)>,
    seq: u64,
    /// Generation of the overlay that is wanted, and that the kernel has.
    wanted: u64,
    synced: watch::Sender<u64>,
    syncing: bool,
}

/// What a task came to.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Saw(pub(crate) TaskId, pub(crate) Sighting);

/// Ends every container of this node and leaves nothing of them.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct EndAll(pub oneshot::Sender<()>);

impl AgentActor {
    /// Starts the agent of a node.
    pub fn spawn(
        node: NodeId,
        description: Description,
        tools: Tools,
        connect: Connector,
    ) -> Addr<Self> {
        Self {
            node,
            description,
            tools,
            connect,
            link: None,
            assignment: Assignment::default(),
            tasks: BTreeMap::new(),
            found: BTreeMap::new(),
            whole: true,
            ended: false,
            reports: VecDeque::new(),
            reporting: None,
            seq: 0,
            wanted: 0,
            synced: watch::Sender::new(0),
            syncing: false,
        }
        .start()
    }

    /// Looks what an earlier life of this daemon left running, then opens the first session.
    fn adopt(&mut self, ctx: &mut Context<Self>) {
        let tools = self.tools.clone();
        ctx.spawn(find(tools).into_actor(self).map(|found, actor, ctx| {
            actor.found = found;
            actor.open(ctx);
        }));
    }

    fn open(&mut self, ctx: &mut Context<Self>) {
        if self.ended {
            return;
        }
        let link = (self.connect)();
        ctx.spawn(link.into_actor(self).map(|link, actor, ctx| match link {
            Some(link) => actor.opened(link, ctx),
            None => {
                ctx.run_later(RECONNECT.as_std(), |actor, ctx| actor.open(ctx));
            }
        }));
    }

    fn opened(&mut self, link: NodeLink, ctx: &mut Context<Self>) {
        let hello = FromNode::Hello { node: self.node, description: self.description.clone() };
        self.whole = true;
        // What was not confirmed is said again, in its order.
        if let Some((_, sightings)) = self.reporting.take() {
            for sighting in sightings.into_iter().rev() {
                self.reports.push_front(sighting);
            }
        }
        if link.tx.try_send(hello).is_err() {
            ctx.run_later(RECONNECT.as_std(), |actor, ctx| actor.open(ctx));
            return;
        }
        self.link = Some(link.tx);
        let mut rx = link.rx;
        let messages = futures::stream::poll_fn(move |cx| rx.poll_recv(cx));
        let end = futures::stream::once(async { None });
        ctx.add_stream(futures::StreamExt::chain(futures::StreamExt::map(messages, Some), end));
    }

    fn say(&mut self, message: FromNode) {
        // A link that is full or gone: the session ends by silence, and the next one says it all again.
        if self.link.as_ref().is_some_and(|tx| tx.try_send(message).is_err()) {
            self.link = None;
        }
    }

    fn report(&mut self) {
        if self.reporting.is_some() || self.reports.is_empty() || self.link.is_none() || self.whole
        {
            return;
        }
        self.seq += 1;
        let sightings: Vec<_> = self.reports.drain(..).collect();
        self.reporting = Some((self.seq, sightings.clone()));
        self.say(FromNode::Report { seq: self.seq, sightings });
    }

    /// Brings everything to what is assigned now.
    fn carry_out(&mut self, overlay_changed: bool, ctx: &mut Context<Self>) {
        self.tools.names.update(&self.assignment.zones);
        if overlay_changed {
            self.wanted += 1;
        }
        for (id, task) in &self.assignment.tasks {
            match self.tasks.get(id) {
                Some(actor) => {
                    let order = Order::from(task.order);
                    if actor.try_send(order).is_err() {
                        tracing::error!(task = %id, "a task does not take its orders");
                    }
                }
                None => {
                    let found = self.found.remove(id);
                    let (tools, agent) = (self.tools.clone(), ctx.address());
                    let network = self.synced.subscribe();
                    let actor =
                        TaskActor::spawn(task.clone(), found, tools, agent, network, self.wanted);
                    self.tasks.insert(*id, actor);
                }
            }
        }
        self.let_go();
        self.sync(ctx);
    }

    /// Ends what is not this node's any more.
    fn let_go(&mut self) {
        let assigned = &self.assignment.tasks;
        self.tasks.retain(|id, actor| {
            assigned.contains_key(id) || actor.try_send(Order::Vanish).is_ok_and(|()| false)
        });
        let strays: Vec<TaskId> =
            self.found.keys().filter(|id| !assigned.contains_key(*id)).copied().collect();
        for id in strays {
            self.found.remove(&id);
            let tools = self.tools.clone();
            actix::spawn(async move { task::leave_nothing(id, &tools).await });
        }
    }

    /// Brings the kernel to the wanted overlay, one attempt at a time; afterwards says how far this node is.
    fn sync(&mut self, ctx: &mut Context<Self>) {
        if self.syncing {
            return;
        }
        let (epoch, position) = (self.assignment.epoch, self.assignment.position);
        let generation = self.wanted;
        if *self.synced.borrow() == generation {
            return self.say(FromNode::Applied { epoch, position });
        }
        self.syncing = true;
        let (kernel, desired) = (Arc::clone(&self.tools.kernel), self.assignment.overlay.clone());
        let sync = async move { kernel.sync(&desired).await };
        ctx.spawn(sync.into_actor(self).map(move |result, actor, ctx| {
            actor.syncing = false;
            match result {
                Ok(()) => {
                    actor.synced.send_replace(generation);
                    if actor.wanted == generation {
                        let (epoch, position) = (actor.assignment.epoch, actor.assignment.position);
                        actor.say(FromNode::Applied { epoch, position });
                    } else {
                        actor.say(FromNode::Applied { epoch, position });
                        actor.sync(ctx);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the kernel is not as it should be");
                    ctx.run_later(RECONNECT.as_std(), |actor, ctx| actor.sync(ctx));
                }
            }
        }));
    }
}

/// Containers an earlier life of this daemon left; what it had only begun to make is cleared away.
async fn find(tools: Tools) -> BTreeMap<TaskId, Condition> {
    let found: BTreeMap<TaskId, Condition> = match tools.runtime.adopt().await {
        Ok(found) => found.into_iter().map(|Found { id, state }| (id, state)).collect(),
        Err(error) => {
            tracing::error!(%error, "cannot see which containers run");
            return BTreeMap::new();
        }
    };
    match tools.kernel.attached().await {
        Ok(attached) => {
            for id in attached.into_iter().filter(|id| !found.contains_key(id)) {
                task::leave_nothing(id, &tools).await;
            }
        }
        Err(error) => tracing::error!(%error, "cannot see which namespaces there are"),
    }
    found
}

impl Actor for AgentActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.adopt(ctx);
        ctx.run_interval(HEARTBEAT.as_std(), |actor, _| actor.say(FromNode::Heartbeat));
        ctx.run_interval(RESYNC.as_std(), |actor, ctx| {
            actor.wanted += 1;
            actor.sync(ctx);
        });
    }
}

impl StreamHandler<Option<ToNode>> for AgentActor {
    fn handle(&mut self, message: Option<ToNode>, ctx: &mut Self::Context) {
        match message {
            _ if self.ended => {}
            Some(ToNode::Assign(change)) => {
                let overlay_changed = change.overlay.is_some() || self.whole;
                if std::mem::take(&mut self.whole) {
                    self.assignment = Assignment::default();
                }
                self.assignment.carry_out(*change);
                self.carry_out(overlay_changed, ctx);
                self.report();
            }
            Some(ToNode::Reported { seq }) => {
                if self.reporting.as_ref().is_some_and(|(n, _)| *n == seq) {
                    self.reporting = None;
                }
                self.report();
            }
            None => {
                self.link = None;
                ctx.run_later(RECONNECT.as_std(), |actor, ctx| actor.open(ctx));
            }
        }
    }
    // One link's end is not the end of the agent.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Saw> for AgentActor {
    type Result = ();
    fn handle(&mut self, Saw(id, sighting): Saw, _: &mut Self::Context) {
        // Of several statuses that wait only the newest counts.
        if let Sighting::Status(_) = sighting {
            self.reports.retain(|(t, s)| *t != id || !matches!(s, Sighting::Status(_)));
        }
        self.reports.push_back((id, sighting));
        self.report();
    }
}

impl Handler<EndAll> for AgentActor {
    type Result = ();
    fn handle(&mut self, EndAll(done): EndAll, ctx: &mut Self::Context) {
        self.link = None;
        self.ended = true;
        let mut ids: BTreeSet<TaskId> = self.assignment.tasks.keys().copied().collect();
        self.tasks.clear();
        let tools = self.tools.clone();
        let end = async move {
            // Not only what was assigned in this life of the daemon: everything there is.
            match tools.runtime.adopt().await {
                Ok(found) => ids.extend(found.into_iter().map(|f| f.id)),
                Err(error) => tracing::error!(%error, "cannot see which containers run"),
            }
            for id in ids {
                task::leave_nothing(id, &tools).await;
            }
            if let Err(error) = tools.kernel.remove_all().await {
                tracing::error!(%error, "something of the networks is left");
            }
        };
        ctx.spawn(end.into_actor(self).map(|(), _, _| {
            // Whoever asked may have gone.
            let _ = done.send(());
        }));
    }
}
