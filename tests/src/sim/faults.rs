//! What goes wrong, and when: each history switches on a random part of it, so that rare faults meet in pairs.

use std::rc::Rc;

use futures::FutureExt as _;
use skein_events::time::Span;
use skein_net::overlay::{Call, Fault};
use skein_runtime::api::Runtime as _;
use skein_runtime::signal::Signal;

use super::dice::Dice;
use super::time::nap;
use super::world::World;

/// Operations of the disk within which a loss of power is planned: every phase of a commit or two.
const OPERATIONS: u64 = 60;
/// A day, by which clocks step at most.
const DAY: i64 = 86_400_000_000_000;

/// Which faults a history has.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one switch a fault")]
pub(super) struct Mix {
    pub(super) disk: bool,
    pub(super) fsync: bool,
    pub(super) slow_disk: bool,
    pub(super) kill: bool,
    pub(super) host_power: bool,
    pub(super) steps: bool,
    pub(super) drift: bool,
    pub(super) containers: bool,
    pub(super) signals: bool,
    pub(super) kernel: bool,
    pub(super) cuts: bool,
    pub(super) delays: bool,
    pub(super) worker_power: bool,
    pub(super) worker_restart: bool,
}

impl Mix {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let likely = [20, 45, 70][dice.index(3)];
        let mut on = || dice.chance(likely);
        Self {
            disk: on(),
            fsync: on(),
            slow_disk: on(),
            kill: on(),
            host_power: on(),
            steps: on(),
            drift: on(),
            containers: on(),
            signals: on(),
            kernel: on(),
            cuts: on(),
            delays: on(),
            worker_power: on(),
            worker_restart: on(),
        }
    }

    fn kinds(self) -> Vec<Kind> {
        let all = [
            (self.disk, Kind::Disk),
            (self.fsync, Kind::Fsync),
            (self.kill, Kind::Kill),
            (self.steps, Kind::Step),
            (self.signals, Kind::Signal),
            (self.kernel, Kind::Kernel),
            (self.cuts, Kind::Cut),
            (self.delays, Kind::Delay),
            (self.worker_power, Kind::WorkerPower),
            (self.worker_restart, Kind::WorkerRestart),
        ];
        all.into_iter().filter_map(|(on, kind)| on.then_some(kind)).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Disk,
    Fsync,
    Kill,
    Step,
    Signal,
    Kernel,
    Cut,
    Delay,
    WorkerPower,
    WorkerRestart,
}

/// Lets things go wrong until dropped.
pub(super) async fn drive(world: Rc<World>) {
    let mut dice = world.dice.borrow().fork(11);
    let kinds = world.mix.kinds();
    if world.mix.disk && dice.chance(50) {
        // The very first commits of a history are cut off too.
        lose_power_soon(&world, &mut dice, 3 * OPERATIONS);
    }
    loop {
        nap(dice.millis(200, 6_000)).await;
        let Some(kind) = dice.pick(&kinds) else { return std::future::pending().await };
        match kind {
            Kind::Disk => lose_power_soon(&world, &mut dice, OPERATIONS),
            Kind::Fsync => {
                let n = 1 + dice.below(6);
                world.trace.line("m1", "fault", format_args!("fsync {n} from now fails"));
                world.disk.fail_sync_at(n);
            }
            Kind::Kill => {
                world.trace.line("m1", "fault", format_args!("power off"));
                world.crash.notify_one();
            }
            Kind::Step => {
                let most = [DAY, 60_000_000_000, 2_000_000_000][dice.index(3)];
                let by = i64::try_from(dice.below(most.unsigned_abs() * 2)).unwrap_or(0) - most;
                world.trace.line("m1", "fault", format_args!("clock steps by {by} ns"));
                world.clock.step(by);
            }
            Kind::Signal => {
                if let Some((machine, id)) = dice.pick(&world.running()) {
                    world.trace.line(
                        &machine.name,
                        "fault",
                        format_args!("container {} is killed", &id.to_string()[..8]),
                    );
                    // It may end by itself at this moment.
                    drop(machine.runtime.signal(id, Signal::KILL).await);
                }
            }
            Kind::Kernel => kernel(&world, &mut dice),
            Kind::Cut => {
                let n = dice.index(world.workers.len());
                // Shorter than any patience, longer than a session's, longer than a node's grace.
                let most = [2_000, 12_000, 40_000][dice.index(3)];
                let span = dice.millis(100, most);
                world.trace.line(
                    &world.workers[n].machine.name,
                    "fault",
                    format_args!("link cut for {span}"),
                );
                world.workers[n].wire.cut.set(true);
                let there = Rc::clone(&world);
                world.outer.spawn_local(async move {
                    nap(span).await;
                    there.workers[n].wire.cut.set(false);
                });
            }
            Kind::Delay => {
                let n = dice.index(world.workers.len());
                let most = [2, 50, 400][dice.index(3)];
                world.trace.line(
                    &world.workers[n].machine.name,
                    "fault",
                    format_args!("messages take up to {most} ms"),
                );
                world.workers[n].wire.delay.set(most);
            }
            Kind::WorkerPower => end_worker(&world, &mut dice, true),
            Kind::WorkerRestart => end_worker(&world, &mut dice, false),
        }
    }
}

fn lose_power_soon(world: &World, dice: &mut Dice, within: u64) {
    let n = 1 + dice.below(within);
    world.trace.line("m1", "fault", format_args!("power is lost at disk operation {n} from now"));
    world.disk.lose_power_at(n);
}

fn kernel(world: &World, dice: &mut Dice) {
    let machines: Vec<_> = world.machines().collect();
    let machine = machines[dice.index(machines.len())];
    let call = [Call::Sync, Call::Attach, Call::Detach][dice.index(3)];
    let slow = dice.chance(50);
    let fault = if slow {
        let span = dice.millis(100, 5_000);
        Fault::Slow(nap(span).boxed())
    } else {
        Fault::Fail
    };
    let how = if slow { "slow" } else { "refused" };
    world.trace.line(&machine.name, "fault", format_args!("kernel: next {call:?} is {how}"));
    machine.kernel.plan(call, fault);
}

fn end_worker(world: &World, dice: &mut Dice, power: bool) {
    let worker = &world.workers[dice.index(world.workers.len())];
    // Short of a session's patience, and beyond a node's grace.
    let most = [1_000, 10_000, 40_000][dice.index(3)];
    let off = 10 + dice.below(most);
    let what = if power { "machine loses power" } else { "daemon is killed" };
    world.trace.line(
        &worker.machine.name,
        "fault",
        format_args!("{what} for {}", Span::millis(off)),
    );
    worker.power.set(power);
    worker.off.set(off);
    worker.end.notify_one();
}

/// Nothing more goes wrong, and what is wrong ends.
pub(super) fn heal(world: &World) {
    world.trace.line("sim", "heal", format_args!("nothing more goes wrong"));
    world.healed.store(true, std::sync::atomic::Ordering::Relaxed);
    world.disk.heal();
    world
        .disk
        .set_latency(std::time::Duration::from_micros(100), std::time::Duration::from_millis(2));
    for worker in &world.workers {
        worker.wire.heal();
        worker.off.set(10);
    }
}
