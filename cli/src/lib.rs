//! The `skein` command line: one folder per noun, one file per sub-command, each holding its own options and help.
//! It only asks and shows: every answer comes from the daemon's HTTP API, where Docker has a route from Docker's own.

#![forbid(unsafe_code)]

pub mod args;
mod bisect;
mod client;
mod completion;
mod consumer;
pub mod daemon;
mod diff;
mod environment;
mod exec;
mod failure;
mod image;
mod log;
mod login;
mod manual;
mod memory;
mod network;
mod node;
mod parse;
mod replay;
mod screen;
mod service;
mod session;
mod supervisor;
mod swarm;
mod system;
mod tail;
mod terminal;
mod timeline;
mod verify;
mod version;
mod volume;
mod why;
mod why_not;

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::FromArgMatches as _;

use crate::args::{Arguments, Command};
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Session;

/// Runs one command line, program name first, on this process's standard streams; returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let words = asked_for_help(arguments.into_iter().collect());
    if completion::answered(&words) {
        return 0;
    }
    let mut screen = Screen::standard();
    let matches = args::command().try_get_matches_from(words);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error, &mut screen),
    };
    let outcome = match arguments.command {
        Command::Daemon(daemon) => {
            crate::daemon::run(daemon.at(&arguments.host)).map_err(Failure::Daemon)
        }
        command => {
            let session = Session::new(&arguments.host, screen);
            return ask(command, session);
        }
    };
    finish(outcome, &mut screen)
}

/// `skein help service create` is `skein service create --help`.
fn asked_for_help(mut words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_some_and(|word| word == "help") {
        words.remove(1);
        words.push("--help".into());
    }
    words
}

/// Runs a command that talks to the daemon, until it ends or the user presses Ctrl-C.
fn ask(command: Command, mut session: Session) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(Failure::Io(error)), &mut session.screen),
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = Box::pin(command.run(&mut session)) => outcome,
            signal = tokio::signal::ctrl_c() => signal.map_err(Failure::Io).and(Err(Failure::Exit(failure::INTERRUPTED))),
        }
    });
    runtime.shutdown_background(); // a read of standard input may never return
    finish(outcome, &mut session.screen)
}

fn usage(error: &clap::Error, screen: &mut Screen) -> i32 {
    let text = error.render();
    if error.use_stderr() {
        let _ = screen.error_text(&text);
        failure::USAGE
    } else {
        let _ = screen.text(&text);
        0
    }
}

/// Says what went wrong on standard error; returns the exit code.
fn finish(outcome: Result<(), Failure>, screen: &mut Screen) -> i32 {
    let Err(failure) = outcome else { return 0 };
    if let Failure::Rehearsed(text) = &failure {
        return screen.line(text).map_or_else(|error| error.exit_code(), |()| 0);
    }
    if let Some(text) = failure.say() {
        let _ = screen.note(text); // nowhere left to report that standard error is gone
    }
    failure.exit_code()
}
