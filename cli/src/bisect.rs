//! `skein bisect`: finds the record with which something went wrong, by asking a command about states in between.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::args::{At, Moment, position};
use crate::failure::Failure;
use crate::log;
use crate::session::Session;

/// Exit codes from here on say that the command itself did not work, as a shell tells it.
const BROKEN: i32 = 125;

/// Find the first record of which a command says that the state is bad
///
/// The command is run for states between the two positions, each time half as far apart: with the
/// state as JSON on its standard input and the position in SKEIN_POSITION, so that it can also ask
/// skein with --at. It says good with exit code 0, bad with 1 to 124; any other ends the search.
#[derive(Debug, clap::Args)]
pub(crate) struct Bisect {
    /// A position whose state is good
    #[arg(long, value_name = "@A", value_parser = position)]
    good: u64,
    /// A later one whose state is bad
    #[arg(long, value_name = "@B", value_parser = position)]
    bad: u64,
    /// The command, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Bisect {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let Self { mut good, mut bad, command } = self;
        if good >= bad {
            return Err(Failure::Usage("--good has to lie before --bad".to_owned()));
        }
        for (position, is_good) in [(good, true), (bad, false)] {
            if judge(session, &command, position).await? != is_good {
                let (said, asked) = if is_good { ("bad", "good") } else { ("good", "bad") };
                return Err(Failure::failed(format!(
                    "the command says of @{position} that it is {said}, not {asked}"
                )));
            }
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if judge(session, &command, middle).await? {
                good = middle;
            } else {
                bad = middle;
            }
        }
        session.screen.line(format_args!("@{bad} is the first bad record:"))?;
        log::one(session, bad).await
    }
}

/// Whether the command says good of the state at a position.
async fn judge(session: &mut Session, command: &[String], at: u64) -> Result<bool, Failure> {
    let moment: Moment = format!("@{at}").parse().map_err(Failure::failed)?;
    let answer: Value = session.client.read("/skein/v1/state", &At { at: Some(moment) }).await?;
    let (program, arguments) = command.split_first().expect("the grammar asks for one");
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env("SKEIN_POSITION", format!("@{at}"))
        .env("SKEIN_HOST", session.client.host().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::failed(format!("{program} cannot be run: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        let written = input.write_all(answer["state"].to_string().as_bytes()).await;
        // A command that asks skein instead reads nothing of it.
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(error.into());
        }
    }
    let status = child.wait().await?;
    let verdict = match status.code() {
        Some(0) => true,
        Some(code) if code < BROKEN => false,
        Some(code) => {
            return Err(Failure::failed(format!(
                "the command ended with exit code {code} at @{at}: neither good nor bad"
            )));
        }
        None => return Err(Failure::failed(format!("the command was killed at @{at}"))),
    };
    session.screen.note(format_args!("@{at} {}", if verdict { "good" } else { "bad" }))?;
    Ok(verdict)
}
