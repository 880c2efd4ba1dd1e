//! Whole commands against a fake daemon in this process: what they ask, what they print, how they exit.
//! The bodies have the shapes a real dockerd 20.10 sends; ids and names are made up.

mod about;
pub(crate) mod fake;
mod help;
mod lists;
mod orders;
mod records;
mod streams;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use clap::FromArgMatches as _;

use crate::args::Arguments;
use crate::screen::Screen;
use crate::session::Session;
use fake::Daemon;

/// What a command left behind.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// Standard output of a command that must have succeeded in silence.
    fn out(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "output: {}", self.out);
        self.out
    }
    /// Exit code and standard error of a command that must have printed no result.
    fn refusal(self) -> String {
        assert_eq!(self.out, "");
        format!("exit {}\n{}", self.code, self.err)
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `skein ARGUMENTS` against the fake, at a fixed time.
fn skein(daemon: &Daemon, arguments: &[&str]) -> Ran {
    let (out, err) = (Buffer::default(), Buffer::default());
    let mut screen = Screen::new(out.clone(), err.clone());
    let words = ["skein", "-H", daemon.host()].into_iter().chain(arguments.iter().copied());
    // A fixed width, else the goldens of help would depend on the terminal the tests run in.
    let parsed = crate::args::command().term_width(100).try_get_matches_from(words);
    let code = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Err(error) => crate::usage(&error, &mut screen),
        Ok(parsed) => {
            let mut session = Session::new(&parsed.host, screen);
            session.now = "2026-11-23T03:12:53Z".parse().unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(parsed.command.run(&mut session));
            runtime.shutdown_background();
            crate::finish(outcome, &mut session.screen)
        }
    };
    Ran { code, out: out.text(), err: err.text() }
}
