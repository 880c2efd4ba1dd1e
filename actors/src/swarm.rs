//! One membership of a swarm, running: the log, consensus, the one writer, an actor per noun, dispatch, the local agent.
//! Assembled here for the daemon and for the simulator alike; what differs are the seams.

use std::path::PathBuf;
use std::sync::Arc;

use actix::{Actor, Addr};
use arc_swap::ArcSwap;
use imbl::OrdMap;
use tokio::sync::{oneshot, watch};

use skein_events::command::Command;
use skein_events::envelope::Who;
use skein_events::id::NodeId;
use skein_events::node::Description;
use skein_events::plan::PARTS;
use skein_events::record::Position;
use skein_events::state::State;
use skein_net::backend::{Caller, Committed, Failure, Head};
use skein_net::session;
use skein_store::{Disk, Log, Options};

use crate::agent::{AgentActor, Tools};
use crate::clock::{Clock, ClusterTime, Entropy};
use crate::consensus::{self, Seat, Settings};
use crate::dispatch::{Connect, DispatchActor};
use crate::history;
use crate::log::{Acked, Answer, LogActor, Published, Stop, Submit, Writer};
use crate::noun::NounActor;
use crate::snapshots::{self, Snapshots};
use crate::spawner::Spawner;

/// What ends the process, and why: called when going on would be wrong.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Everything a swarm stands on that the simulator replaces.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Threads.
    pub spawner: Arc<dyn Spawner>,
    /// Ends the process.
    pub fatal: Fatal,
}

/// A running membership, as the API uses it. Shared with every thread.
#[derive(Clone)]
pub struct Face {
    /// This machine's node.
    pub node: NodeId,
    /// The log on disk.
    pub log: Log,
    /// The one writer.
    pub writer: Addr<LogActor>,
    /// Newest state and end of the log.
    pub published: Published,
    /// Cluster time.
    pub time: Arc<ClusterTime>,
}

/// A running membership.
pub struct Swarm {
    /// Its face.
    pub face: Face,
    /// Consensus.
    pub seat: Seat,
    /// The manager's end of sessions.
    pub dispatch: Addr<DispatchActor>,
}

/// Why a membership cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be used.
    #[error("{0}")]
    Log(#[from] skein_store::Error),
    /// What the log says cannot be.
    #[error("{0}")]
    History(String),
    /// Consensus does not start.
    #[error("{0}")]
    Consensus(#[from] consensus::Error),
    /// The disk refused.
    #[error("cannot use {path}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Swarm {
    /// Opens the log, replays it, takes the seat, starts the actors. Runs on the actors' thread.
    pub fn start(
        seams: &Seams,
        disk: Arc<dyn Disk>,
        node: NodeId,
        number: u64,
    ) -> Result<Self, Error> {
        let fatal = Arc::clone(&seams.fatal);
        let (log, writer) = Log::open(disk, Options::default(), move |text| fatal(text))?;
        seams.spawner.spawn("log-writer", Box::new(move || Box::pin(writer.run())));
        let state = history::newest(&log).map_err(|e| Error::History(e.to_string()))?;
        let state = Arc::new(state);
        let time = Arc::new(ClusterTime::new(Arc::clone(&seams.clock)));
        let head = Head { position: state.position, epoch: state.epoch };
        let published = Published {
            state: Arc::new(ArcSwap::from(Arc::clone(&state))),
            head: watch::Sender::new(head),
        };
        let acked: Acked = Arc::new(ArcSwap::from_pointee(OrdMap::new()));
        let [a, b, c, d, e, f, g, h, ..] = seams.entropy.seed();
        let fatal = Arc::clone(&seams.fatal);
        let snapshots = Snapshots {
            log: log.clone(),
            published: published.clone(),
            spawner: Arc::clone(&seams.spawner),
        };
        let newest = log.newest_snapshot()?;
        let settings = Settings {
            node: number,
            seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            snapshots: Some(Arc::new(snapshots)),
            fatal: Box::new(move |text| fatal(text)),
        };
        let (seat, deliveries) = consensus::start(&*seams.spawner, log.clone(), settings);
        let writer = LogActor::new(Writer {
            state,
            consensus: Box::new(seat.clone()),
            time: Arc::clone(&time),
            entropy: Arc::clone(&seams.entropy),
            acked: Arc::clone(&acked),
            published: published.clone(),
        })
        .start();
        actix::spawn(consensus::deliver(deliveries, seat.leadership(), writer.clone()));
        actix::spawn(snapshots::keep(published.clone(), newest, seat.clone()));
        for part in PARTS {
            NounActor::spawn(part, writer.clone(), Arc::clone(&time));
        }
        let dispatch = DispatchActor::spawn(writer.clone(), Arc::clone(&seams.clock), acked);
        let face = Face { node, log, writer, published, time };
        Ok(Self { face, seat, dispatch })
    }

    /// Waits until the state holds everything that was acknowledged before this start: how far the log was agreed on is
    /// known again only when this manager leads. `false` if there is no first entry, so that it never will.
    pub async fn caught_up(&self) -> Result<bool, consensus::Error> {
        if !self.seat.is_initialized().await? {
            return Ok(false);
        }
        let stopped = |_| consensus::Error::Stopped;
        let mut leadership = self.seat.leadership();
        let index = loop {
            leadership.wait_for(|l| l.leads).await.map_err(stopped)?;
            match self.seat.read_index().await {
                Err(consensus::Error::NotLeader) => {}
                answer => break answer?,
            }
        };
        self.face.log.watch_head().wait_for(|h| h.index >= Some(index)).await.map_err(stopped)?;
        let wanted = self.face.log.head().position;
        let mut head = self.face.published.head.subscribe();
        head.wait_for(|h| h.position >= wanted).await.map_err(stopped)?;
        Ok(true)
    }

    /// Starts the agent of this machine, over a link within this process.
    pub fn start_agent(&self, description: Description, tools: Tools) -> Addr<AgentActor> {
        let dispatch = self.dispatch.clone();
        let connect = Box::new(move || {
            let dispatch = dispatch.clone();
            let (manager, node) = session::pair();
            let link: futures::future::LocalBoxFuture<'static, _> =
                Box::pin(async move { dispatch.send(Connect(manager)).await.ok().map(|()| node) });
            link
        });
        AgentActor::spawn(self.face.node, description, tools, connect)
    }

    /// Erases what was ordered to be erased and confirms it: the daemon may have ended before, in between or after.
    pub async fn finish_redactions(&self) -> Result<(), Failure> {
        let state = self.face.published.state.load_full();
        for (&(node, position), order) in &state.unconfirmed {
            if node != self.face.node {
                continue;
            }
            if matches!(history::detachable(&self.face.log, position)?, Some((true, _))) {
                self.face.log.redact(position).await.map_err(history::broken)?;
            }
            let caller = Caller {
                who: Who::Node { id: node },
                client: concat!("skein/", env!("CARGO_PKG_VERSION")).to_owned(),
                reason: None,
                request: None,
                if_at: None,
            };
            let confirm = Command::ConfirmRedaction { position, node };
            self.face.submit(caller, Some(*order), confirm).await?;
        }
        Ok(())
    }

    /// Ends everything but the agent.
    pub async fn stop(self) {
        // An actor that has ended needs no telling.
        let _ = self.face.writer.send(Stop).await;
        self.seat.stop().await;
    }
}

impl Face {
    /// The newest state.
    pub fn state(&self) -> Arc<State> {
        self.published.state.load_full()
    }

    /// Decides and commits a command.
    pub async fn submit(
        &self,
        caller: Caller,
        cause: Option<Position>,
        command: Command,
    ) -> Result<Committed, Failure> {
        let (reply, answer) = oneshot::channel();
        let gone = || Failure::Unavailable("this node is leaving the swarm".to_owned());
        self.writer.send(Submit { caller, cause, command, reply }).await.map_err(|_| gone())?;
        match answer.await.map_err(|_| Failure::Unknown)? {
            Answer::Committed(committed) => Ok(committed),
            Answer::Failed(failure) => Err(failure),
            Answer::Repeated { first, last } => self.answered_before(first, last).await,
        }
    }

    /// The answer to a request that was answered before.
    async fn answered_before(&self, first: Position, last: Position) -> Result<Committed, Failure> {
        let mut head = self.published.head.subscribe();
        head.wait_for(|h| h.position >= last).await.map_err(|_| Failure::Unknown)?;
        let logged = history::read(&self.log, first, 1)?;
        let batch = logged.into_iter().next().ok_or(Failure::Unknown)?.batch;
        Ok(Committed { first, last, batch, state: self.state() })
    }
}
