//! A whole swarm from its real parts on simulated ground: one manager, some workers, everything that goes wrong drawn from a
//! seed. One tokio runtime on virtual time; nothing here sleeps, and the same seed gives the same bytes. See docs/simulator.md.

mod audit;
mod book;
pub mod check;
mod dice;
mod fate;
mod faults;
mod heal;
mod judge;
mod link;
mod load;
mod machine;
mod panics;
mod rules;
mod time;
mod trace;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::rc::Rc;

use skein_events::command::Command;
use skein_events::time::Span;
use tokio::runtime::RngSeed;

use check::{Check, Violation};
use load::Client;
use time::nap;
use world::World;

pub use panics::watch_panics;

/// Clients at work.
const CLIENTS: u64 = 3;
/// The machines are judged so often.
const LOOK: Span = Span::millis(250);
/// No history is longer than this.
const END_OF_TIME: std::time::Duration = std::time::Duration::from_secs(1_200);

/// What became of a history.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What happened, line by line.
    pub trace: String,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// Records in the log.
    pub records: u64,
    /// Commands that were acknowledged, refused, and asked again for want of an answer.
    pub commands: (u64, u64, u64),
    /// Incarnations of the manager.
    pub incarnations: u64,
    /// Operations of the manager's disk.
    pub operations: u64,
    /// Virtual time it took.
    pub took: Span,
    /// How often each kind of event happened.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// Lives one history; `live` prints its trace as it happens.
///
/// # Panics
/// If the runtime cannot be made.
pub fn run(seed: u64, live: bool) -> Outcome {
    drop(panics::take());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .expect("a runtime without input and output");
    runtime.block_on(async {
        let world = World::new(seed, live);
        let outer = Rc::clone(&world.outer);
        outer.run_until(history(Rc::clone(&world), seed)).await;
        outcome(&world, seed)
    })
}

async fn history(world: Rc<World>, seed: u64) {
    world.trace.line("sim", "seed", format_args!("{seed}: {:?}", world.mix));
    let whole = async {
        if let Err((check, text)) = live(&world).await {
            world.violate(check, text);
        }
    };
    let violated = world.violated.notified();
    futures::pin_mut!(whole, violated);
    let either = futures::future::select(whole, violated);
    if tokio::time::timeout(END_OF_TIME, either).await.is_err() {
        world.violate(Check::Converges, "the history does not end".to_owned());
    }
    let seconds = world.time.elapsed();
    world.trace.line("sim", "end", format_args!("after {seconds}"));
}

async fn live(world: &Rc<World>) -> Result<(), (Check, String)> {
    let mut root = world.dice.borrow().fork(21);
    let client =
        |name: String, n: u64| Client { world: Rc::clone(world), name, dice: root.fork(100 + n) };
    let outer = &world.outer;
    outer.spawn_local(machine::manager(Rc::clone(world)));
    outer.spawn_local(look(Rc::clone(world)));
    let driver = outer.spawn_local(faults::drive(Rc::clone(world)));
    let mut founder = client("c0".to_owned(), 0);
    let genesis = load::genesis(world, &mut founder.dice);
    founder.ask(genesis, "make the swarm").await;
    for n in 0..world.workers.len() {
        let name = world.workers[n].machine.name.clone();
        let mut client = client(name, 50 + n as u64);
        let world = Rc::clone(world);
        outer.spawn_local(async move {
            client.ask(Command::JoinNode(world.workers[n].machine.member()), "join").await;
            machine::worker(world, n).await;
        });
    }
    let clients: Vec<_> =
        (1..=CLIENTS).map(|n| outer.spawn_local(client(format!("c{n}"), n).work())).collect();
    let healer = client("c9".to_owned(), 9);
    nap(root.millis(10_000, 50_000)).await;
    driver.abort();
    for client in clients {
        client.abort();
    }
    faults::heal(world);
    heal::comes_to_rest(world, healer).await?;
    heal::comes_back(world).await
}

/// Judges the machines, and finds out about panics, as long as the world lives.
async fn look(world: Rc<World>) {
    loop {
        nap(LOOK).await;
        if let Err((check, text)) = judge::machines(&world) {
            world.violate(check, text);
        }
        for text in panics::take() {
            world.violate(Check::NoPanic, text);
        }
    }
}

fn outcome(world: &World, seed: u64) -> Outcome {
    for text in panics::take() {
        world.violate(Check::NoPanic, text);
    }
    let (book, watch) = (world.book.borrow(), world.watch.borrow());
    Outcome {
        seed,
        trace: world.trace.take(),
        violations: world.violations.take(),
        records: watch.records,
        commands: (book.acked.len() as u64, book.refused, book.unknown),
        incarnations: *world.up.borrow(),
        operations: world.disk.operations().0,
        took: world.time.elapsed(),
        kinds: watch.kinds.clone(),
    }
}
