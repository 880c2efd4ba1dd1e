//! What the user sees: results on standard output, everything else on standard error.
//! The only place that writes to them, so that a test can read a command's output from a buffer.

pub(crate) mod human;
mod list;
mod object;
mod table;
mod template;

use std::fmt::Display;
use std::io::{self, Write};

pub(crate) use list::{Cell, Column, Form};
pub(crate) use object::Shape;

use crate::args::Listing;
use crate::failure::Failure;

/// The two streams of a command.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    colour: bool,
}

impl Screen {
    /// This process's standard streams; colour only on a terminal and without NO_COLOR.
    pub(crate) fn standard() -> Self {
        let colour = io::IsTerminal::is_terminal(&io::stdout())
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: Box::new(io::stdout()), err: Box::new(io::stderr()), colour }
    }

    /// Any two writers, without colour.
    #[cfg(test)]
    pub(crate) fn new(out: impl Write + 'static, err: impl Write + 'static) -> Self {
        Self { out: Box::new(out), err: Box::new(err), colour: false }
    }

    /// A line of the result, at once.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    /// Bytes of the result as they are, at once.
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
        Ok(writeln!(self.err, "{text}")?)
    }

    /// Rendered help, styled if the terminal is.
    pub(crate) fn text(&mut self, text: &clap::builder::StyledStr) -> Result<(), Failure> {
        let text = if self.colour { text.ansi().to_string() } else { text.to_string() };
        self.raw(text.as_bytes())
    }

    /// A rendered usage error; never styled, because standard error may be a file while standard output is a terminal.
    pub(crate) fn error_text(&mut self, text: &clap::builder::StyledStr) -> Result<(), Failure> {
        self.raw_error(text.to_string().as_bytes())
    }

    /// A list in the form the user asked for.
    pub(crate) fn list<const N: usize>(
        &mut self,
        listing: &Listing,
        columns: &[Column; N],
        rows: &[[Cell; N]],
    ) -> Result<(), Failure> {
        let text = list::render(&listing.format, listing.quiet, columns, rows)?;
        self.raw(text.as_bytes())
    }

    /// Inspected objects in the form the user asked for.
    pub(crate) fn objects(
        &mut self,
        shape: &Shape,
        objects: &[serde_json::Value],
    ) -> Result<(), Failure> {
        let text = object::render(shape, objects)?;
        self.raw(text.as_bytes())
    }
}
