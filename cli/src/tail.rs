//! `skein tail`: events as they happen, one CloudEvent a line, for programs.
//! Lines are passed on as the daemon writes them, bookmarks included, so that a reader can resume from any of them.

use crate::args::At;
use crate::client::Query;
use crate::failure::Failure;
use crate::session::Session;

/// Follow the log as CloudEvents, one JSON object a line
///
/// Each line carries a cursor; to resume strictly after it, give it to --from.
#[derive(Debug, clap::Args)]
pub(crate) struct Tail {
    /// Where to begin: a position, a cursor of an earlier line, start or now
    #[arg(long, value_name = "@N|start|now|CURSOR", default_value = "now")]
    from: String,
    /// End with the newest record instead of waiting for more
    #[arg(long)]
    no_follow: bool,
}

impl Tail {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let follow = if self.no_follow { "0" } else { "1" };
        let query = Query::default().with("from", &self.from).with("follow", follow);
        let path = format!("/skein/v1/tail{query}");
        let mut lines = session.client.lines(&path, &At::default()).await?;
        while let Some(line) = lines.next().await? {
            session.screen.line(String::from_utf8_lossy(&line))?;
        }
        Ok(())
    }
}
