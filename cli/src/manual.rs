//! `skein manual`: the reference and the manual pages, made from the grammar itself. Hidden: for packages and `docs/cli.md`.
//! Apart from `--help`, which shows one command to a reader in a terminal; this shows all of them to a reader of pages.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command};

use crate::failure::{EXIT_CODES, Failure};
use crate::session::Session;

/// Print the reference of all commands, or write manual pages
#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// Write manual pages there instead
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
}

impl Manual {
    pub(crate) fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self.man {
            None => session.screen.raw(reference().as_bytes()),
            Some(folder) => {
                std::fs::create_dir_all(&folder)?;
                Ok(clap_mangen::generate_to(paged(crate::args::command()), folder)?)
            }
        }
    }
}

/// The grammar as manual pages show it: the exit codes below every command.
fn paged(command: Command) -> Command {
    let examples = command.get_after_long_help().map(|text| format!("{text}\n\n"));
    let text = format!("{}{}", examples.unwrap_or_default(), exit_codes("  ", ""));
    command.after_long_help(text).mut_subcommands(paged)
}

fn exit_codes(indent: &str, quote: &str) -> String {
    let line = |(code, means): &(&str, &str)| format!("{indent}{quote}{code}{quote}  {means}\n");
    format!("Exit codes:\n{}", EXIT_CODES.iter().map(line).collect::<String>())
}

/// All commands in Markdown, as in `docs/cli.md`.
pub(crate) fn reference() -> String {
    // A fixed width: the page must not depend on the terminal it is made in.
    let mut root = crate::args::command().term_width(100);
    root.build();
    let mut page = String::from(
        "# The command line\n\n\
         Made from the grammar by `skein manual`; a test fails when this page is stale, and `UPDATE=1 cargo test -p skein` rewrites it.\n\n",
    );
    let about = root.get_about().map(ToString::to_string).unwrap_or_default();
    write(&mut page, format_args!("{about}. Every command takes these options:\n\n"));
    arguments(&mut page, &mut root.get_arguments().filter(|a| a.get_id() != "version"));
    page.push_str("\nColour is used on terminals only; `NO_COLOR` and `CLICOLOR=0` turn it off, `CLICOLOR_FORCE=1` on.\n");
    page.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, means) in EXIT_CODES {
        write(&mut page, format_args!("| {code} | {means} |\n"));
    }
    page.push_str(LISTS);
    for command in visible(&root) {
        section(&mut page, command, 2);
    }
    page
}

/// What holds for every list.
const LISTS: &str = "\n## Lists\n\n\
Every list takes `-q`, `--no-trunc`, `--filter`, `--format` and `--at`. Filters go to the daemon, which refuses keys it does not know; the same key twice means either value, different keys must all hold. \
`--format` is `table`, `json` (one object a line, whole ids), a [Go template](https://pkg.go.dev/text/template) that makes a line of each row (`'{{.Name}}'`), \
or `'table {{.ID}}\\t{{.Name}}'`, which aligns columns under headers. Field names are Docker's and a wrong one is answered with those there are. \
Besides Go's functions there are Docker's: `json`, `join`, `split`, `lower`, `upper`, `title`, `pad`, `truncate`.\n";

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

fn section(page: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    write(page, format_args!("\n{} {name}\n\n", "#".repeat(level)));
    let about = command.get_long_about().or_else(|| command.get_about());
    write(page, format_args!("{}\n", about.map(ToString::to_string).unwrap_or_default()));
    let aliases: Vec<String> =
        command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
    if !aliases.is_empty() {
        write(page, format_args!("\nAlso: {}\n", aliases.join(", ")));
    }
    if visible(command).next().is_none() || command.get_positionals().next().is_some() {
        let usage = command.clone().render_usage().to_string();
        write(page, format_args!("\n```text\n{}\n```\n", usage.trim_start_matches("Usage: ")));
        let mut own = command.get_arguments().filter(|argument| !argument.is_global_set());
        let mut text = String::new();
        arguments(&mut text, &mut own);
        if !text.is_empty() {
            write(page, format_args!("\n{text}"));
        }
    }
    if let Some(examples) = command.get_after_long_help() {
        let examples = examples.to_string();
        let lines: String =
            examples.lines().skip(1).map(|line| format!("{}\n", line.trim_start())).collect();
        write(page, format_args!("\n```sh\n{lines}```\n"));
    }
    for command in visible(command) {
        section(page, command, level + 1);
    }
}

fn arguments(page: &mut String, arguments: &mut dyn Iterator<Item = &Arg>) {
    let shown = arguments.filter(|argument| !argument.is_hide_set() && argument.get_id() != "help");
    for argument in shown {
        let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> = argument
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !values.is_empty() && argument.get_action().takes_values() {
            write(&mut text, format_args!(": {}", values.join(", ")));
        }
        let defaults: Vec<String> = argument
            .get_default_values()
            .iter()
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        let told = argument.get_action().takes_values() && !argument.is_hide_default_value_set();
        if told && !defaults.is_empty() {
            write(&mut text, format_args!(" (default {})", defaults.join(", ")));
        }
        write(page, format_args!("- `{}`: {text}\n", spelled(argument)));
    }
}

/// An argument as it is typed.
fn spelled(argument: &Arg) -> String {
    if argument.is_positional() {
        return argument.to_string();
    }
    let values = argument.get_value_names().unwrap_or_default();
    let value = match values {
        [value, ..] if argument.get_action().takes_values() => format!(" {value}"),
        _ => String::new(),
    };
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    format!("{}{value}", names.join(", "))
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_what_the_grammar_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        let made = reference();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(kept == made, "docs/cli.md is stale: UPDATE=1 cargo test -p skein rewrites it");
        assert!(!made.contains("skein manual --man"), "a hidden command is shown");
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(paged(crate::args::command()), folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("skein-service-create.1")).unwrap();
        assert!(page.contains("Exit codes") && page.contains("nightly report"), "{page}");
        assert!(!folder.path().join("skein-manual.1").exists(), "it is hidden");
    }
}
