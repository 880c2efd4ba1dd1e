//! The manager's end of every node's session: sends each node what is its own, hears what it saw and how far it is.
//! Knows nodes only by their assignment; what follows from what it hears is decided by `plan` and `decide`.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, StreamHandler, WrapFuture,
};
use tokio::sync::{mpsc, oneshot};

use skein_events::command::Command;
use skein_events::envelope::Who;
use skein_events::id::{NodeId, ObjectId};
use skein_events::node::NodeState;
use skein_events::plan::{Proposal, liveness, withdraw};
use skein_events::record::Position;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::time::{Span, Time};
use skein_events::view::assignment::{Assignment, assignment};
use skein_net::backend::Caller;
use skein_net::session::{FromNode, ManagerLink, ToNode};

use crate::clock::Clock;
use crate::log::{Acked, Answer, Listen, LogActor, News, Submit, planner};

/// A session that says nothing for so long is lost; agents speak every `HEARTBEAT`.
const SILENCE: Span = Span::seconds(6);
/// How often agents speak when they have nothing to say.
pub const HEARTBEAT: Span = Span::seconds(2);
/// News and link events that may wait.
const MAILBOX: usize = 1_024;

struct Session {
    node: Option<NodeId>,
    tx: mpsc::Sender<ToNode>,
    sent: Assignment,
    /// A change could not be sent: the link was full.
    behind: bool,
    heard: Time,
}

/// The manager's end of all sessions.
pub struct DispatchActor {
    log: Addr<LogActor>,
    clock: Arc<dyn Clock>,
    acked: Acked,
    state: Option<Arc<State>>,
    leads: bool,
    sessions: BTreeMap<u64, Session>,
    next: u64,
    /// Proposals that follow from acknowledgements are under way.
    proposing: bool,
}

/// A node's link is up; who it is, its first message says.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Connect(pub ManagerLink);

struct Heard {
    session: u64,
    message: Option<FromNode>,
}

impl DispatchActor {
    /// Starts without sessions.
    pub fn spawn(log: Addr<LogActor>, clock: Arc<dyn Clock>, acked: Acked) -> Addr<Self> {
        Self {
            log,
            clock,
            acked,
            state: None,
            leads: false,
            sessions: BTreeMap::new(),
            next: 0,
            proposing: false,
        }
        .start()
    }

    fn hear(&mut self, id: u64, message: FromNode, ctx: &mut Context<Self>) {
        let now = self.clock.steady();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.heard = now;
        match (message, session.node) {
            (FromNode::Hello { node, description }, None) => {
                self.welcome(id, node, description, ctx);
            }
            (FromNode::Applied { epoch, position }, Some(node)) => {
                self.applied(id, node, epoch, position, ctx);
            }
            (FromNode::Report { seq, sightings }, Some(node)) => {
                let command = Command::Report { node, sightings };
                self.submit_for(node, command, ctx, move |actor, committed| {
                    // A report that could not be written is sent again by the node's next session.
                    let Some(session) = actor.sessions.get(&id).filter(|_| committed) else {
                        return;
                    };
                    if session.tx.try_send(ToNode::Reported { seq }).is_err() {
                        actor.lose(id);
                    }
                });
            }
            (FromNode::Heartbeat, Some(_)) => {}
            // Out of turn: not a node that follows the protocol.
            (FromNode::Hello { .. }, Some(_))
            | (FromNode::Applied { .. } | FromNode::Report { .. } | FromNode::Heartbeat, None) => {
                self.lose(id);
            }
        }
    }

    fn welcome(
        &mut self,
        id: u64,
        node: NodeId,
        description: skein_events::node::Description,
        ctx: &mut Context<Self>,
    ) {
        let known = self.state.as_ref().and_then(|s| s.nodes.get(&node)).cloned();
        let Some(known) = known else {
            tracing::warn!(%node, "a node that is no member asked for its assignment");
            self.sessions.remove(&id);
            return;
        };
        // A newer session of the same node takes over.
        self.sessions.retain(|n, s| *n == id || s.node != Some(node));
        if let Some(session) = self.sessions.get_mut(&id) {
            session.node = Some(node);
            session.behind = true;
        }
        if known.description != description {
            self.submit_for(node, Command::DescribeNode { id: node, description }, ctx, |_, _| {});
        }
        self.send(id);
    }

    fn applied(
        &mut self,
        id: u64,
        node: NodeId,
        epoch: u32,
        position: Position,
        ctx: &mut Context<Self>,
    ) {
        let Some(state) = self.state.clone() else { return };
        if epoch != state.epoch {
            return;
        }
        let mut acked = imbl::OrdMap::clone(&self.acked.load());
        let before = acked.insert(node, position);
        if before != Some(position) {
            self.acked.store(Arc::new(acked));
        }
        if state.nodes.get(&node).is_some_and(|n| n.state != NodeState::Ready) {
            let message = "session up, assignment applied".to_owned();
            let command = Command::SetNodeState { id: node, state: NodeState::Ready, message };
            self.submit_for(node, command, ctx, |_, _| {});
        }
        if self.sessions.get(&id).is_some_and(|s| s.behind) {
            self.send(id);
        }
        self.follow_up(ctx);
    }

    /// What acknowledgements allow: tasks that no reader names may stop, nodes that nobody reaches are fenced.
    fn follow_up(&mut self, ctx: &mut Context<Self>) {
        let Some(state) = self.state.clone().filter(|_| self.leads && !self.proposing) else {
            return;
        };
        let acked = self.acked.load();
        let proposals: Vec<Proposal> = withdraw::acknowledged(&state, &acked)
            .into_iter()
            .chain(liveness::fences(&state, &acked))
            .collect();
        if proposals.is_empty() {
            return;
        }
        self.proposing = true;
        let log = self.log.clone();
        let answers = futures::future::join_all(proposals.into_iter().map(move |proposal| {
            let Proposal { planner: name, cause, command } = proposal;
            let (reply, answer) = oneshot::channel();
            let sent = log.send(Submit { caller: planner(name), cause, command, reply });
            async move { if sent.await.is_ok() { answer.await.ok() } else { None } }
        }));
        ctx.spawn(answers.into_actor(self).map(|answers, actor, ctx| {
            actor.proposing = false;
            // What was acknowledged meanwhile follows; what was refused waits for news, or it would be refused without end.
            let went_on = answers.iter().any(|a| matches!(a, Some(Answer::Committed(_))));
            if went_on && actor.state.as_ref().is_some_and(|s| !s.index.stopping.is_empty()) {
                ctx.address().try_send(Again).unwrap_or_else(|_| tracing::debug!("mailbox full"));
            }
        }));
    }

    /// Submits what a node saw, in its name.
    fn submit_for(
        &mut self,
        node: NodeId,
        command: Command,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, bool) + 'static,
    ) {
        let caller = Caller {
            who: Who::Node { id: node },
            client: concat!("skein/", env!("CARGO_PKG_VERSION")).to_owned(),
            reason: None,
            request: None,
            if_at: None,
        };
        let (reply, answer) = oneshot::channel();
        let sent = self.log.send(Submit { caller, cause: None, command, reply });
        let outcome = async move {
            match sent.await {
                Ok(()) => answer.await.ok(),
                Err(_) => None,
            }
        };
        ctx.spawn(outcome.into_actor(self).map(move |answer, actor, _| {
            let settled = match answer {
                Some(Answer::Committed(_) | Answer::Repeated { .. }) => true,
                // Refused means it told nothing new.
                Some(Answer::Failed(skein_net::backend::Failure::Refused(_))) => true,
                Some(Answer::Failed(_)) | None => false,
            };
            then(actor, settled);
        }));
    }

    /// Sends a node what is different from what it was sent before.
    fn send(&mut self, id: u64) {
        let Some(state) = self.state.clone() else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(node) = session.node else { return };
        let next = assignment(&state, node);
        let change = Box::new(session.sent.change_to(&next));
        match session.tx.try_send(ToNode::Assign(change)) {
            Ok(()) => {
                session.sent = next;
                session.behind = false;
            }
            Err(mpsc::error::TrySendError::Full(_)) => session.behind = true,
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }

    fn lose(&mut self, id: u64) {
        // Dropping the sender ends the link; its end is heard as the session's last message.
        self.sessions.remove(&id);
    }

    fn lost(&mut self, node: NodeId, ctx: &mut Context<Self>) {
        let still_there = self.sessions.values().any(|s| s.node == Some(node));
        if still_there || !self.leads {
            return;
        }
        let message = "session lost".to_owned();
        let command = Command::SetNodeState { id: node, state: NodeState::Unknown, message };
        self.submit_for(node, command, ctx, |_, _| {});
    }

    fn drop_silent(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.steady();
        let silent: Vec<(u64, Option<NodeId>)> = self
            .sessions
            .iter()
            .filter(|(_, s)| now.since(s.heard) > SILENCE)
            .map(|(id, s)| (*id, s.node))
            .collect();
        for (id, node) in silent {
            self.lose(id);
            if let Some(node) = node {
                self.lost(node, ctx);
            }
        }
    }

    /// A leader looks after nodes that were ready under the one before and have not spoken to this one.
    fn miss_absent(&mut self, ctx: &mut Context<Self>) {
        let Some(state) = self.state.clone().filter(|_| self.leads) else { return };
        for node in state.nodes.values().filter(|n| n.state == NodeState::Ready) {
            self.lost(node.id, ctx);
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Again;

impl Actor for DispatchActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let listen = self.log.send(Listen(ctx.address().recipient()));
        ctx.spawn(listen.into_actor(self).map(|sent, _, _| sent.expect("the writer is running")));
        ctx.run_interval(HEARTBEAT.as_std(), |actor, ctx| actor.drop_silent(ctx));
        // Nodes of an earlier leader have one silence to come back before they count as missed.
        ctx.run_later(SILENCE.as_std(), |actor, ctx| actor.miss_absent(ctx));
    }
}

impl Handler<News> for DispatchActor {
    type Result = ();
    fn handle(&mut self, news: News, ctx: &mut Self::Context) {
        let News { state, touched, leads } = news;
        self.state = Some(state);
        self.leads = leads;
        if concerns_nodes(&touched) {
            let ids: Vec<u64> = self.sessions.keys().copied().collect();
            for id in ids {
                self.send(id);
            }
            self.follow_up(ctx);
        }
    }
}

fn concerns_nodes(touched: &Touched) -> bool {
    match touched {
        Touched::Everything => true,
        Touched::Ignored => false,
        Touched::Objects(objects) => objects.iter().any(|o| match o {
            ObjectId::Node(_) | ObjectId::Task(_) | ObjectId::Network(_) => true,
            ObjectId::Service(_) | ObjectId::Cluster(_) => false,
        }),
    }
}

impl Handler<Again> for DispatchActor {
    type Result = ();
    fn handle(&mut self, _: Again, ctx: &mut Self::Context) {
        self.follow_up(ctx);
    }
}

impl Handler<Connect> for DispatchActor {
    type Result = ();
    fn handle(&mut self, Connect(link): Connect, ctx: &mut Self::Context) {
        let id = self.next;
        self.next += 1;
        let heard = self.clock.steady();
        let sent = Assignment::default();
        let session = Session { node: None, tx: link.tx, sent, behind: false, heard };
        self.sessions.insert(id, session);
        let mut rx = link.rx;
        let messages = futures::stream::poll_fn(move |cx| rx.poll_recv(cx));
        let heard = futures::StreamExt::map(messages, move |message| Heard {
            session: id,
            message: Some(message),
        });
        let end = futures::stream::once(async move { Heard { session: id, message: None } });
        ctx.add_stream(futures::StreamExt::chain(heard, end));
    }
}

impl StreamHandler<Heard> for DispatchActor {
    fn handle(&mut self, heard: Heard, ctx: &mut Self::Context) {
        let Heard { session, message } = heard;
        match message {
            Some(message) => self.hear(session, message, ctx),
            None => {
                let node = self.sessions.remove(&session).and_then(|s| s.node);
                if let Some(node) = node {
                    self.lost(node, ctx);
                }
            }
        }
    }
    // One link's end is not the end of this actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}
