//! The one list of everything that can happen.
//! A line here and a payload struct beside its noun make an event; the compiler then asks for its arm in `apply`.

use crate::cluster::event::{
    Checkpointed, ClusterCreated, ConsumerCreated, ConsumerMoved, ConsumerRemoved, LevelRaised,
    RecordRedacted, RedactionConfirmed,
};
use crate::id::ObjectId;
use crate::kind::Kind;
use crate::network::event::{NetworkCreated, NetworkRemoved};
use crate::node::event::{
    NodeDescribed, NodeFenced, NodeImageChanged, NodeJoined, NodeStateChanged, NodeUpdated,
    NodeVolumeChanged,
};
use crate::record::Malformed;
use crate::service::event::{
    ServiceCreated, ServiceRemoved, ServiceScaled, ServiceUpdateChanged, ServiceUpdateDelayed,
    ServiceUpdated,
};
use crate::task::event::{
    TaskAssigned, TaskCreated, TaskDesiredChanged, TaskExecStarted, TaskGone, TaskObstructed,
    TaskRemoved, TaskStatusChanged, TaskWithdrawn,
};

/// Declares payload structs with every derive a payload needs.
macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq,
            rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, serde::Serialize, serde::Deserialize,
        )]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}
pub(crate) use payloads;

macro_rules! events {
    ($($noun:ident $of_noun:ident {
        $($code:literal $version:literal $text:literal $name:ident,)*
    })*) => {
        /// Something that happened.
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        #[serde(untagged)]
        #[allow(missing_docs, clippy::large_enum_variant, reason = "each variant is its payload; an event is held by the one")]
        pub enum Event {
            $($($name($name),)*)*
        }

        /// Every kind there is, in order of its number.
        pub const KINDS: &[Kind] =
            &[$($(Kind { code: $code, version: $version, name: $text },)*)*];

        $(
            /// An event of one noun, so that its fold lists its own and no others.
            #[derive(Clone, Copy, Debug)]
            #[allow(missing_docs, clippy::enum_variant_names, reason = "each variant is named as its payload")]
            pub enum $of_noun<'a> {
                $($name(&'a $name),)*
            }
        )*

        /// An event, sorted by its noun.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs, reason = "each variant is a noun")]
        pub enum ByNoun<'a> {
            $($noun($of_noun<'a>),)*
        }

        impl Event {
            /// Its noun, and itself as one of that noun's events.
            pub fn by_noun(&self) -> ByNoun<'_> {
                match self {
                    $($(Self::$name(payload) => ByNoun::$noun($of_noun::$name(payload)),)*)*
                }
            }
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $($(Self::$name(_) => Kind { code: $code, version: $version, name: $text },)*)*
                }
            }
            /// Its payload's bytes at the current version.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $($(Self::$name(payload) => crate::codec::encode(payload),)*)*
                }
            }
            /// Reads a payload of any version ever published; the bytes' hash was checked before.
            pub fn decode(kind: u16, version: u16, bytes: &[u8]) -> Result<Self, Malformed> {
                match (kind, version) {
                    $($(($code, $version) => crate::codec::decode::<$name>(bytes).map(Self::$name),)*)*
                    _ => crate::upcast::decode(kind, version, bytes),
                }
            }
        }
        $($(impl From<$name> for Event {
            fn from(payload: $name) -> Self {
                Self::$name(payload)
            }
        })*)*
    };
}

events! {
    Cluster ClusterEvent {
        1 1 "cluster.created" ClusterCreated,
        2 1 "cluster.checkpointed" Checkpointed,
        3 1 "cluster.level-raised" LevelRaised,
        4 1 "cluster.record-redacted" RecordRedacted,
        5 1 "cluster.redaction-confirmed" RedactionConfirmed,
        6 1 "cluster.consumer-created" ConsumerCreated,
        7 1 "cluster.consumer-moved" ConsumerMoved,
        8 1 "cluster.consumer-removed" ConsumerRemoved,
    }
    Node NodeEvent {
        16 1 "node.joined" NodeJoined,
        17 1 "node.described" NodeDescribed,
        18 1 "node.state-changed" NodeStateChanged,
        19 1 "node.fenced" NodeFenced,
        20 1 "node.updated" NodeUpdated,
        21 1 "node.image-changed" NodeImageChanged,
        22 1 "node.volume-changed" NodeVolumeChanged,
    }
    Network NetworkEvent {
        32 2 "network.created" NetworkCreated,
        33 1 "network.removed" NetworkRemoved,
    }
    Service ServiceEvent {
        48 2 "service.created" ServiceCreated,
        49 1 "service.scaled" ServiceScaled,
        50 1 "service.removed" ServiceRemoved,
        51 1 "service.updated" ServiceUpdated,
        52 1 "service.update-changed" ServiceUpdateChanged,
        53 1 "service.update-delayed" ServiceUpdateDelayed,
    }
    Task TaskEvent {
        64 1 "task.created" TaskCreated,
        65 2 "task.assigned" TaskAssigned,
        66 1 "task.obstructed" TaskObstructed,
        67 1 "task.status-changed" TaskStatusChanged,
        68 1 "task.desired-changed" TaskDesiredChanged,
        69 1 "task.withdrawn" TaskWithdrawn,
        70 1 "task.gone" TaskGone,
        71 1 "task.removed" TaskRemoved,
        72 1 "task.exec-started" TaskExecStarted,
    }
}

impl Event {
    /// The object it is about; `None` means the swarm itself.
    pub fn subject(&self) -> Option<ObjectId> {
        Some(match self {
            Self::ClusterCreated(e) => ObjectId::Cluster(e.id),
            Self::Checkpointed(_)
            | Self::LevelRaised(_)
            | Self::RecordRedacted(_)
            | Self::RedactionConfirmed(_)
            | Self::ConsumerCreated(_)
            | Self::ConsumerMoved(_)
            | Self::ConsumerRemoved(_) => return None,
            Self::NodeJoined(e) => ObjectId::Node(e.id),
            Self::NodeDescribed(e) => ObjectId::Node(e.id),
            Self::NodeStateChanged(e) => ObjectId::Node(e.id),
            Self::NodeFenced(e) => ObjectId::Node(e.id),
            Self::NodeUpdated(e) => ObjectId::Node(e.id),
            Self::NodeImageChanged(e) => ObjectId::Node(e.node),
            Self::NodeVolumeChanged(e) => ObjectId::Node(e.node),
            Self::NetworkCreated(e) => ObjectId::Network(e.id),
            Self::NetworkRemoved(e) => ObjectId::Network(e.id),
            Self::ServiceCreated(e) => ObjectId::Service(e.id),
            Self::ServiceScaled(e) => ObjectId::Service(e.id),
            Self::ServiceRemoved(e) => ObjectId::Service(e.id),
            Self::ServiceUpdated(e) => ObjectId::Service(e.id),
            Self::ServiceUpdateChanged(e) => ObjectId::Service(e.id),
            Self::ServiceUpdateDelayed(e) => ObjectId::Service(e.id),
            Self::TaskCreated(e) => ObjectId::Task(e.id),
            Self::TaskAssigned(e) => ObjectId::Task(e.id),
            Self::TaskObstructed(e) => ObjectId::Task(e.id),
            Self::TaskStatusChanged(e) => ObjectId::Task(e.id),
            Self::TaskDesiredChanged(e) => ObjectId::Task(e.id),
            Self::TaskWithdrawn(e) => ObjectId::Task(e.id),
            Self::TaskGone(e) => ObjectId::Task(e.id),
            Self::TaskRemoved(e) => ObjectId::Task(e.id),
            Self::TaskExecStarted(e) => ObjectId::Task(e.id),
        })
    }
}
