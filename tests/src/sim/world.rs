//! The simulated world: one manager, some workers, the wires between them, and what everybody shares.
//! Single-threaded; no borrow is held across an await.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::Addr;
use skein_actors::agent::Tools;
use skein_actors::agent::findings::Findings;
use skein_actors::agent::names::Silent;
use skein_actors::dispatch::DispatchActor;
use skein_actors::images::Images;
use skein_actors::member::Membership;
use skein_actors::swarm::Face;
use skein_events::command::NewNode;
use skein_events::id::{NodeId, TaskId};
use skein_events::node::{Availability, Description, Role};
use skein_events::unit::{Bytes, NanoCpus};
use skein_net::overlay::Fake;
use skein_runtime::api::Runtime;
use skein_runtime::fake::FakeRuntime;
use skein_store::SimDisk;
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::book::Book;
use super::check::{Check, Violation};
use super::dice::Dice;
use super::fate;
use super::faults::Mix;
use super::link::Wire;
use super::time::{SimClock, SimEntropy, TrueTime, nap};
use super::trace::Trace;
use super::watch::Watch;

/// More violations than this say nothing new.
const ENOUGH: usize = 20;

/// A running manager, as the rest of the world reaches it.
#[derive(Clone)]
pub(super) struct Reached {
    pub(super) face: Face,
    pub(super) dispatch: Addr<DispatchActor>,
}

/// What a machine is, whatever becomes of the daemon on it.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) id: NodeId,
    pub(super) number: u8,
    pub(super) runtime: FakeRuntime,
    pub(super) kernel: Arc<Fake>,
    pub(super) cpus: u64,
}

/// A worker: its machine, its wire, and how its daemon is ended from outside.
pub(super) struct Worker {
    pub(super) machine: Machine,
    pub(super) wire: Wire,
    pub(super) end: Notify,
    /// Whether the end takes the machine's power too.
    pub(super) power: Cell<bool>,
    /// How long it stays off, in milliseconds.
    pub(super) off: Cell<u64>,
}

/// See the file's head.
pub(super) struct World {
    pub(super) time: TrueTime,
    pub(super) trace: Trace,
    pub(super) dice: RefCell<Dice>,
    pub(super) mix: Mix,
    pub(super) outer: Rc<LocalSet>,
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<SimClock>,
    pub(super) entropy: Arc<SimEntropy>,
    pub(super) host: Machine,
    pub(super) crash: Notify,
    pub(super) manager: RefCell<Option<Reached>>,
    /// Counts incarnations of the manager that came up.
    pub(super) up: watch::Sender<u64>,
    pub(super) workers: Vec<Worker>,
    /// From here on nothing more goes wrong.
    pub(super) healed: Arc<AtomicBool>,
    pub(super) book: RefCell<Book>,
    pub(super) watch: RefCell<Watch>,
    pub(super) violations: RefCell<Vec<Violation>>,
    pub(super) violated: Notify,
}

fn machine(seed: u64, number: u8, mix: &Mix, time: TrueTime, healed: &Arc<AtomicBool>) -> Machine {
    let runtime = FakeRuntime::new(
        Arc::new(|span| Box::pin(nap(span))),
        Arc::new(move || time.wall()),
        fate::plan(seed, mix.containers, Arc::clone(healed)),
    );
    runtime.add_image(fate::IMAGE);
    let mut dice = Dice::new(seed).fork(u64::from(number) + 50);
    Machine {
        name: if number == 1 { "m1".to_owned() } else { format!("w{number}") },
        id: NodeId::from_random(dice.bytes16()),
        number,
        runtime,
        kernel: Arc::new(Fake::new()),
        cpus: 1 + dice.below(3),
    }
}

impl Machine {
    pub(super) fn description(&self) -> Description {
        Description {
            hostname: self.name.clone(),
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
            cpus: NanoCpus(self.cpus * 1_000_000_000),
            memory: Bytes(4 << 30),
            engine: "sim".to_owned(),
        }
    }

    pub(super) fn member(&self) -> NewNode {
        NewNode {
            id: self.id,
            role: if self.number == 1 { Role::Manager } else { Role::Worker },
            availability: Availability::Active,
            address: Ipv4Addr::new(192, 168, 0, self.number),
            port: 2377,
            description: self.description(),
        }
    }

    pub(super) fn tools(&self, clock: &Arc<SimClock>) -> Tools {
        let runtime = Arc::new(self.runtime.clone()) as Arc<dyn Runtime>;
        Tools {
            findings: Arc::new(Findings::new(Arc::clone(clock) as _)),
            runtime: Arc::clone(&runtime),
            images: Images {
                runtime,
                membership: Membership::default(),
                clock: Arc::clone(clock) as _,
            },
            kernel: Arc::clone(&self.kernel) as _,
            names: Arc::new(Silent),
        }
    }
}

impl World {
    pub(super) fn new(seed: u64, live: bool) -> Rc<Self> {
        let time = TrueTime::start();
        let root = Dice::new(seed);
        let mut dice = root.fork(1);
        let mix = Mix::draw(&mut root.fork(2));
        let healed = Arc::new(AtomicBool::new(false));
        let drift = |dice: &mut Dice, on: bool| {
            if on { i64::try_from(dice.below(401)).unwrap_or(0) - 200 } else { 0 }
        };
        let (wall, steady) = (drift(&mut dice, mix.drift), drift(&mut dice, mix.drift));
        let workers = 2 + u8::try_from(dice.below(3)).unwrap_or(0);
        let disk = SimDisk::new(seed);
        let slowest = if mix.slow_disk { 80 } else { 4 };
        disk.set_latency(
            std::time::Duration::from_micros(100),
            std::time::Duration::from_millis(slowest),
        );
        let worker = |n| Worker {
            machine: machine(seed, n, &mix, time, &healed),
            wire: Wire::default(),
            end: Notify::new(),
            power: Cell::new(false),
            off: Cell::new(0),
        };
        Rc::new(Self {
            time,
            trace: Trace::new(time, live),
            dice: RefCell::new(dice),
            outer: Rc::new(LocalSet::new()),
            disk,
            clock: Arc::new(SimClock::new(time, wall, steady)),
            entropy: Arc::new(SimEntropy(root.fork(3).into())),
            host: machine(seed, 1, &mix, time, &healed),
            crash: Notify::new(),
            manager: RefCell::default(),
            up: watch::Sender::new(0),
            workers: (2..2 + workers).map(worker).collect(),
            mix,
            healed,
            book: RefCell::default(),
            watch: RefCell::new(Watch::new(time)),
            violations: RefCell::default(),
            violated: Notify::new(),
        })
    }

    /// Something does not hold.
    pub(super) fn violate(&self, check: Check, text: String) {
        self.trace.line("sim", "VIOLATED", format_args!("{check}: {text}"));
        let mut violations = self.violations.borrow_mut();
        if violations.len() < ENOUGH {
            violations.push(Violation { check, text });
        }
        self.violated.notify_one();
    }

    /// The manager that runs; waits for one.
    pub(super) async fn reach(&self) -> Reached {
        let mut up = self.up.subscribe();
        loop {
            if let Some(manager) = self.manager.borrow().clone() {
                return manager;
            }
            up.changed().await.expect("the world outlives its waiters");
        }
    }

    pub(super) fn machines(&self) -> impl Iterator<Item = &Machine> {
        std::iter::once(&self.host).chain(self.workers.iter().map(|w| &w.machine))
    }

    /// Every container that runs, and where.
    pub(super) fn running(&self) -> Vec<(&Machine, TaskId)> {
        self.machines().flat_map(|m| m.runtime.running().into_iter().map(move |t| (m, t))).collect()
    }
}
