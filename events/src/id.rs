//! Object ids as Swarm prints them: 25 characters of base 36.
//! They are numbers inside (16 bytes, `Copy`, ordered), because every index in State is keyed by one.

use std::fmt;
use std::str::FromStr;

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 25 characters of 0-9 and a-z")]
pub struct InvalidId;

/// Digits of an id: 2^127 ≤ n < 2^128 always has 25 in base 36.
pub const ID_DIGITS: usize = 25;

fn digits(mut n: u128) -> [u8; ID_DIGITS] {
    let mut out = [b'0'; ID_DIGITS];
    for slot in out.iter_mut().rev() {
        let digit = u8::try_from(n % 36).expect("a remainder of 36 fits a byte");
        *slot = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        n /= 36;
    }
    out
}

fn number(text: &str) -> Result<u128, InvalidId> {
    if text.len() != ID_DIGITS {
        return Err(InvalidId);
    }
    let mut n: u128 = 0;
    for byte in text.bytes() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return Err(InvalidId),
        };
        n = n.checked_mul(36).and_then(|n| n.checked_add(u128::from(digit))).ok_or(InvalidId)?;
    }
    if n >> 127 == 1 { Ok(n) } else { Err(InvalidId) }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
        )]
        pub struct $name(u128);

        impl $name {
            /// Makes an id of 16 bytes of randomness; the highest bit is set so that it always prints as 25 digits.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(u128::from_le_bytes(bytes) | 1 << 127)
            }
            /// The first 12 characters, as tables show it.
            pub fn short(self) -> String {
                self.to_string()[..12].to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(std::str::from_utf8(&digits(self.0)).expect("base 36 is ASCII"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                number(text).map(Self)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() { to.collect_str(self) } else { to.serialize_u128(self.0) }
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
                } else {
                    u128::deserialize(from).map(Self)
                }
            }
        }
    )*};
}

ids! {
    /// One swarm; also the epoch's name is bound to it.
    ClusterId,
    /// One member of the swarm, for ever: a node that leaves and joins again has another.
    NodeId,
    /// One network.
    NetworkId,
    /// One service.
    ServiceId,
    /// One attempt to run a container; never moved, never restarted.
    TaskId,
    /// One request of a client; a repeated one gets the first one's answer.
    RequestId,
}

/// Any object that has an id and may be the subject of a record.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum ObjectId {
    /// The swarm itself.
    Cluster(ClusterId),
    /// A node.
    Node(NodeId),
    /// A network.
    Network(NetworkId),
    /// A service.
    Service(ServiceId),
    /// A task.
    Task(TaskId),
}

impl ObjectId {
    /// The noun, as it stands in CloudEvents subjects: `task` in `task/5uwx…`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Cluster(_) => "cluster",
            Self::Node(_) => "node",
            Self::Network(_) => "network",
            Self::Service(_) => "service",
            Self::Task(_) => "task",
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(id) => write!(f, "cluster/{id}"),
            Self::Node(id) => write!(f, "node/{id}"),
            Self::Network(id) => write!(f, "network/{id}"),
            Self::Service(id) => write!(f, "service/{id}"),
            Self::Task(id) => write!(f, "task/{id}"),
        }
    }
}

/// Where new ids and salts come from: a stream of 16- and 32-byte values expanded from one random seed.
/// The seed is drawn by the caller, so `decide` stays a function of its arguments.
#[derive(Clone, Debug)]
pub struct IdSource {
    seed: [u8; 32],
    next: u64,
}

impl IdSource {
    /// Starts a stream; equal seeds give equal ids.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, next: 0 }
    }
    /// The next 32 bytes of the stream.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let n = self.next;
        self.next += 1;
        *blake3::keyed_hash(&self.seed, &n.to_le_bytes()).as_bytes()
    }
    /// The next 16 bytes of the stream, what one id needs.
    pub fn bytes16(&mut self) -> [u8; 16] {
        let all = self.bytes32();
        let mut half = [0; 16];
        half.copy_from_slice(&all[..16]);
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_prints_25_digits_and_reads_back() {
        for bytes in [[0; 16], [255; 16], [7; 16]] {
            let id = TaskId::from_random(bytes);
            assert_eq!(id.to_string().len(), ID_DIGITS);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for bad in [
            "",
            "web",
            "0000000000000000000000001",
            "zzzzzzzzzzzzzzzzzzzzzzzzz",
            "5UWXSMFGGL3XW34IFA13E0ZLX",
        ] {
            assert_eq!(bad.parse::<TaskId>(), Err(InvalidId), "{bad}");
        }
    }
}
