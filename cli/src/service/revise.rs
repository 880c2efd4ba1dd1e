//! Reads a service, changes its spec and sends it back: what `update`, `rollback` and `scale` share.
//! Only what was changed differs from what was read: values this program does not know are carried over as they are.

use bollard_stubs::models::{NetworkAttachmentConfig, ServiceSpec};
use hyper::Method;
use serde_json::Value;

use super::option::Attachment;
use crate::args::{At, Because};
use crate::client::{Client, encode, json};
use crate::failure::Failure;
use crate::session::Session;

/// A service as it was read.
pub(super) struct Read {
    id: String,
    version: u64,
    spec: Value,
}

/// Reads a service by name or id.
pub(super) async fn read(client: &Client, service: &str) -> Result<Read, Failure> {
    let path = format!("/services/{}?insertDefaults=false", encode(service));
    let mut found: Value = client.read(&path, &At::default()).await?;
    let id = found["ID"].as_str().unwrap_or(service).to_owned();
    let version = found["Version"]["Index"].as_u64().unwrap_or_default();
    Ok(Read { id, version, spec: found["Spec"].take() })
}

impl Read {
    /// Its spec with the names this program uses.
    pub(super) fn spec(&self) -> Result<ServiceSpec, Failure> {
        serde_json::from_value(spelled(self.spec.clone(), DOCKERS, OURS)).map_err(|error| {
            Failure::Strange {
                request: format!("/services/{}", self.id),
                reason: error.to_string(),
            }
        })
    }

    /// Sends it back as `wanted`, with `query` added to the request; prints warnings. Gives the service's id.
    pub(super) async fn send(
        self,
        session: &mut Session,
        wanted: &ServiceSpec,
        query: &str,
        because: &Because,
    ) -> Result<String, Failure> {
        let written = |spec: &ServiceSpec| {
            serde_json::to_value(spec).expect("request models have string keys")
        };
        let mut spec = spelled(self.spec.clone(), DOCKERS, OURS);
        carry(&mut spec, &written(&self.spec()?), &written(wanted));
        let spec = spelled(spec, OURS, DOCKERS);
        let path = format!("/services/{}/update?{query}version={}", encode(&self.id), self.version);
        let answer: Value =
            session.client.change(Method::POST, &path, json(&spec), because).await?;
        for warning in answer["Warnings"].as_array().into_iter().flatten() {
            session.screen.note(warning.as_str().unwrap_or_default())?;
        }
        Ok(self.id)
    }
}

/// Networks by id: a service keeps its network when another gets the name.
pub(super) async fn attachments(
    client: &Client,
    networks: &[Attachment],
) -> Result<Option<Vec<NetworkAttachmentConfig>>, Failure> {
    let mut attachments = Vec::with_capacity(networks.len());
    for network in networks {
        attachments.push(NetworkAttachmentConfig {
            target: Some(network_id(client, &network.target).await?),
            aliases: (!network.aliases.is_empty()).then(|| network.aliases.clone()),
            driver_opts: None,
        });
    }
    Ok((!attachments.is_empty()).then_some(attachments))
}

/// The id of a network of the swarm.
pub(super) async fn network_id(client: &Client, name: &str) -> Result<String, Failure> {
    let path = format!("/networks/{}?scope=swarm", encode(name));
    let found: Value = client.read(&path, &At::default()).await?;
    Ok(found["Id"].as_str().unwrap_or(name).to_owned())
}

/// How daemons write the one field whose published name is another.
const DOCKERS: &str = "Healthcheck";
/// Its published name, which the models use.
const OURS: &str = "HealthCheck";

/// A spec as the models read it.
pub(super) fn with_our_names(spec: Value) -> Value {
    spelled(spec, DOCKERS, OURS)
}

/// The spec with its health check under another name.
fn spelled(mut spec: Value, from: &str, to: &str) -> Value {
    let container = spec
        .get_mut("TaskTemplate")
        .and_then(|task| task.get_mut("ContainerSpec"))
        .and_then(Value::as_object_mut);
    if let Some(container) = container
        && let Some(check) = container.remove(from)
    {
        container.insert(to.to_owned(), check);
    }
    spec
}

/// Makes in `raw` the change from `before` to `after`, and no other.
fn carry(raw: &mut Value, before: &Value, after: &Value) {
    if before == after {
        return;
    }
    let (Some(fields), Some(was), Some(is)) =
        (raw.as_object_mut(), before.as_object(), after.as_object())
    else {
        *raw = after.clone();
        return;
    };
    fields.retain(|name, _| is.contains_key(name) || !was.contains_key(name));
    for (name, value) in is {
        let before = was.get(name).unwrap_or(&Value::Null);
        if before != value {
            carry(fields.entry(name.clone()).or_insert(Value::Null), before, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::carry;

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let mut raw = json!({"Known": {"A": 1, "New": [1]}, "Gone": 1, "List": [1], "Newer": {}});
        let before = json!({"Known": {"A": 1}, "Gone": 1, "List": [1]});
        let after = json!({"Known": {"A": 2, "B": {"C": 3}}, "List": [1, 2], "Made": {}});
        carry(&mut raw, &before, &after);
        let expected = json!({"Known": {"A": 2, "B": {"C": 3}, "New": [1]}, "List": [1, 2], "Newer": {}, "Made": {}});
        assert_eq!(raw, expected);
    }
}
