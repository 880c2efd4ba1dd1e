//! `skein exec`: a command inside a running task, its streams joined to ours, its exit code ours.
//! Standard input is passed on unless it is a terminal, because no terminal is made on the other side.

use std::io::IsTerminal as _;

use bollard_stubs::models::{
    ExecConfig, ExecInspectResponse, ExecStartConfig, IdResponse, Task, TaskState,
};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::args::At;
use crate::client::{Client, Query, Stream, encode};
use crate::failure::Failure;
use crate::session::{self, Session};

/// Run a command inside a running task
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// Pass standard input on even when it is a terminal
    #[arg(short, long)]
    interactive: bool,
    /// Environment variable of the command
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// User and group, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Directory the command starts in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Task or container, by name (web.2) or id
    task: String,
    /// Command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Exec {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let stdin = self.interactive || !std::io::stdin().is_terminal();
        let container = container(&session.client, &self.task).await?;
        let config = ExecConfig {
            attach_stdin: Some(stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            env: (!self.env.is_empty()).then_some(self.env),
            user: self.user,
            working_dir: self.workdir,
            cmd: Some(self.command),
            ..ExecConfig::default()
        };
        let path = format!("/containers/{}/exec", encode(&container));
        let exec: IdResponse = session.client.post(&path, &config).await?;
        let exec = encode(&exec.id);
        join(session, &exec, stdin).await?;
        let ended: ExecInspectResponse =
            session.client.read(&format!("/exec/{exec}/json"), &At::default()).await?;
        match ended.exit_code.map(i32::try_from) {
            Some(Ok(0)) => Ok(()),
            Some(Ok(code)) => Err(Failure::Exit(code)),
            Some(Err(_)) | None => Err(Failure::failed("the command's exit code is not known")),
        }
    }
}

/// Starts the command and moves bytes both ways until it has closed its output.
async fn join(session: &mut Session, exec: &str, stdin: bool) -> Result<(), Failure> {
    let start = ExecStartConfig { detach: Some(false), tty: Some(false), console_size: None };
    let hijacked = session.client.hijack(&format!("/exec/{exec}/start"), &start).await?;
    let (mut input, mut output) = (hijacked.input, hijacked.output);
    let feed = async move {
        if stdin {
            let mut ours = session::standard_input()?;
            tokio::io::copy(&mut ours, &mut input).await?;
        }
        input.shutdown().await
    };
    let show = async {
        let mut buffer = vec![0; 16 << 10];
        while let Some((stream, read)) = output.next(&mut buffer).await? {
            match stream {
                Stream::Out => session.screen.raw(&buffer[..read])?,
                Stream::Err => session.screen.raw_error(&buffer[..read])?,
            }
        }
        Ok(())
    };
    tokio::pin!(feed, show);
    tokio::select! {
        outcome = &mut show => outcome,
        // The command may have closed its input, or ended: what it still says decides.
        _ = &mut feed => show.await,
    }
}

/// The container meant: what the daemon knows by that name, else the running task `service.slot`.
async fn container(client: &Client, text: &str) -> Result<String, Failure> {
    let path = format!("/containers/{}/json", encode(text));
    let unknown = match client.read::<Value>(&path, &At::default()).await {
        Ok(found) => return Ok(found["Id"].as_str().unwrap_or(text).to_owned()),
        Err(failure) if failure.is_not_found() => failure,
        Err(failure) => return Err(failure),
    };
    let Some(task) = task(client, text).await? else { return Err(unknown) };
    let status = task.status.unwrap_or_default();
    let container = status.container_status.and_then(|status| status.container_id);
    container.filter(|id| !id.is_empty()).ok_or_else(|| {
        let state = status.state.map(|state| state.to_string()).unwrap_or_default();
        Failure::Failed {
            text: format!("task {text} has no container: it is {state}"),
            hint: Some(format!("skein why {text}")),
        }
    })
}

/// The task of that id, or the newest one that is to run in the slot of that name.
async fn task(client: &Client, text: &str) -> Result<Option<Task>, Failure> {
    match client.read::<Task>(&format!("/tasks/{}", encode(text)), &At::default()).await {
        Ok(task) => return Ok(Some(task)),
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => return Err(failure),
    }
    let Some((service, slot)) = text.rsplit_once('.') else { return Ok(None) };
    let Ok(slot) = slot.parse::<i64>() else { return Ok(None) };
    let filters = [
        ("service".to_owned(), service.to_owned()),
        ("desired-state".to_owned(), TaskState::RUNNING.to_string()),
    ];
    let path = format!("/tasks{}", Query::default().filtered(&filters));
    let tasks: Vec<Task> = match client.read(&path, &At::default()).await {
        Ok(tasks) => tasks,
        Err(failure) if failure.is_not_found() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let of_slot = tasks.into_iter().filter(|task| task.slot == Some(slot));
    Ok(of_slot.max_by(|a, b| a.created_at.cmp(&b.created_at)))
}
