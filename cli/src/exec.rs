//! `skein exec`: a command inside a running task, its streams joined to ours, its exit code ours.
//! Standard input is passed on only when asked for, as docker does: a loop that reads a list keeps its list.

use std::io::IsTerminal as _;

use bollard_stubs::models::{
    ExecConfig, ExecInspectResponse, ExecStartConfig, IdResponse, Task, TaskState,
};
use hyper::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{At, Because};
use crate::client::{Client, Frames, Hijacked, Query, Stream, encode, json, nothing};
use crate::environment;
use crate::failure::Failure;
use crate::session::{self, Session};
use crate::terminal::{self, Raw, Size};

/// Run a command inside a running task
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Return at once and leave the command running
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    /// Keys that leave the command running and end this one
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// Environment variable of the command; without a value, the one it has here
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = environment::variable)]
    env: Vec<String>,
    /// File with an environment variable a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<std::path::PathBuf>,
    /// Refused: a command has no more privileges than its task
    #[arg(long)]
    privileged: bool,
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
        let terminal = std::io::stdin().is_terminal();
        if self.tty && self.interactive && !terminal {
            return Err(Failure::failed("the input device is not a TTY"));
        }
        let stdin = !self.detach && self.interactive;
        let size = terminal::size().filter(|_| self.tty);
        let mut env = environment::read(&self.env_file)?;
        env.extend(self.env);
        let env: Vec<String> = env.into_iter().filter_map(environment::valued).collect();
        let container = container(&session.client, &self.task).await?;
        let config = ExecConfig {
            attach_stdin: Some(stdin),
            attach_stdout: Some(!self.detach),
            attach_stderr: Some(!self.detach),
            tty: Some(self.tty),
            console_size: size.map(pair),
            detach_keys: self.tty.then_some(self.detach_keys),
            env: (!env.is_empty()).then_some(env),
            privileged: self.privileged.then_some(true),
            user: self.user,
            working_dir: self.workdir,
            cmd: Some(self.command),
        };
        let path = format!("/containers/{}/exec", encode(&container));
        let exec: IdResponse = session.client.post(&path, &config).await?;
        let exec = encode(&exec.id);
        let start = ExecStartConfig {
            detach: Some(self.detach),
            tty: Some(self.tty),
            console_size: size.map(pair),
        };
        let path = format!("/exec/{exec}/start");
        if self.detach {
            let because = Because::default();
            return session.client.order(Method::POST, &path, json(&start), &because).await;
        }
        let hijacked = session.client.hijack(&path, &start).await?;
        if self.tty {
            share(session, &exec, hijacked, stdin, size).await?;
        } else {
            join(session, hijacked, stdin).await?;
        }
        let ended: ExecInspectResponse =
            session.client.read(&format!("/exec/{exec}/json"), &At::default()).await?;
        match ended.exit_code.map(i32::try_from) {
            Some(Ok(0)) => Ok(()),
            Some(Ok(code)) => Err(Failure::Exit(code)),
            // The user's keys left it running.
            None if ended.running == Some(true) => Ok(()),
            Some(Err(_)) | None => Err(Failure::failed("the command's exit code is not known")),
        }
    }
}

fn pair(size: Size) -> Vec<usize> {
    vec![usize::from(size.rows), usize::from(size.columns)]
}

/// Moves bytes both ways until the command has closed its output.
async fn join(session: &mut Session, hijacked: Hijacked, stdin: bool) -> Result<(), Failure> {
    let Hijacked { mut input, output } = hijacked;
    let mut output = Frames::new(output);
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

/// Gives the command our terminal until it has closed its own, and tells it when ours changes its size.
async fn share(
    session: &mut Session,
    exec: &str,
    hijacked: Hijacked,
    stdin: bool,
    mut size: Option<Size>,
) -> Result<(), Failure> {
    let Hijacked { mut input, mut output } = hijacked;
    let _raw = stdin.then(Raw::enter).transpose()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut ours = session::standard_input()?;
    let (mut typed, mut shown) = (vec![0; 4 << 10], vec![0; 16 << 10]);
    let mut listening = stdin;
    loop {
        tokio::select! {
            read = output.read(&mut shown) => match read? {
                0 => return Ok(()),
                read => session.screen.raw(&shown[..read])?,
            },
            read = ours.read(&mut typed), if listening => match read? {
                // The command may have ended: what it still says decides.
                0 => {
                    listening = false;
                    drop(input.shutdown().await);
                }
                read => listening = input.write_all(&typed[..read]).await.is_ok(),
            },
            Some(()) = resized.recv() => {
                let now = terminal::size();
                if let Some(Size { rows, columns }) = now.filter(|now| Some(*now) != size) {
                    size = now;
                    let path = format!("/exec/{exec}/resize?h={rows}&w={columns}");
                    let because = Because::default();
                    // The command may just have ended.
                    match session.client.order(Method::POST, &path, nothing(), &because).await {
                        Ok(()) | Err(Failure::Refused { .. }) => {}
                        Err(failure) => return Err(failure),
                    }
                }
            }
        }
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
