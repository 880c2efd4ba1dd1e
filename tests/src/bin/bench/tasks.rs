//! What all figures about containers begin and end with: a daemon with an image and an overlay network, services on it.
//! Asks the API as a user would; what the machine itself says of them is `machine`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::client::Client;
use crate::daemon::{Daemon, Ground};

const IMAGE: &str = "bench:1";
const NETWORK: &str = "bench";
/// What is not so after this time never will be.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(1);

/// A daemon in a swarm of one, with the image and the network.
pub(crate) async fn prepare(ground: &Ground) -> anyhow::Result<(Daemon<'_>, Client)> {
    let image = ground.place("image.tar");
    let made = Command::new("scripts/image.sh").arg(IMAGE).arg(&image).status()?;
    anyhow::ensure!(made.success(), "scripts/image.sh makes an image");
    let archive = std::fs::read(Path::new(&image))?;
    let daemon = ground.swarm_of_one().await?;
    let mut client = daemon.client("/services").await?;
    Client::to(&ground.socket()).await?.load_image(&archive).await?;
    let some = |images: &Value| images.as_array().is_some_and(|a| !a.is_empty());
    until(&mut client, "/images/json", some).await?;
    client
        .post("/networks/create", &format!(r#"{{"Name":"{NETWORK}","Driver":"overlay"}}"#))
        .await?;
    Ok((daemon, client))
}

/// A service of busybox's `sleep` on the network. As process 1 it ignores SIGTERM.
pub(crate) fn service(name: &str, replicas: u64, grace: Duration) -> String {
    let grace = grace.as_nanos();
    format!(
        r#"{{"Name":"{name}","Mode":{{"Replicated":{{"Replicas":{replicas}}}}},"EndpointSpec":{{"Mode":"dnsrr"}},"TaskTemplate":{{"ContainerSpec":{{"Image":"{IMAGE}","Args":["sleep","1000"],"StopGracePeriod":{grace}}},"RestartPolicy":{{"Condition":"any","Delay":0}},"Networks":[{{"Target":"{NETWORK}"}}]}}}}"#
    )
}

/// Gives a service another number of tasks.
pub(crate) async fn scale(
    client: &mut Client,
    name: &str,
    replicas: u64,
    grace: Duration,
) -> anyhow::Result<()> {
    let path = format!("/services/{name}");
    let found = client.ask("GET", &path, "").await?;
    let version = found["Version"]["Index"].as_u64().context("a service has a version")?;
    client.post(&format!("{path}/update?version={version}"), &service(name, replicas, grace)).await
}

/// Waits until so many tasks of the only service run.
pub(crate) async fn until_running(client: &mut Client, count: u64) -> anyhow::Result<()> {
    let running = |services: &Value| {
        services[0]["ServiceStatus"]["RunningTasks"].as_u64().is_some_and(|n| n == count)
    };
    until(client, "/services?status=true", running).await.map(drop)
}

/// The process of a task.
pub(crate) fn pid(task: &Value) -> Option<i32> {
    let pid = task["Status"]["ContainerStatus"]["PID"].as_i64()?;
    i32::try_from(pid).ok().filter(|pid| *pid > 1)
}

/// The processes of tasks that run.
pub(crate) fn running(tasks: &Value) -> Vec<i32> {
    let tasks = tasks.as_array().into_iter().flatten();
    tasks.filter(|t| t["Status"]["State"] == "running").filter_map(pid).collect()
}

/// Asks again until the answer is as wanted.
pub(crate) async fn until(
    client: &mut Client,
    path: &str,
    wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let begun = Instant::now();
    loop {
        let found = client.ask("GET", path, "").await?;
        if wanted(&found) {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            bail!("never as wanted: {path}: {found}");
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Removes every service and the network; the daemon has nothing then.
pub(crate) async fn remove_all(client: &mut Client) -> anyhow::Result<()> {
    let services = client.ask("GET", "/services", "").await?;
    for service in services.as_array().into_iter().flatten() {
        let id = service["ID"].as_str().context("a service has an id")?;
        client.ask("DELETE", &format!("/services/{id}"), "").await?;
    }
    until(client, "/tasks", |tasks| tasks.as_array().is_some_and(Vec::is_empty)).await?;
    client.ask("DELETE", &format!("/networks/{NETWORK}"), "").await?;
    Ok(())
}
