//! Request bodies as values: bounded in size and time, and read as Go reads JSON.
//! Separate from the routes because every one of them needs the same limits and the same sentences.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;

/// Largest JSON body: a spec is kilobytes, a megabyte batch is the log's own limit.
pub(crate) const JSON_MAX: usize = 4 << 20;
/// A client that sends nothing for so long is gone.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A JSON body that has to be there.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be empty.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = collect(request).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(ApiError::invalid("got EOF while reading request body"));
        }
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = collect(request).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

async fn collect(request: Request) -> Result<Bytes, ApiError> {
    let limited = Limited::new(request.into_body(), JSON_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!("the request body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
        )),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the request body is over the limit of {JSON_MAX} bytes"),
        )),
        Ok(Err(error)) => Err(ApiError::invalid(format!("cannot read the request body: {error}"))),
    }
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let invalid = |error: serde_json::Error| {
        ApiError::invalid(format!("the request body is not the JSON expected here: {error}"))
    };
    let mut value: Value = serde_json::from_slice(bytes).map_err(invalid)?;
    canonical(&mut value);
    serde_json::from_value(value).map_err(invalid)
}

/// Objects whose keys are the user's own.
const FREE_KEYS: &[&str] =
    &["Labels", "Options", "Sysctls", "DriverOpts", "AuxiliaryAddresses", "Annotations"];

/// Names that clients write otherwise than the models do. Go's decoder ignores case, so docker-py may send `replicated`
/// and the docker CLI sends `Healthcheck` where the published schema says `HealthCheck`.
const SPELLINGS: &[&str] = &[
    "Name",
    "TaskTemplate",
    "Mode",
    "Replicated",
    "Global",
    "ReplicatedJob",
    "GlobalJob",
    "Replicas",
    "UpdateConfig",
    "RollbackConfig",
    "EndpointSpec",
    "Networks",
    "Target",
    "Aliases",
    "ContainerSpec",
    "Image",
    "Command",
    "Args",
    "Env",
    "HealthCheck",
    "Mounts",
    "Secrets",
    "Configs",
    "Hosts",
    "Resources",
    "Limits",
    "Reservations",
    "RestartPolicy",
    "Condition",
    "Placement",
    "Constraints",
    "Preferences",
    "MaxReplicas",
    "LogDriver",
    "Ports",
    "Labels",
    "Runtime",
    "ForceUpdate",
    "Driver",
    "IPAM",
    "Config",
    "Subnet",
    "Gateway",
    "Internal",
    "Attachable",
    "Ingress",
    "Options",
    "ListenAddr",
    "AdvertiseAddr",
    "DataPathAddr",
    "DataPathPort",
    "DefaultAddrPool",
    "SubnetSize",
    "Cmd",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "Tty",
    "Detach",
    "User",
    "WorkingDir",
];

/// Gives keys the spelling the models have.
fn canonical(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let misspelt: Vec<(String, &str)> = map
                .keys()
                .filter_map(|key| {
                    let known = SPELLINGS.iter().find(|s| s.eq_ignore_ascii_case(key))?;
                    (**known != **key).then(|| (key.clone(), *known))
                })
                .collect();
            for (key, known) in misspelt {
                // Docker spells the TTY of a service in capitals and that of an exec not.
                if key != "TTY"
                    && let Some(inner) = map.remove(&key)
                {
                    map.insert(known.to_owned(), inner);
                }
            }
            for (key, inner) in map.iter_mut() {
                if !FREE_KEYS.contains(&key.as_str()) {
                    canonical(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(canonical),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_without_regard_to_case() {
        let mut value = serde_json::json!({
            "Mode": {"replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": {"Healthcheck": {"Test": []}, "TTY": true}},
            "Labels": {"replicated": "stays"},
        });
        canonical(&mut value);
        let expected = serde_json::json!({
            "Mode": {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": {"HealthCheck": {"Test": []}, "TTY": true}},
            "Labels": {"replicated": "stays"},
        });
        assert_eq!(value, expected);
    }
}
