//! What a manager keeps beside the log: who it is, the root's key, the key that secrets are derived from.
//! Small files, mode 0600, written atomically; none of it is ever in an event.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use skein_events::id::NodeId;
use skein_events::node::Role;
use skein_net::token::{Secret, Token};

/// File of the folder.
const FILE: &str = "member.json";

/// Why the vault cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("cannot keep {path}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The root certificate makes no sense.
    #[error(transparent)]
    Root(#[from] skein_net::ca::Error),
}

/// This machine's membership of a swarm. `Debug` shows no key.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Vault {
    /// This machine's node.
    pub node: NodeId,
    /// Its number in consensus.
    pub number: u64,
    /// Root certificate, PEM.
    pub ca_certificate: String,
    /// Root key, PEM.
    ca_key: String,
    /// Join tokens are derived from it.
    key: [u8; 32],
    /// Where cluster management listens.
    pub listen: String,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Vault {
    /// A new swarm's first manager.
    pub fn first(node: NodeId, root: skein_net::ca::Root, key: [u8; 32], listen: String) -> Self {
        let skein_net::ca::Root { certificate_pem, key_pem } = root;
        Self { node, number: 1, ca_certificate: certificate_pem, ca_key: key_pem, key, listen }
    }

    /// Reads the vault of a folder; `None` if this machine is in no swarm.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Disk { path, source }),
        };
        serde_json::from_slice(&text).map(Some).map_err(|source| Error::Damaged { path, source })
    }

    /// Writes the vault; it is there as a whole or not at all.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec(self).expect("strings and numbers have a JSON form");
        let keep = || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let new = folder.join("member.json.new");
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            std::fs::File::open(folder)?.sync_all()
        };
        keep().map_err(|source| Error::Disk { path: path.clone(), source })
    }

    /// The secret of a role's token.
    pub fn secret(&self, role: Role) -> Secret {
        Secret::derive(&self.key, role, 0)
    }

    /// The token of a role, as users pass it on.
    pub fn token(&self, role: Role) -> Result<String, Error> {
        let root = skein_net::ca::digest(&self.ca_certificate)?;
        Ok(Token { root, secret: self.secret(role) }.to_string())
    }
}
