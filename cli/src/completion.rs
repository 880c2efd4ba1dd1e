//! `skein completion`: what a shell needs to complete our command lines, names of the swarm's objects included.
//! The shell's script calls us back for every completion, so it knows the commands of the version that runs.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::ValueHint;
use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, EnvCompleter, Shells};
use serde_json::Value;

use crate::args::{At, Host};
use crate::client::Client;
use crate::failure::Failure;
use crate::session::Session;

/// The variable by which a shell's script says that it wants completions.
const VARIABLE: &str = "SKEIN_COMPLETE";
/// A shell waits for names no longer than this, whatever the daemon does.
const PATIENCE: Duration = Duration::from_millis(500);

/// Print a script that completes command lines
///
/// Names of services, tasks, nodes, networks and images are asked from the daemon while you type.
#[derive(Debug, clap::Args)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(crate) fn run(self, session: &mut Session) -> Result<(), Failure> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        };
        let shells = Shells::builtins();
        let shell: &dyn EnvCompleter = shells.completer(name).expect("all three are built in");
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, "skein", "skein", "skein", &mut script)?;
        session.screen.raw(&script)
    }
}

/// Answers a shell that asks for completions; false when this process was started for something else.
pub(crate) fn answered(words: &[OsString]) -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let host = host(words);
    let environment = CompleteEnv::with_factory(move || named(crate::args::command(), &host));
    environment.var(VARIABLE).bin("skein").try_complete(words, None).unwrap_or_else(|error| {
        // A shell in the middle of a line has no place for a message.
        drop(error);
        true
    })
}

/// The daemon that the line being typed names, else the one every command would ask.
fn host(words: &[OsString]) -> Host {
    let mut words = words.iter().filter_map(|word| word.to_str()).skip_while(|word| *word != "--");
    let mut typed = None;
    while let Some(word) = words.next() {
        match word {
            "-H" | "--host" => typed = words.next().map(str::to_owned),
            word => typed = word.strip_prefix("--host=").map(str::to_owned).or(typed),
        }
    }
    let named = typed.or_else(|| std::env::var("SKEIN_HOST").ok());
    let default = || Host::DEFAULT.parse().expect("the default is a host");
    named.and_then(|text| text.parse().ok()).unwrap_or_else(default)
}

/// Where the names of objects are, and at which path in each object, by what help calls such an argument.
fn names(argument: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match argument {
        "SERVICE" | "SERVICE|TASK" | "SERVICE=REPLICAS" | "OBJECT" => {
            ("/services", &["/Spec/Name"])
        }
        "TASK" => ("/containers/json", &["/Labels/com.docker.swarm.task.name"]),
        "NODE" => ("/nodes", &["/Description/Hostname", "/ID"]),
        "NETWORK" => ("/networks", &["/Name"]),
        "IMAGE" => ("/images/json", &["/RepoTags"]),
        "VOLUME" => ("/volumes", &["/Name"]),
        "CONSUMER" => ("/skein/v1/consumers", &["/name"]),
        _ => return None,
    })
}

/// The grammar with the names that each argument may have, found by what help calls the argument.
fn named(command: Command, host: &Host) -> Command {
    let below = host.clone();
    command.mut_args(|argument| completed(argument, host)).mut_subcommands(|c| named(c, &below))
}

fn completed(argument: Arg, host: &Host) -> Arg {
    let name = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let name = name.unwrap_or_else(|| argument.get_id().as_str().to_ascii_uppercase());
    if let Some((route, fields)) = names(&name) {
        let host = host.clone();
        let suffix = if name.ends_with("=REPLICAS") { "=" } else { "" };
        let candidates = move || {
            let names = asked(&host, route, fields).unwrap_or_default();
            names.into_iter().map(|name| CompletionCandidate::new(name + suffix)).collect()
        };
        return argument.add(ArgValueCandidates::new(candidates));
    }
    match name.as_str() {
        "DIR" => argument.value_hint(ValueHint::DirPath),
        "FILE" | "PATH" => argument.value_hint(ValueHint::FilePath),
        _ => argument,
    }
}

/// Names from the daemon; none when it does not answer soon or refuses.
fn asked(host: &Host, route: &str, fields: &[&str]) -> Option<Vec<String>> {
    let client = Client::new(host.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer: Value = runtime
        .block_on(async {
            tokio::time::timeout(PATIENCE, client.read(route, &At::default())).await
        })
        .ok()?
        .ok()?;
    let objects = answer.get("Volumes").unwrap_or(&answer).as_array()?;
    let of = |object: &Value| -> Vec<String> {
        fields.iter().filter_map(|field| object.pointer(field)).flat_map(texts).collect()
    };
    let mut names: Vec<String> = objects.iter().flat_map(of).collect();
    names.sort_unstable();
    names.dedup();
    Some(names)
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::tests::fake::Daemon;

    /// What the engine offers for the last of these words.
    fn offered(daemon: &Daemon, words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = ["skein", "--host", daemon.host()]
            .iter()
            .chain(words)
            .map(|word| OsStr::new(word).to_owned())
            .collect();
        let before: Vec<OsString> =
            ["skein", "--"].iter().map(OsString::from).chain(words.clone()).collect();
        let mut command = named(crate::args::command(), &host(&before));
        let last = words.len() - 1;
        let found = clap_complete::engine::complete(&mut command, words, last, None).unwrap();
        let found = found.iter().map(|found| found.get_value().to_string_lossy().into_owned());
        found.filter(|word| !word.starts_with('-')).collect()
    }

    #[test]
    fn names_of_objects_come_from_the_daemon_that_the_line_names() {
        let services = r#"[{"Spec":{"Name":"web"}},{"Spec":{"Name":"api"}}]"#.to_owned();
        let images = r#"[{"RepoTags":["hello:1","hello:2"]},{"RepoTags":null}]"#.to_owned();
        let daemon = Daemon::answering([
            ("GET /v1.41/services", 200, services),
            ("GET /v1.41/images/json", 200, images),
            ("GET /v1.41/volumes", 200, r#"{"Volumes":[{"Name":"data"}]}"#.to_owned()),
            ("GET /skein/v1/consumers", 200, r#"[{"name":"audit"}]"#.to_owned()),
        ]);
        assert_eq!(offered(&daemon, &["service", "rm", ""]), ["api", "web"]);
        assert_eq!(offered(&daemon, &["service", "scale", "w"]), ["web="]);
        assert_eq!(offered(&daemon, &["service", "create", "hel"]), ["hello:1", "hello:2"]);
        assert_eq!(offered(&daemon, &["service", "logs", "w"]), ["web"]);
        assert_eq!(offered(&daemon, &["volume", "rm", ""]), ["data"]);
        assert_eq!(offered(&daemon, &["consumer", "rm", ""]), ["audit"]);
        assert_eq!(offered(&daemon, &["consumer", "seek", "a"]), ["audit"]);
        assert_eq!(offered(&daemon, &["network", "rm", ""]), [""; 0], "refused");
        assert_eq!(offered(&daemon, &["netw"]), ["network"]);
    }

    #[test]
    fn the_hidden_is_not_offered() {
        let daemon = Daemon::answering([]);
        assert!(!offered(&daemon, &[""]).iter().any(|word| word == "manual"));
    }
}
