//! What the user sees: results on standard output, everything else on standard error.
//! The only place that writes to them, so that a test can read a command's output from a buffer.

pub(crate) mod human;
mod table;

use std::fmt::Display;
use std::io::{self, Write};

use crate::args::{Format, Listing};
use crate::failure::Failure;

/// The two streams of a command.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    colour: bool,
}

/// One line of a list, in all its forms.
pub(crate) struct Row {
    /// What `-q` prints.
    pub(crate) id: String,
    /// What the table shows, one a header.
    pub(crate) cells: Vec<String>,
    /// What `--format json` prints.
    pub(crate) json: serde_json::Value,
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
    pub(crate) fn list(
        &mut self,
        listing: &Listing,
        headers: &[&str],
        rows: &[Row],
    ) -> Result<(), Failure> {
        let text = if listing.quiet {
            rows.iter().map(|row| format!("{}\n", row.id)).collect()
        } else {
            match listing.format {
                Format::Table => table::render(headers, rows.iter().map(|row| &row.cells[..])),
                Format::Json => {
                    rows.iter().map(|row| format!("{}\n", row.json)).collect::<String>()
                }
            }
        };
        self.raw(text.as_bytes())
    }
}
