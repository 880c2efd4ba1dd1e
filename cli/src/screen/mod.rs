//! What the user sees: results on standard output, everything else on standard error.
//! The only place that writes to them, so that a test can read a command's output from a buffer.

mod answer;
pub(crate) mod human;
mod list;
mod meter;
mod object;
mod table;
mod template;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

pub(crate) use list::{Cell, Column, Form};
pub(crate) use meter::{Meter, Part, Step};
pub(crate) use object::Shape;

use serde_json::value::RawValue;
use skein_events::text::visible;

use crate::args::Listing;
use crate::failure::Failure;

/// The two streams of a command.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    colour: Colour,
    terminal: bool,
}

/// Which of the two streams may be styled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Colour {
    out: bool,
    err: bool,
}

impl Screen {
    /// This process's standard streams, each in colour if it is a terminal and nobody said otherwise.
    pub(crate) fn standard() -> Self {
        let out = coloured(variable, io::stdout().is_terminal());
        let dumb = variable("TERM").is_some_and(|value| value == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        let colour = Colour { out, err: error_is_coloured() };
        Self { out: Box::new(io::stdout()), err: Box::new(io::stderr()), colour, terminal }
    }

    /// Any two writers, without colour.
    #[cfg(test)]
    pub(crate) fn new(out: impl Write + 'static, err: impl Write + 'static) -> Self {
        Self { out: Box::new(out), err: Box::new(err), colour: Colour::default(), terminal: false }
    }

    /// Progress that is drawn over itself, if the result goes to a terminal that can.
    pub(crate) fn meter(&self) -> Option<Meter> {
        self.terminal.then(|| Meter::new(indicatif::ProgressDrawTarget::stdout()))
    }

    /// A line of the result, at once.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        self.told(&format!("{text}\n"))
    }

    /// Text of the result for people, at once: nothing in it does anything to a terminal.
    pub(crate) fn told(&mut self, text: &str) -> Result<(), Failure> {
        self.raw(visible(text).as_bytes())
    }

    /// The result in the form the user asked for: as it is for programs, and on a terminal as for people.
    fn formed(&mut self, text: &str) -> Result<(), Failure> {
        if self.terminal { self.told(text) } else { self.raw(text.as_bytes()) }
    }

    /// Bytes of the result as they are, at once: what a container said, or a file.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }

    /// Bytes for standard error as they are, at once.
    pub(crate) fn raw_error(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.err.write_all(bytes)?;
        Ok(self.err.flush()?)
    }

    /// A line beside the result: a warning, a reason.
    pub(crate) fn note(&mut self, text: impl Display) -> Result<(), Failure> {
        Ok(writeln!(self.err, "{}", visible(&text.to_string()))?)
    }

    /// A name in a colour of its own, if that stream (standard error, or output) is a terminal.
    pub(crate) fn tinted(&self, err: bool, name: &str) -> String {
        if !(if err { self.colour.err } else { self.colour.out }) {
            return name.to_owned();
        }
        // Six colours that are read on black and on white; the same name always has the same.
        let sum: u32 = name.bytes().map(u32::from).sum();
        format!("\u{1b}[{}m{name}\u{1b}[0m", 31 + sum % 6)
    }

    /// Rendered help, styled if the terminal is.
    pub(crate) fn text(&mut self, text: &clap::builder::StyledStr) -> Result<(), Failure> {
        let text = if self.colour.out { text.ansi().to_string() } else { text.to_string() };
        self.raw(text.as_bytes())
    }

    /// A rendered usage error, styled if standard error is a terminal, whatever standard output is.
    pub(crate) fn error_text(&mut self, text: &clap::builder::StyledStr) -> Result<(), Failure> {
        let text = if self.colour.err { text.ansi().to_string() } else { text.to_string() };
        self.raw_error(text.as_bytes())
    }

    /// A list in the form the user asked for.
    pub(crate) fn list<const N: usize>(
        &mut self,
        listing: &Listing,
        columns: &[Column; N],
        rows: &[[Cell; N]],
    ) -> Result<(), Failure> {
        let text = list::render(&listing.format, listing.quiet, columns, rows)?;
        self.formed(&text)
    }

    /// A list of things without ids.
    pub(crate) fn form<const N: usize>(
        &mut self,
        form: &Form,
        columns: &[Column; N],
        rows: &[[Cell; N]],
    ) -> Result<(), Failure> {
        let text = list::render(form, false, columns, rows)?;
        self.formed(&text)
    }

    /// An answer of the daemon as JSON, or its `parts` (all of it, if it has none) through a template; false if the user
    /// asked for lines to read, which its command writes.
    pub(crate) fn answered(
        &mut self,
        form: &Form,
        answer: &serde_json::Value,
        parts: Option<&str>,
    ) -> Result<bool, Failure> {
        let text = answer::render(form, answer, parts)?;
        text.map_or(Ok(false), |text| self.formed(&text).map(|()| true))
    }

    /// Inspected objects, as the daemon wrote them, in the form the user asked for.
    pub(crate) fn objects(
        &mut self,
        shape: &Shape,
        objects: &[Box<RawValue>],
    ) -> Result<(), Failure> {
        let text = object::render(shape, objects)?;
        self.formed(&text)
    }
}

/// Whether standard error is styled.
pub(crate) fn error_is_coloured() -> bool {
    coloured(variable, io::stderr().is_terminal())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a stream is styled: NO_COLOR goes before CLICOLOR_FORCE, that before CLICOLOR, then it is up to the terminal.
fn coloured(variable: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    if variable("NO_COLOR").is_some() {
        return false;
    }
    if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    let unwanted = variable("CLICOLOR").is_some_and(|value| value == "0");
    terminal && !unwanted && variable("TERM").is_none_or(|value| value != "dumb")
}

#[cfg(test)]
mod tests {
    use super::coloured;

    #[test]
    fn colour_is_for_terminals_and_can_be_turned_off_and_on() {
        let with = |set: &'static [(&str, &str)], terminal| {
            let value = |name: &str| set.iter().find(|(n, _)| *n == name);
            coloured(|name| value(name).map(|(_, v)| (*v).to_owned()), terminal)
        };
        assert!(with(&[], true));
        assert!(!with(&[], false));
        assert!(!with(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(!with(&[("CLICOLOR", "0")], true));
        assert!(!with(&[("TERM", "dumb")], true));
        assert!(with(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!with(&[("CLICOLOR_FORCE", "0")], false));
    }
}
