//! The tables of the database, a file each, and how a small value proves that it is whole.
//! The chain covers the entries; what lies beside them (vote, floors, snapshots) is sealed with a checksum of its own.

pub(crate) mod entries;
pub(crate) mod meta;
pub(crate) mod snapshots;

use serde::{Serialize, de::DeserializeOwned};

use crate::error::Error;

const SEAL: usize = 16;

/// Encodes a value behind a checksum that is bound to its name, so a value cannot stand for another.
pub(crate) fn seal<T: Serialize>(name: &str, value: &T) -> Vec<u8> {
    let bytes = postcard::to_stdvec(value).expect("our own small types encode");
    let mut out = checksum(name, &bytes).to_vec();
    out.extend_from_slice(&bytes);
    out
}

/// Reads what `seal` made.
pub(crate) fn unseal<T: DeserializeOwned>(name: &'static str, bytes: &[u8]) -> Result<T, Error> {
    let (sum, value) = bytes.split_at_checked(SEAL).ok_or(Error::DamagedValue(name))?;
    if sum != checksum(name, value) {
        return Err(Error::DamagedValue(name));
    }
    postcard::from_bytes(value).map_err(|_| Error::DamagedValue(name))
}

fn checksum(name: &str, bytes: &[u8]) -> [u8; SEAL] {
    let mut hasher = blake3::Hasher::new_derive_key("skein store value v1");
    hasher.update(name.as_bytes()).update(&[0]).update(bytes);
    let mut out = [0; SEAL];
    hasher.finalize_xof().fill(&mut out);
    out
}
