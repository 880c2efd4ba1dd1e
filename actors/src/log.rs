//! The one writer: decides commands one after another on the tip, hands each flight to consensus, and applies what is
//! committed. The only actor that changes State; everybody else gets `Arc<State>` and asks here for more.
//!
//! ```text
//!  Submit ──▶ queue ──decide──▶ flight ──propose──▶ consensus ──Delivered──▶ state ──News──▶ nouns, dispatch
//!                     on the tip  (one at a time; what arrives meanwhile makes the next)       replies
//! ```

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use imbl::OrdMap;
use tokio::sync::{oneshot, watch};

use skein_events::codec::Batch;
use skein_events::command::Command;
use skein_events::decide::{self, decide};
use skein_events::envelope::{Envelope, Who};
use skein_events::event::Event;
use skein_events::id::{IdSource, NodeId};
use skein_events::record::{BatchBytes, Position};
use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::task::TaskState;
use skein_events::task::event::TaskStatusChanged;
use skein_events::time::{Span, Time};
use skein_net::backend::{Caller, Committed, Failure, Head};
use skein_net::measures::MEASURES;
use skein_store::failpoint;

use crate::clock::{ClusterTime, Entropy};

/// Level this program writes at.
pub const LEVEL: u16 = 1;
/// Commands of one flight: one durable commit for all of them; more would make the first wait for the last.
const FLIGHT_COMMANDS: usize = 1_024;
/// Bytes of one flight, so that it fits a few messages to other managers.
const FLIGHT_BYTES: usize = 4 << 20;
/// Commands that may wait; further ones are told to come again.
const QUEUE: usize = 16_384;
/// Messages the mailbox holds: every HTTP client and actor may have one under way.
const MAILBOX: usize = 4_096;

/// What consensus says about one batch of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the log.
    Committed,
    /// It is not, and never will be.
    Refused,
    /// It may be.
    Unknown,
}

/// Consensus, as the one writer sees it.
pub trait Consensus: 'static {
    /// Submits a flight in order, valid only while this manager leads in `term`. One verdict per batch.
    fn propose(&self, term: u64, flight: Vec<Bytes>) -> LocalBoxFuture<'static, Vec<Verdict>>;
}

/// What each node's session has confirmed to have applied.
pub type Acked = Arc<ArcSwap<OrdMap<NodeId, Position>>>;

/// A command and where it came from.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Submit {
    /// Who asks, and why.
    pub caller: Caller,
    /// The record that led to it.
    pub cause: Option<Position>,
    /// What is asked for.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// What became of a command.
#[derive(Debug)]
pub enum Answer {
    /// It is in the log.
    Committed(Committed),
    /// The same request was answered before, by these records.
    Repeated {
        /// Its first record.
        first: Position,
        /// Its last record.
        last: Position,
    },
    /// It was not accepted.
    Failed(Failure),
}

/// A committed entry, in order.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Its first record.
    pub first: Position,
    /// Its bytes; the chain was checked.
    pub bytes: Bytes,
}

/// Committed entries.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Deliver(pub Vec<Delivered>);

/// This manager leads in a term and has applied that term's first entry; or it does not lead.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Leads(pub Option<u64>);

/// A new state, and what it is about.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct News {
    /// The state.
    pub state: Arc<State>,
    /// What changed since the last news.
    pub touched: Touched,
    /// Whether this manager leads: only then is anything planned.
    pub leads: bool,
}

/// Where state goes when it changes.
#[derive(Clone)]
pub struct Published {
    /// The newest applied state, for reads.
    pub state: Arc<ArcSwap<State>>,
    /// The end of the log, for tails.
    pub head: watch::Sender<Head>,
}

struct Listener {
    to: Recipient<News>,
    backlog: Touched,
}

struct Pending {
    bytes: Bytes,
    first: Position,
    last: Position,
    batch: Arc<Batch>,
    reply: oneshot::Sender<Answer>,
}

struct Flight {
    decided: Time,
    batches: Vec<Pending>,
    delivered: usize,
    touched: Touched,
}

/// The one writer.
pub struct LogActor {
    state: Arc<State>,
    tip: State,
    queue: VecDeque<Submit>,
    flight: Option<Flight>,
    term: Option<u64>,
    has_led: bool,
    consensus: Box<dyn Consensus>,
    time: Arc<ClusterTime>,
    entropy: Arc<dyn Entropy>,
    acked: Acked,
    published: Published,
    listeners: Vec<Listener>,
}

/// What the one writer stands on.
pub struct Writer {
    /// The state as of the last delivered entry.
    pub state: Arc<State>,
    /// Consensus.
    pub consensus: Box<dyn Consensus>,
    /// Cluster time.
    pub time: Arc<ClusterTime>,
    /// Randomness for ids and salts.
    pub entropy: Arc<dyn Entropy>,
    /// What sessions confirmed.
    pub acked: Acked,
    /// Where state goes.
    pub published: Published,
}

/// Ends the writer, and with it everybody who listens to it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

/// Asks for nothing but an answer: the actor lives, and so does its thread.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Beat;

/// Adds a listener; it hears everything at once, then what changes.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Listen(pub Recipient<News>);

impl LogActor {
    /// A writer that leads nothing yet.
    pub fn new(writer: Writer) -> Self {
        let Writer { state, consensus, time, entropy, acked, published } = writer;
        time.observe(state.at.max(time.now()));
        Self {
            tip: (*state).clone(),
            state,
            queue: VecDeque::new(),
            flight: None,
            term: None,
            has_led: false,
            consensus,
            time,
            entropy,
            acked,
            published,
            listeners: Vec::new(),
        }
    }

    /// Decides what waits and submits it, unless a flight is under way.
    fn take_off(&mut self, ctx: &mut Context<Self>) {
        if self.flight.is_some() {
            return;
        }
        let Some(term) = self.term else {
            if !self.has_led {
                return; // a manager that has just started: what came early waits for the election
            }
            for submit in self.queue.drain(..) {
                let text = "this manager does not lead the swarm".to_owned();
                answer(submit.reply, Answer::Failed(Failure::Unavailable(text)));
            }
            return;
        };
        let decided = self.time.now();
        let (mut batches, mut touched, mut bytes) = (Vec::new(), Touched::default(), 0);
        while batches.len() < FLIGHT_COMMANDS && bytes < FLIGHT_BYTES {
            let Some(submit) = self.queue.pop_front() else { break };
            if let Some(decided) = self.decide(submit, &batches, &mut touched) {
                bytes += decided.bytes.len();
                batches.push(decided);
            }
        }
        if batches.is_empty() {
            return;
        }
        let flight: Vec<Bytes> = batches.iter().map(|b| b.bytes.clone()).collect();
        self.flight = Some(Flight { decided, batches, delivered: 0, touched });
        let outcome = self.consensus.propose(term, flight).into_actor(self);
        ctx.spawn(outcome.map(|verdicts, actor, ctx| {
            if verdicts.iter().any(|v| *v != Verdict::Committed) {
                actor.crash_land(&verdicts);
                actor.take_off(ctx);
            }
        }));
    }

    /// Decides one command on the tip, after those before it in the flight; answers at once if there is nothing to submit.
    fn decide(
        &mut self,
        submit: Submit,
        before: &[Pending],
        touched: &mut Touched,
    ) -> Option<Pending> {
        let Submit { caller, cause, command, reply } = submit;
        if let Some(known) = caller.request.and_then(|id| self.tip.requests.get(&id)) {
            answer(reply, Answer::Repeated { first: known.first, last: known.last });
            return None;
        }
        if let Some(position) = self.state.diverged {
            let text = format!(
                "this manager's state differs from the checkpoint at {position}: it takes no commands; run skein verify"
            );
            answer(reply, Answer::Failed(Failure::Unavailable(text)));
            return None;
        }
        let first = self.tip.position.next();
        let Caller { who, client, reason, request, if_at } = caller;
        let (now, wall) = (self.time.now().max(self.tip.at), self.time.wall());
        let envelope = Envelope {
            at: now,
            wall,
            who,
            client,
            request,
            cause,
            epoch: self.tip.epoch.max(1),
            level: LEVEL,
        };
        let ids = IdSource::new(self.entropy.seed());
        let acked = OrdMap::clone(&self.acked.load());
        let context = decide::Context { now, ids, reason, acked };
        // In place, because a copy for each command would copy again what the one before it had made its own.
        let tip = &mut self.tip;
        match guarded(|| write(tip, first, envelope, &command, context, if_at, touched)) {
            Ok((bytes, batch)) => {
                Some(Pending { bytes, first, last: self.tip.position, batch, reply })
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::Broken(_)) {
                    // It may have broken off in the middle of a change: the tip is made again without it.
                    self.tip = (*self.state).clone();
                    for pending in before {
                        self.tip.apply_batch(pending.first, &pending.batch, &mut Touched::Ignored);
                    }
                }
                answer(reply, Answer::Failed(refusal.into()));
                None
            }
        }
    }

    /// All of the flight is committed: the tip is the state.
    fn land(&mut self, ctx: &mut Context<Self>) {
        let Some(flight) = self.flight.take() else { return };
        self.state = Arc::new(self.tip.clone());
        failpoint("flight.before-publish");
        self.publish(flight.touched);
        failpoint("flight.before-answer");
        let took = self.time.now().since(flight.decided);
        measured(&self.state, &flight.batches, took);
        for pending in flight.batches {
            let Pending { first, last, batch, reply, .. } = pending;
            let state = Arc::clone(&self.state);
            answer(reply, Answer::Committed(Committed { first, last, batch, state }));
        }
        failpoint("flight.after-answer");
        self.take_off(ctx);
    }

    /// Part of the flight is not committed, or nobody knows: what was delivered stays, the tip is dropped.
    fn crash_land(&mut self, verdicts: &[Verdict]) {
        let Some(flight) = self.flight.take() else { return };
        let mut touched = Touched::default();
        let mut state = (*self.state).clone();
        let delivered = flight.delivered;
        for pending in &flight.batches[..delivered] {
            state.apply_batch(pending.first, &pending.batch, &mut touched);
        }
        self.state = Arc::new(state);
        self.tip = (*self.state).clone();
        self.publish(touched);
        for (n, pending) in flight.batches.into_iter().enumerate() {
            let Pending { first, last, batch, reply, .. } = pending;
            let state = Arc::clone(&self.state);
            let refused = verdicts.get(n) == Some(&Verdict::Refused);
            answer(
                reply,
                if n < delivered {
                    Answer::Committed(Committed { first, last, batch, state })
                } else if refused {
                    let text = "this manager lost the lead: ask again".to_owned();
                    Answer::Failed(Failure::Unavailable(text))
                } else {
                    Answer::Failed(Failure::Unknown)
                },
            );
        }
    }

    /// Applies an entry that this writer did not decide.
    fn follow(&mut self, entry: &Delivered, touched: &mut Touched) {
        let batch = BatchBytes::parse(&entry.bytes).and_then(|raw| Batch::decode(&raw)).expect(
            "a committed entry was checked when it was written; its kind is known at this level",
        );
        let mut state = (*self.state).clone();
        state.apply_batch(entry.first, &batch, touched);
        self.state = Arc::new(state);
        self.tip = (*self.state).clone();
    }

    fn publish(&mut self, touched: Touched) {
        self.time.observe(self.state.at.max(self.time.now()));
        self.published.state.store(Arc::clone(&self.state));
        let head = Head { position: self.state.position, epoch: self.state.epoch };
        self.published.head.send_replace(head);
        for listener in &mut self.listeners {
            listener.backlog.merge(touched.clone());
        }
        self.tell();
    }

    /// Tells every listener; one whose mailbox is full hears it all next time.
    fn tell(&mut self) {
        for listener in &mut self.listeners {
            let touched = std::mem::take(&mut listener.backlog);
            let news = News { state: Arc::clone(&self.state), touched, leads: self.term.is_some() };
            if let Err(actix::dev::SendError::Full(news)) = listener.to.try_send(news) {
                listener.backlog = news.touched;
            }
        }
        self.listeners.retain(|l| l.to.connected());
    }
}

/// Counts a landed flight, and how long each of the tasks that run since had been waiting.
fn measured(state: &State, batches: &[Pending], took: Span) {
    MEASURES.flight(batches.len(), Duration::from_nanos(took.0));
    for entry in batches.iter().flat_map(|pending| &pending.batch.entries) {
        if let Event::TaskStatusChanged(TaskStatusChanged { id, status }) = &entry.event
            && status.state == TaskState::Running
            && let Some(task) = state.tasks.get(id)
        {
            let waited = task.status_at.since(task.created).0;
            MEASURES.scheduled(Duration::from_nanos(waited));
        }
    }
}

fn answer(reply: oneshot::Sender<Answer>, what: Answer) {
    // A caller that went away does not want its answer.
    drop(reply.send(what));
}

/// One command on a state of its own.
pub(crate) fn write(
    tip: &mut State,
    first: Position,
    envelope: Envelope,
    command: &Command,
    mut context: decide::Context,
    if_at: Option<Position>,
    touched: &mut Touched,
) -> Result<(Bytes, Arc<Batch>), Refusal> {
    if matches!(command, Command::Checkpoint) {
        // The leaves made here stay in the tip: `decide` works on a clone, `apply` compares, and neither makes them again.
        tip.digest();
    }
    let events = decide(tip, command, &mut context)?;
    if let Some(since) = if_at {
        decide::unchanged_since(tip, &events, since)?;
    }
    let too_large = || Refusal::TooLarge("the command", skein_events::record::BATCH_MAX);
    let (bytes, batch) =
        Batch::write(envelope, events, &mut context.ids).map_err(|_| too_large())?;
    tip.apply_batch(first, &batch, touched);
    Ok((bytes.into(), Arc::new(batch)))
}

thread_local! {
    static GUARDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether a panic on this thread is caught: the process's panic hook asks before it ends the process.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// The one place where a panic is caught: a command that breaks `decide` is refused, and nothing was written.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    result.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "a fault in decide".to_owned());
        Err(Refusal::Broken(text))
    })
}

impl Actor for LogActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Submit> for LogActor {
    type Result = ();
    fn handle(&mut self, submit: Submit, ctx: &mut Self::Context) {
        if self.queue.len() >= QUEUE {
            let text = "too many commands wait: ask again".to_owned();
            return answer(submit.reply, Answer::Failed(Failure::Unavailable(text)));
        }
        self.queue.push_back(submit);
        self.take_off(ctx);
    }
}

impl Handler<Deliver> for LogActor {
    type Result = ();
    fn handle(&mut self, deliver: Deliver, ctx: &mut Self::Context) {
        let mut touched = Touched::default();
        let before = self.state.position;
        for entry in &deliver.0 {
            match &mut self.flight {
                Some(flight)
                    if flight
                        .batches
                        .get(flight.delivered)
                        .is_some_and(|p| p.bytes == entry.bytes) =>
                {
                    flight.delivered += 1;
                    if flight.delivered == flight.batches.len() {
                        self.land(ctx);
                    }
                }
                Some(_) => {
                    // Another leader's entry: this writer lost the lead in the middle of a flight.
                    self.crash_land(&[]);
                    self.follow(entry, &mut touched);
                }
                None => self.follow(entry, &mut touched),
            }
        }
        if !touched.is_empty() || (self.flight.is_none() && self.state.position > before) {
            self.publish(touched);
        }
    }
}

impl Handler<Leads> for LogActor {
    type Result = ();
    fn handle(&mut self, Leads(term): Leads, ctx: &mut Self::Context) {
        if self.term == term {
            return;
        }
        self.term = term;
        if term.is_some() {
            self.has_led = true;
            // A new leader looks at everything once; nothing was handed over to it but the log.
            for listener in &mut self.listeners {
                listener.backlog = Touched::Everything;
            }
        }
        self.tell();
        self.take_off(ctx);
    }
}

impl Handler<Stop> for LogActor {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.listeners.clear();
        actix::ActorContext::stop(ctx);
    }
}

impl Handler<Beat> for LogActor {
    type Result = ();
    fn handle(&mut self, _: Beat, _: &mut Self::Context) {}
}

impl Handler<Listen> for LogActor {
    type Result = ();
    fn handle(&mut self, Listen(to): Listen, _: &mut Self::Context) {
        self.listeners.push(Listener { to, backlog: Touched::Everything });
        self.tell();
    }
}

/// Who a planner is to the log.
pub(crate) fn planner(name: skein_events::envelope::Planner) -> Caller {
    Caller {
        who: Who::Planner { name },
        client: concat!("skein/", env!("CARGO_PKG_VERSION")).to_owned(),
        reason: None,
        request: None,
        if_at: None,
    }
}
