//! What a node and its manager say to each other in a dispatch session, and the link they say it over.
//! Messages only: whether a link is a pair of queues, a QUIC stream or the simulator's wire is not seen here.
//!
//! ```text
//!  agent ── Hello ─────────────▶ dispatch        once per session
//!        ◀──────────── Assign ──                 everything first, then differences, in order
//!        ── Applied { position } ▶               DNS and kernel answer as of this position
//!        ── Report { seq, … } ───▶               what tasks came to; one in flight
//!        ◀──────── Reported { seq }              it is in the log
//!        ── Heartbeat ───────────▶
//! ```

use tokio::sync::mpsc;

use skein_events::command::Sighting;
use skein_events::id::{NodeId, TaskId};
use skein_events::node::Description;
use skein_events::record::Position;
use skein_events::view::assignment::Change;

/// Messages a link holds before the sender waits: a few changes, so that a slow node slows only itself.
pub const LINK_QUEUE: usize = 64;

/// From a node.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum FromNode {
    /// The first message of a session.
    Hello {
        /// Who speaks; the link's identity must agree.
        node: NodeId,
        /// Its machine.
        description: Description,
    },
    /// Names and tables on this node are as of this position.
    Applied {
        /// Epoch of the history.
        epoch: u32,
        /// The position.
        position: Position,
    },
    /// What became of tasks.
    Report {
        /// Counts reports of this session.
        seq: u64,
        /// In the order they were seen.
        sightings: Vec<(TaskId, Sighting)>,
    },
    /// Still here.
    Heartbeat,
}

/// To a node.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum ToNode {
    /// What is different from what was assigned before; the first one of a session starts from nothing.
    Assign(Box<Change>),
    /// A report is in the log, or told nothing new.
    Reported {
        /// Which.
        seq: u64,
    },
}

/// One end of a link: messages in order, until either end is dropped.
#[derive(Debug)]
pub struct Link<Out, In> {
    /// What this end sends.
    pub tx: mpsc::Sender<Out>,
    /// What this end hears.
    pub rx: mpsc::Receiver<In>,
}

/// The manager's end.
pub type ManagerLink = Link<ToNode, FromNode>;
/// The node's end.
pub type NodeLink = Link<FromNode, ToNode>;

/// A link within one process.
pub fn pair() -> (ManagerLink, NodeLink) {
    let (to_node, from_manager) = mpsc::channel(LINK_QUEUE);
    let (to_manager, from_node) = mpsc::channel(LINK_QUEUE);
    (Link { tx: to_node, rx: from_node }, Link { tx: to_manager, rx: from_manager })
}
