//! `skein image prune`.

use std::io::IsTerminal as _;

use hyper::Method;
use serde::Deserialize;

use super::Step;
use crate::args::Because;
use crate::client::{Query, nothing};
use crate::failure::Failure;
use crate::screen::human;
use crate::session::Session;

/// Remove images that nobody needs
#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only what matches: label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME|AGE
    #[arg(long, value_name = "KEY=VALUE", value_parser = crate::parse::key_value)]
    pub(crate) filter: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) because: Because,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    #[serde(default)]
    images_deleted: Option<Vec<Step>>,
    #[serde(default)]
    space_reclaimed: i64,
}

impl Prune {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let what = if self.all {
            "all images that no container uses"
        } else {
            "all images without a name"
        };
        if !self.force && !confirmed(session, what)? {
            return Ok(());
        }
        let bytes = self.carry_out(session).await?;
        reclaimed(session, bytes)
    }

    /// Prunes and tells what went; the bytes that are free again.
    async fn carry_out(&self, session: &mut Session) -> Result<i64, Failure> {
        let dangling = ("dangling".to_owned(), (!self.all).to_string());
        let mut filters = vec![dangling];
        // `label!=x` parses as the key `label!`.
        filters.extend(self.filter.iter().cloned());
        let path = format!("/images/prune{}", Query::default().filtered(&filters));
        let pruned: Pruned =
            session.client.change(Method::POST, &path, nothing(), &self.because).await?;
        let steps = pruned.images_deleted.unwrap_or_default();
        if !steps.is_empty() {
            session.screen.line("Deleted Images:")?;
            steps.iter().try_for_each(|step| step.show(session))?;
            session.screen.line("")?;
        }
        Ok(pruned.space_reclaimed)
    }
}

/// Tells how much is free again.
fn reclaimed(session: &mut Session, bytes: i64) -> Result<(), Failure> {
    session.screen.line(format!("Total reclaimed space: {}", human::size(bytes)))
}

/// Asks before something is removed that nobody named; without a terminal nobody can answer.
fn confirmed(session: &mut Session, what: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("this removes {what}: add --force")));
    }
    session.screen.note(format!("WARNING! This will remove {what}."))?;
    session.screen.note("Are you sure you want to continue? [y/N]")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
