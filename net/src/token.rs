//! Join tokens in Swarm's form: what a new node shows to be let in, and how it recognises the right swarm.
//! Nothing here remembers a token: its secret is derived from the vault's key, and the log holds only a commitment to it.

use std::fmt;
use std::str::FromStr;

use skein_events::node::Role;

/// What every token starts with; version 1 is Swarm's.
const PREFIX: &str = "SWMTKN-1-";
/// 256 bits in base 36, padded on the left.
const ROOT_DIGITS: usize = 50;
/// 128 bits in base 36, padded on the left.
const SECRET_DIGITS: usize = 25;

/// Why a text is no join token. The text is not repeated: it may be most of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid join token: it reads SWMTKN-1-<50 characters>-<25 characters>")]
pub struct InvalidToken;

/// The secret half of a token. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl Secret {
    /// The secret that admits a role, from the key of the vault and how often that token was rotated.
    ///
    /// A keyed hash, so neither the log nor another role's token tells anything about it.
    pub fn derive(vault_key: &[u8; 32], role: Role, rotation: u64) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(vault_key);
        hasher.update(match role {
            Role::Worker => b"worker",
            Role::Manager => b"manager",
        });
        hasher.update(&rotation.to_le_bytes());
        let mut secret = [0; 16];
        hasher.finalize_xof().fill(&mut secret);
        Self(secret)
    }
    /// What the log holds of it: enough to check a token, not to make one.
    pub fn commitment(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }
    /// Whether this is the secret behind a commitment; takes the same time for every answer.
    pub fn opens(&self, commitment: &[u8; 32]) -> bool {
        blake3::hash(&self.0) == *commitment
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the root certificate (DER) of the swarm it opens.
    pub root: [u8; 32],
    /// The secret half; its role is known only to the swarm.
    pub secret: Secret,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = to_base36::<ROOT_DIGITS>(self.root);
        let secret = to_base36::<SECRET_DIGITS>(self.secret.0);
        write!(f, "{PREFIX}{root}-{secret}")
    }
}
impl FromStr for Token {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(InvalidToken)?;
        let (root, secret) = rest.split_once('-').ok_or(InvalidToken)?;
        if root.len() != ROOT_DIGITS || secret.len() != SECRET_DIGITS {
            return Err(InvalidToken);
        }
        Ok(Self { root: from_base36(root)?, secret: Secret(from_base36(secret)?) })
    }
}

/// The big-endian number in so many digits; callers choose enough of them.
fn to_base36<const DIGITS: usize>(mut number: impl AsMut<[u8]>) -> String {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest: u16 = 0;
        for byte in number.as_mut() {
            let value = rest << 8 | u16::from(*byte);
            *byte = u8::try_from(value / 36).expect("rest < 36, so the quotient is under 256");
            rest = value % 36;
        }
        let value = u8::try_from(rest).expect("a remainder of 36 fits a byte");
        *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
    }
    digits.iter().copied().map(char::from).collect()
}

/// The number as big-endian bytes; refuses what does not fit them.
fn from_base36<const BYTES: usize>(text: &str) -> Result<[u8; BYTES], InvalidToken> {
    let mut number = [0; BYTES];
    for byte in text.bytes() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return Err(InvalidToken),
        };
        let mut carry = u16::from(digit);
        for slot in number.iter_mut().rev() {
            let [high, low] = (u16::from(*slot) * 36 + carry).to_be_bytes();
            *slot = low;
            carry = u16::from(high);
        }
        if carry != 0 {
            return Err(InvalidToken);
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Printed by a Docker 20.10 swarm.
    const WORKER: &str =
        "SWMTKN-1-4yu353f9pgyxzksfdj9lits2hmmfm3ngqzu6so32oihnwo8pcm-6zusgdpp5kwemt33e20h492i5";
    const MANAGER: &str =
        "SWMTKN-1-4yu353f9pgyxzksfdj9lits2hmmfm3ngqzu6so32oihnwo8pcm-bikliuhifopko0ul5qa2af0ti";

    #[test]
    fn dockers_own_tokens_are_read_and_written_alike() {
        let (worker, manager) =
            (WORKER.parse::<Token>().unwrap(), MANAGER.parse::<Token>().unwrap());
        assert_eq!(worker.to_string(), WORKER);
        assert_eq!(manager.to_string(), MANAGER);
        assert_eq!(worker.root, manager.root);
        assert_ne!(worker.secret, manager.secret);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let too_big = format!("SWMTKN-1-{}-{}", "z".repeat(50), "0".repeat(25));
        let secret_too_big = format!("SWMTKN-1-{}-{}", "0".repeat(50), "z".repeat(25));
        let upper = WORKER.replace("yu353", "YU353");
        for bad in ["", "SWMTKN-1-", &WORKER[..80], &too_big, &secret_too_big, &upper] {
            assert_eq!(bad.parse::<Token>(), Err(InvalidToken), "{bad}");
        }
        assert_eq!(WORKER.replace("KN-1", "KN-2").parse::<Token>(), Err(InvalidToken));
    }

    #[test]
    fn secrets_differ_by_role_and_rotation_and_never_print() {
        let key = [7; 32];
        let worker = Secret::derive(&key, Role::Worker, 0);
        assert_eq!(worker, Secret::derive(&key, Role::Worker, 0));
        assert_ne!(worker, Secret::derive(&key, Role::Manager, 0));
        assert_ne!(worker, Secret::derive(&key, Role::Worker, 1));
        assert!(worker.opens(&worker.commitment()));
        assert!(!worker.opens(&Secret::derive(&key, Role::Worker, 1).commitment()));
        assert_eq!(format!("{worker:?}"), "Secret(…)");
    }

    proptest! {
        #[test]
        fn any_token_survives_its_text(root: [u8; 32], secret: [u8; 16]) {
            let token = Token { root, secret: Secret(secret) };
            let text = token.to_string();
            prop_assert_eq!(text.len(), PREFIX.len() + ROOT_DIGITS + 1 + SECRET_DIGITS);
            prop_assert_eq!(text.parse::<Token>(), Ok(token));
        }
    }
}
