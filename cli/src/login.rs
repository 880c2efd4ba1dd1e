//! Who asks a registry: the names and passwords that "docker login" wrote into Docker's configuration file.
//! Apart from what is asked, because pulling an image and looking up what its tag means ask as the same person.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::failure::Failure;

/// Docker Hub's key in Docker's configuration file.
const HUB: &str = "https://index.docker.io/v1/";

/// What to tell the daemon about who asks `registry`, as `X-Registry-Auth` has it; `None` for nobody in particular.
pub(crate) fn to(registry: &str) -> Result<Option<String>, Failure> {
    config_file().map_or(Ok(None), |path| auth(&path, registry))
}

fn config_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let dir = match set("DOCKER_CONFIG") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(set("HOME")?).join(".docker"),
    };
    Some(dir.join("config.json"))
}

/// Nothing of the file gets into an error.
fn auth(path: &Path, registry: &str) -> Result<Option<String>, Failure> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::failed(format!("read {}: {error}", path.display())));
        }
    };
    let strange = || Failure::failed(format!("{} is not as Docker writes it", path.display()));
    let config: Value = serde_json::from_slice(&text).map_err(|_| strange())?;
    let keys = match registry {
        "docker.io" => vec![HUB, "docker.io", "registry-1.docker.io"],
        other => vec![other],
    };
    let with_scheme = format!("https://{registry}");
    for key in keys.into_iter().chain([with_scheme.as_str()]) {
        let helper = &config["credHelpers"][key];
        if helper.is_string() {
            return Err(helped(path, registry));
        }
        let entry = &config["auths"][key];
        if entry.is_null() {
            continue;
        }
        let Some(coded) = entry["auth"].as_str().filter(|coded| !coded.is_empty()) else {
            // An entry without a password stands for one a helper keeps.
            let helped_by_store = config["credsStore"].is_string();
            return if helped_by_store { Err(helped(path, registry)) } else { Ok(None) };
        };
        let bytes = STANDARD.decode(coded).map_err(|_| strange())?;
        let text = String::from_utf8(bytes).map_err(|_| strange())?;
        let (user, password) = text.split_once(':').ok_or_else(strange)?;
        let password = password.trim_end_matches('\0');
        let auth = json!({ "username": user, "password": password, "serveraddress": registry });
        return Ok(Some(URL_SAFE.encode(auth.to_string())));
    }
    Ok(None)
}

fn helped(path: &Path, registry: &str) -> Failure {
    Failure::failed(format!(
        "the password for {registry} is with a credential helper, which is not run: pull with \"docker pull\", or log in with a {} that has no credsStore and credHelpers",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(config: &Value, registry: &str) -> Result<Option<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let read = auth(&path, registry).map_err(|failure| failure.to_string())?;
        Ok(read.map(|coded| String::from_utf8(URL_SAFE.decode(coded).unwrap()).unwrap()))
    }

    #[test]
    fn the_password_is_dockers_for_this_registry() {
        let config = json!({
            "auths": {
                HUB: { "auth": STANDARD.encode("ada:hub") },
                "127.0.0.1:5000": { "auth": STANDARD.encode("ada:s3:cret") },
                "a.example": {},
            },
            "credHelpers": { "b.example": "pass" },
        });
        let with = |registry: &str| said(&config, registry);
        let hub = r#"{"password":"hub","serveraddress":"docker.io","username":"ada"}"#;
        assert_eq!(with("docker.io"), Ok(Some(hub.to_owned())));
        let here = with("127.0.0.1:5000").unwrap().unwrap();
        assert!(here.contains(r#""password":"s3:cret""#), "{here}");
        assert_eq!(with("127.0.0.1:5001"), Ok(None));
        assert_eq!(with("a.example"), Ok(None));
        assert!(with("b.example").unwrap_err().contains("credential helper"));
        let kept = json!({ "auths": { "a.example": {} }, "credsStore": "secretservice" });
        assert!(said(&kept, "a.example").unwrap_err().contains("credential helper"));
        let bad = said(&json!({ "auths": { "a.example": { "auth": "s3cret!" } } }), "a.example");
        assert!(bad.is_err_and(|error| !error.contains("s3cret")));
        let nowhere = Path::new("/nonexistent/config.json");
        assert_eq!(auth(nowhere, "a.example").ok(), Some(None));
    }
}
