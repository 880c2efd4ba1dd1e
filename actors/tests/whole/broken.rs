//! A command that breaks `decide` or `apply` ends nothing: it is refused, and what stands before and after it in the same
//! flight is committed as if it had never come.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Addr};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use imbl::OrdMap;
use tokio::sync::{oneshot, watch};

use skein_actors::clock::{ClusterTime, SystemClock};
use skein_actors::log::{
    Answer, Consensus, Deliver, Delivered, Leads, LogActor, Published, Submit, Verdict, Writer,
};
use skein_events::codec::Batch;
use skein_events::command::{Command, NewTask};
use skein_events::id::ServiceId;
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::service::{EndpointMode, ServiceSpec};
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::time::Span;
use skein_net::backend::{Failure, Head};

use super::{Counted, cluster, network, service, user};

/// Commits whatever it is given, and keeps the flights.
#[derive(Clone, Default)]
struct Agrees {
    flights: Rc<RefCell<Vec<Vec<Bytes>>>>,
    writer: Rc<RefCell<Option<Addr<LogActor>>>>,
    end: Rc<RefCell<Position>>,
}

impl Consensus for Agrees {
    fn propose(&self, _: u64, flight: Vec<Bytes>) -> LocalBoxFuture<'static, Vec<Verdict>> {
        let agrees = self.clone();
        Box::pin(async move {
            let entries = flight.iter().map(|bytes| {
                let first = agrees.end.borrow().next();
                agrees.end.borrow_mut().0 +=
                    Batch::read(bytes).expect("it was just made").entries.len() as u64;
                Delivered { first, bytes: bytes.clone() }
            });
            let entries: Vec<_> = entries.collect();
            let writer = agrees.writer.borrow().clone().expect("it is known before it leads");
            writer.send(Deliver(entries)).await.expect("it lives");
            let verdicts = vec![Verdict::Committed; flight.len()];
            agrees.flights.borrow_mut().push(flight);
            verdicts
        })
    }
}

fn submit(writer: &Addr<LogActor>, command: Command) -> oneshot::Receiver<Answer> {
    let (reply, answer) = oneshot::channel();
    writer.try_send(Submit { caller: user(), cause: None, command, reply }).expect("there is room");
    answer
}

/// Carries out commands, one flight each, and gives the state after them.
async fn state_after(commands: Vec<Command>) -> Arc<State> {
    let (writer, published, _) = writer(State::default()).await;
    writer.send(Leads(Some(1))).await.expect("it lives");
    for command in commands {
        let answer = submit(&writer, command).await.expect("an answer");
        assert!(matches!(answer, Answer::Committed(_)), "{answer:?}");
    }
    published.state.load_full()
}

async fn writer(state: State) -> (Addr<LogActor>, Published, Agrees) {
    let published = Published {
        state: Arc::new(ArcSwap::from_pointee(state.clone())),
        head: watch::Sender::new(Head { position: state.position, epoch: state.epoch }),
    };
    let agrees = Agrees::default();
    *agrees.end.borrow_mut() = state.position;
    let writer = LogActor::new(Writer {
        state: Arc::new(state),
        consensus: Box::new(agrees.clone()),
        time: Arc::new(ClusterTime::new(Arc::new(SystemClock::default()))),
        entropy: Arc::new(Counted(0.into())),
        acked: Arc::new(ArcSwap::from_pointee(OrdMap::new())),
        published: published.clone(),
    })
    .start();
    *agrees.writer.borrow_mut() = Some(writer.clone());
    (writer, published, agrees)
}

#[test]
fn a_command_that_breaks_the_core_is_refused_and_the_flight_goes_on_without_it() {
    actix::System::new().block_on(async {
        let spec = ServiceSpec { endpoint: EndpointMode::Unnamed, ..service() };
        let made = vec![
            cluster(),
            network("mesh"),
            Command::CreateService { spec: Box::new(spec), env: vec![] },
        ];
        let mut state = State::clone(&*state_after(made).await);
        let id: ServiceId = *state.services.keys().next().unwrap();
        // Cannot be: what a service runs outlives it. So making a task of it breaks off in the middle of `apply`.
        state.versions.clear();
        let before = state.clone();
        let (writer, published, agrees) = writer(state).await;
        let task = NewTask { slot: 1, replaces: None, delay: Span(0), beside: false };
        // It does not lead yet: all three wait for each other and make one flight.
        let one = submit(&writer, network("one"));
        let broken = submit(&writer, Command::CreateTasks { service: id, tasks: vec![task] });
        let two = submit(&writer, network("two"));
        writer.send(Leads(Some(1))).await.unwrap();
        let (one, broken, two) = (one.await.unwrap(), broken.await.unwrap(), two.await.unwrap());

        let Answer::Failed(Failure::Refused(Refusal::Broken(text))) = broken else {
            panic!("{broken:?}")
        };
        assert_eq!(text, "a task's version exists");
        let (Answer::Committed(one), Answer::Committed(two)) = (one, two) else {
            panic!("both are committed")
        };
        assert_eq!(two.first, one.last.next(), "nothing was appended for what was refused");
        assert_eq!(agrees.flights.borrow().iter().map(Vec::len).collect::<Vec<_>>(), [2]);

        let after = published.state.load_full();
        let mut folded = before;
        for bytes in &agrees.flights.borrow()[0] {
            let batch = Batch::read(bytes).unwrap();
            folded.apply_batch(folded.position.next(), &batch, &mut Touched::Ignored);
        }
        assert_eq!(State::clone(&after).digest(), folded.digest(), "the state is the log's fold");
        assert_eq!((after.tasks.len(), &after.index), (0, &folded.index), "no trace of the task");

        let three = submit(&writer, network("three")).await.unwrap();
        let Answer::Committed(three) = three else { panic!("{three:?}") };
        assert_eq!(three.first, two.last.next(), "and it goes on");
    });
}
