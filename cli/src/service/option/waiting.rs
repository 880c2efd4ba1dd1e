//! Options of what a command does once the swarm has accepted what it asks.

use crate::failure::Failure;
use crate::parse;
use crate::service::converge;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Waiting {
    /// Return at once instead of waiting until the tasks run
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", value_parser = parse::yes_or_no, overrides_with = "detach")]
    detach: Option<bool>,
    /// Print only the id or name; wait all the same
    #[arg(short, long)]
    quiet: bool,
}

impl Waiting {
    /// Waits until the service runs as asked, unless told otherwise.
    pub(in crate::service) async fn wait(
        &self,
        session: &mut Session,
        id: &str,
    ) -> Result<(), Failure> {
        if self.detach == Some(true) {
            return Ok(());
        }
        converge::wait(session, id, self.quiet).await
    }
}
