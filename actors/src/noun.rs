//! One actor per kind of noun (cluster, node, network, service, task): wakes for news and deadlines, lets `plan` think,
//! sends what it proposes. Chooses nothing itself; keeps nothing but what it has yet to look at.

use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, SpawnHandle,
    WrapFuture,
};
use futures::future::join_all;
use tokio::sync::oneshot;

use skein_events::plan::{Part, Plan, Proposal, plan_part};
use skein_events::record::Position;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::time::Span;

use crate::clock::ClusterTime;
use crate::log::{Answer, Listen, LogActor, News, Submit, planner};

/// News that may wait for this actor: more are merged by the sender.
const MAILBOX: usize = 16;

/// A refused proposal is made again after so long even if the state has not moved: the refusal may have been the writer's, not the state's.
const AGAIN: Span = Span::millis(200);

/// The actor of one kind of noun.
pub struct NounActor {
    part: Part,
    log: Addr<LogActor>,
    time: Arc<ClusterTime>,
    state: Option<Arc<State>>,
    leads: bool,
    /// Yet to be looked at.
    touched: Touched,
    /// Looked at in vain: to be looked at again once the state is past this position.
    refused: Option<(Position, Touched)>,
    /// Its last proposals are not answered yet, or the state is not past them.
    waits_for: Option<Wait>,
    alarm: Option<SpawnHandle>,
}

#[derive(Clone, Copy)]
enum Wait {
    Answers,
    Position(Position),
}

impl NounActor {
    /// Starts the actor of one kind.
    pub fn spawn(part: Part, log: Addr<LogActor>, time: Arc<ClusterTime>) -> Addr<Self> {
        Self {
            part,
            log,
            time,
            state: None,
            leads: false,
            touched: Touched::Everything,
            refused: None,
            waits_for: None,
            alarm: None,
        }
        .start()
    }

    fn think(&mut self, ctx: &mut Context<Self>) {
        let Some(state) = self.state.clone().filter(|_| self.leads) else { return };
        match self.waits_for {
            Some(Wait::Answers) => return,
            Some(Wait::Position(p)) if state.position < p => return,
            Some(Wait::Position(_)) | None => self.waits_for = None,
        }
        if let Some((at, touched)) = self.refused.take() {
            if state.position > at {
                self.touched.merge(touched);
            } else {
                self.refused = Some((at, touched));
            }
        }
        let touched = std::mem::take(&mut self.touched);
        let Plan { proposals, wake_at, more } =
            plan_part(self.part, &state, &touched, self.time.now());
        if more {
            self.touched.merge(touched.clone());
        }
        self.set_alarm(ctx, wake_at);
        if !proposals.is_empty() {
            self.propose(ctx, proposals, state.position, touched);
        }
    }

    fn propose(
        &mut self,
        ctx: &mut Context<Self>,
        proposals: Vec<Proposal>,
        seen: Position,
        touched: Touched,
    ) {
        self.waits_for = Some(Wait::Answers);
        let log = self.log.clone();
        let answers = join_all(proposals.into_iter().map(move |proposal| {
            let Proposal { planner: name, cause, command } = proposal;
            let (reply, answer) = oneshot::channel();
            let sent = log.send(Submit { caller: planner(name), cause, command, reply });
            async move {
                sent.await.ok()?;
                answer.await.ok()
            }
        }));
        ctx.spawn(answers.into_actor(self).map(move |answers, actor, ctx| {
            let mut last = seen;
            let mut refused = false;
            for answer in answers {
                match answer {
                    Some(Answer::Committed(done)) => last = last.max(done.last),
                    Some(Answer::Repeated { last: p, .. }) => last = last.max(p),
                    Some(Answer::Failed(failure)) => {
                        tracing::debug!(part = ?actor.part, %failure, "proposal refused");
                        refused = true;
                    }
                    // The writer has ended, and with it everybody who asks it.
                    None => return ctx.stop(),
                }
            }
            if refused {
                let mut again = touched;
                again.merge(actor.refused.take().map_or_else(Touched::default, |(_, old)| old));
                actor.refused = Some((seen, again));
                // From the same state the same would be proposed, and refused, without end.
                last = last.max(seen.next());
                ctx.run_later(AGAIN.as_std(), |actor, ctx| {
                    if let Some(Wait::Position(_)) = actor.waits_for {
                        actor.waits_for = None;
                        actor.think(ctx);
                    }
                });
            }
            actor.waits_for = Some(Wait::Position(last));
            actor.think(ctx);
        }));
    }

    fn set_alarm(&mut self, ctx: &mut Context<Self>, wake_at: Option<skein_events::time::Time>) {
        if let Some(old) = self.alarm.take() {
            ctx.cancel_future(old);
        }
        // A deadline already past was planned for just now; what comes of it is news.
        let span = wake_at.map(|at| self.time.until(at)).filter(|s| s.0 > 0);
        #[cfg(feature = "mutants")]
        let span =
            span.filter(|_| !skein_events::mutant::is(skein_events::mutant::Mutant::DeadlineLost));
        self.alarm = span.map(|span| ctx.run_later(span.as_std(), |actor, ctx| actor.think(ctx)));
    }
}

impl Actor for NounActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let listen = self.log.send(Listen(ctx.address().recipient()));
        ctx.spawn(listen.into_actor(self).map(|sent, _, ctx| {
            // A swarm that was given up as soon as it was taken up has no writer any more.
            if sent.is_err() {
                actix::ActorContext::stop(ctx);
            }
        }));
    }
}

impl Handler<News> for NounActor {
    type Result = ();
    fn handle(&mut self, news: News, ctx: &mut Self::Context) {
        let News { state, touched, leads } = news;
        if leads && !self.leads {
            self.touched = Touched::Everything;
            self.waits_for = None;
        }
        self.leads = leads;
        self.state = Some(state);
        self.touched.merge(touched);
        self.think(ctx);
    }
}
