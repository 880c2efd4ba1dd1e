//! Makes a swarm's root certificate authority.
//! Only makes: the certificate is public and goes in the log, the key is secret and is kept by whoever asked.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use sha2::{Digest as _, Sha256};
use skein_events::time::Time;

/// Common name of every swarm's root, as Docker writes it and tools look for it.
pub const COMMON_NAME: &str = "swarm-ca";
/// Twenty years, Swarm's figure: longer than any machine that has to trust it.
const LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Back-dated by an hour, so that a node whose clock is behind does not refuse it.
const BACK_DATED: Duration = Duration::from_secs(3600);

/// Why a root could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library refused.
    #[error("cannot make the root certificate")]
    Make(#[source] rcgen::Error),
    /// Not one PEM certificate.
    #[error("the root certificate is not PEM")]
    Pem,
}

/// A root: who holds the key decides who is a member.
pub struct Root {
    /// The certificate, public.
    pub certificate_pem: String,
    /// The private key (PKCS #8), secret: never in the log, written with mode 0600 only.
    pub key_pem: String,
}

impl Root {
    /// Makes a root of ECDSA P-256; the key is fresh randomness of the operating system.
    pub fn generate(now: Time) -> Result<Self, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::Make)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, COMMON_NAME);
        let from = SystemTime::UNIX_EPOCH + Duration::from_nanos(now.0) - BACK_DATED;
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.not_before = from.into();
        params.not_after = (from + LIFE).into();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(Error::Make)?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// SHA-256 of a certificate's DER bytes: what a join token pins.
pub fn digest(certificate_pem: &str) -> Result<[u8; 32], Error> {
    let body = certificate_pem
        .split_once("-----BEGIN CERTIFICATE-----")
        .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
        .map(|(body, _)| body)
        .ok_or(Error::Pem)?;
    let text: String = body.split_whitespace().collect();
    let der = STANDARD.decode(text).map_err(|_| Error::Pem)?;
    Ok(Sha256::digest(der).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_795_000_000_000_000_000);

    #[test]
    fn root_is_named_as_docker_names_it_and_can_sign() {
        let root = Root::generate(NOW).unwrap();
        let key = KeyPair::from_pem(&root.key_pem).unwrap();
        assert!(root.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        let der = STANDARD
            .decode(
                root.certificate_pem.lines().filter(|l| !l.starts_with("---")).collect::<String>(),
            )
            .unwrap();
        let public = key.public_key_raw();
        assert!(der.windows(public.len()).any(|w| w == public), "the key is the certificate's");
        // basicConstraints (2.5.29.19), critical, CA:TRUE.
        let authority = [0x55, 0x1d, 19, 1, 1, 0xff, 4, 5, 0x30, 3, 1, 1, 0xff];
        assert!(der.windows(authority.len()).any(|w| w == authority));
        let name = COMMON_NAME.as_bytes();
        assert_eq!(der.windows(name.len()).filter(|w| *w == name).count(), 2, "issuer and subject");
        assert!(der.windows(8).any(|w| w == [42, 134, 72, 206, 61, 3, 1, 7]), "curve is P-256");
    }

    #[test]
    fn every_root_is_another() {
        let (a, b) = (Root::generate(NOW).unwrap(), Root::generate(NOW).unwrap());
        assert_ne!(digest(&a.certificate_pem).unwrap(), digest(&b.certificate_pem).unwrap());
        assert!(matches!(digest("no certificate"), Err(Error::Pem)));
    }
}
