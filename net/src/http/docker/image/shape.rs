//! Images in Docker's JSON, written out by hand: the published models lack fields that clients of 1.41 read.

use serde_json::{Map, Value, json};

use crate::backend::{ImageDetails, ImageSummary};
use crate::http::docker::{map, signed};

/// An image in a list; `shared` bytes and `containers` are only counted for `system df`.
pub(in crate::http::docker) fn summary(
    image: &ImageSummary,
    shared: Option<u64>,
    containers: Option<usize>,
) -> Value {
    let ImageSummary { id, names, digests, size, created: _, labels, layers: _ } = image;
    json!({
        "Containers": containers.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX)),
        "Created": image.created_at().map_or(0, jiff::Timestamp::as_second),
        "Id": id,
        "Labels": if labels.is_empty() { Value::Null } else { json!(map(labels)) },
        "ParentId": "",
        "RepoDigests": digests,
        "RepoTags": names,
        "SharedSize": shared.map_or(-1, signed),
        "Size": signed(*size),
        "VirtualSize": signed(*size),
    })
}

/// What every configuration has in Docker's answer, whatever its file has.
fn empty_config() -> Map<String, Value> {
    let empty = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null,
        "Cmd": null, "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null,
        "OnBuild": null, "Labels": null,
    });
    match empty {
        Value::Object(map) => map,
        _ => unreachable!("it is written as an object"),
    }
}

fn text<'a>(file: &'a Value, key: &str) -> &'a str {
    file.get(key).and_then(Value::as_str).unwrap_or("")
}

/// `docker image inspect`.
pub(super) fn details(image: &ImageDetails) -> Value {
    let ImageDetails { summary, file, layer_sizes: _ } = image;
    let mut config = empty_config();
    if let Some(own) = file.get("config").and_then(Value::as_object) {
        config.extend(own.clone());
    }
    let architecture = match text(file, "architecture") {
        "" => crate::http::docker::system::architecture(),
        said => said,
    };
    let mut out = json!({
        "Id": summary.id,
        "RepoTags": summary.names,
        "RepoDigests": summary.digests,
        "Parent": "",
        "Comment": text(file, "comment"),
        "Created": text(file, "created"),
        "DockerVersion": text(file, "docker_version"),
        "Author": text(file, "author"),
        "Config": config,
        "Architecture": architecture,
        "Os": "linux",
        "Size": signed(summary.size),
        "VirtualSize": signed(summary.size),
        "GraphDriver": { "Data": null, "Name": "overlay2" },
        "RootFS": { "Type": "layers", "Layers": summary.layers },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
    });
    if !text(file, "variant").is_empty() {
        out["Variant"] = json!(text(file, "variant"));
    }
    out
}

/// `docker image history`: newest first; only the newest step is an image.
pub(super) fn history(image: &ImageDetails) -> Value {
    let ImageDetails { summary, file, layer_sizes } = image;
    let steps = file.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut sizes = layer_sizes.iter();
    let mut rows: Vec<Value> = steps
        .iter()
        .map(|step| {
            let empty = step.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
            let size = if empty { 0 } else { sizes.next().copied().unwrap_or(0) };
            let created = text(step, "created").parse::<jiff::Timestamp>();
            json!({
                "Id": "<missing>",
                "Created": created.map_or(0, jiff::Timestamp::as_second),
                "CreatedBy": text(step, "created_by"),
                "Tags": null,
                "Size": signed(size),
                "Comment": text(step, "comment"),
            })
        })
        .collect();
    // Layers that no step tells of.
    rows.extend(sizes.map(|size| {
        json!({
            "Id": "<missing>", "Created": 0, "CreatedBy": "", "Tags": null,
            "Size": signed(*size), "Comment": "",
        })
    }));
    rows.reverse();
    if let Some(newest) = rows.first_mut() {
        newest["Id"] = json!(summary.id);
        newest["Tags"] = json!(summary.names);
    }
    Value::from(rows)
}
