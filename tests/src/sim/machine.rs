//! Lives of daemons: an incarnation is a `LocalSet`; loss of power severs the disk and drops the set, and nothing of it runs on.
//! The disk, the containers and the kernel outlive the daemon.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use skein_actors::agent::AgentActor;
use skein_actors::consensus::Error;
use skein_actors::spawner::Here;
use skein_actors::swarm::{Seams, Swarm};
use skein_events::time::Span;
use skein_store::Disk;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::check::Check;
use super::link;
use super::time::nap;
use super::world::{Reached, World};

/// Why an incarnation of the manager ended.
enum End {
    Power,
    Killed,
    Fatal(String),
    NotStarted(String),
}

/// The manager's machine, from the first start to the end of the world.
pub(super) async fn manager(world: Rc<World>) {
    for incarnation in 1u64.. {
        let lost = world.disk.power_lost();
        let set = LocalSet::new();
        let (fatal, mut said) = mpsc::unbounded_channel();
        let end = {
            let life = set.run_until(reign(Rc::clone(&world), incarnation, fatal));
            futures::pin_mut!(life, lost);
            tokio::select! {
                biased;
                () = lost => End::Power,
                text = said.recv() => End::Fatal(text.unwrap_or_default()),
                () = world.crash.notified() => End::Killed,
                text = life => End::NotStarted(text),
            }
        };
        world.manager.replace(None);
        let powered = matches!(end, End::Power);
        if !powered {
            world.disk.lose_power();
        }
        drop(set);
        let why = match end {
            End::Power => "lost power at a disk operation".to_owned(),
            End::Killed => "lost power".to_owned(),
            End::Fatal(text) => format!("ended itself: {text}"),
            // A start that meets a fault of the disk ends; the next one is tried.
            End::NotStarted(text) if text.contains("(EIO)") => format!("did not start: {text}"),
            End::NotStarted(text) => {
                world.violate(Check::Opens, text.clone());
                format!("did not start: {text}")
            }
        };
        world.trace.line("m1", "down", format_args!("incarnation {incarnation} {why}"));
        if world.mix.host_power && !world.healed.load(Ordering::Relaxed) {
            world.host.runtime.power_off();
        }
        let rest = world.dice.borrow_mut().millis(1, 8_000);
        nap(if world.healed.load(Ordering::Relaxed) { Span::millis(10) } else { rest }).await;
    }
}

/// One incarnation; ends only if it cannot start.
async fn reign(world: Rc<World>, incarnation: u64, fatal: mpsc::UnboundedSender<String>) -> String {
    let seams = Seams {
        clock: Arc::clone(&world.clock) as _,
        entropy: Arc::clone(&world.entropy) as _,
        spawner: Arc::new(Here),
        fatal: Arc::new(move |text| {
            // The first word counts.
            let _ = fatal.send(text.to_owned());
        }),
    };
    let disk: Arc<dyn Disk> = Arc::new(world.disk.mount());
    let swarm = match Swarm::start(&seams, disk, world.host.id, 1) {
        Ok(swarm) => swarm,
        Err(error) => {
            // Whether power was lost meanwhile is known to the one who polls this.
            tokio::task::yield_now().await;
            return error.to_string();
        }
    };
    let face = swarm.face.clone();
    world.trace.line(
        "m1",
        "up",
        format_args!("incarnation {incarnation} at {}", face.log.head().position),
    );
    super::audit::audit(&world, &face);
    match swarm.seat.initialize("127.0.0.1:2377".to_owned()).await {
        // A history that begins twice: the first time it did not come far enough to be kept.
        Ok(()) | Err(Error::Initialized | Error::NotLeader | Error::Stopped) => {}
    }
    if let Err(error) = swarm.finish_redactions().await {
        world.trace.line("m1", "redact", format_args!("not finished: {error}"));
    }
    let agent = swarm.start_agent(world.host.description(), world.host.tools(&world.clock));
    let dispatch = swarm.dispatch.clone();
    world.manager.replace(Some(Reached { face: face.clone(), dispatch }));
    world.up.send_modify(|n| *n += 1);
    let mut head = face.published.head.subscribe();
    loop {
        super::watch::catch_up(&world, &face);
        if head.changed().await.is_err() {
            break;
        }
    }
    drop((agent, swarm));
    std::future::pending().await
}

/// A worker's machine: its daemon starts, ends, starts again.
pub(super) async fn worker(world: Rc<World>, n: usize) {
    let me = &world.workers[n];
    let name = me.machine.name.clone();
    loop {
        let set = LocalSet::new();
        world.trace.line(&name, "up", format_args!("the daemon starts"));
        {
            let life = set.run_until(async {
                let world = Rc::clone(&world);
                let (machine, tools) = (&me.machine, me.machine.tools(&world.clock));
                let connect = Box::new(move || {
                    let world = Rc::clone(&world);
                    let link: futures::future::LocalBoxFuture<'static, _> =
                        Box::pin(link::connect(world, n));
                    link
                });
                let agent = AgentActor::spawn(machine.id, machine.description(), tools, connect);
                std::future::pending::<()>().await;
                drop(agent);
            });
            futures::pin_mut!(life);
            tokio::select! {
                biased;
                () = me.end.notified() => {}
                () = life => {}
            }
        }
        drop(set);
        if me.power.get() {
            me.machine.runtime.power_off();
            use skein_net::overlay::Kernel as _;
            me.machine.kernel.remove_all().await.expect("a fake kernel forgets");
        }
        nap(Span::millis(me.off.get())).await;
    }
}
