//! Options of the container that have one value; those with many stand in `lists`.

use bollard_stubs::models::TaskSpecContainerSpec;

use crate::failure::Failure;
use crate::parse;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Container {
    /// Host name inside the containers
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Directory the command starts in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User and group, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Program in place of the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Time a container has to end before it is killed
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    stop_grace_period: Option<i64>,
    /// Signal that asks a container to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Run an init process that passes signals on and reaps
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse::yes_or_no)]
    init: Option<bool>,
    /// Let nothing be written to the root file system
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse::yes_or_no)]
    read_only: Option<bool>,
    /// Give the containers a terminal
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse::yes_or_no)]
    tty: Option<bool>,
    /// How readily the kernel kills the containers when memory runs out, from -1000 to 1000
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1000..=1000))]
    oom_score_adj: Option<i64>,
}

impl Container {
    /// Changes what was said.
    pub(in crate::service) fn put_into(
        self,
        spec: &mut TaskSpecContainerSpec,
    ) -> Result<(), Failure> {
        let Self {
            hostname,
            workdir,
            user,
            entrypoint,
            stop_grace_period,
            stop_signal,
            init,
            read_only,
            tty,
            oom_score_adj,
        } = self;
        let entrypoint = entrypoint.as_deref().map(parse::words).transpose();
        put(&mut spec.command, entrypoint.map_err(Failure::Usage)?);
        put(&mut spec.hostname, hostname);
        put(&mut spec.dir, workdir);
        put(&mut spec.user, user);
        put(&mut spec.stop_grace_period, stop_grace_period);
        put(&mut spec.stop_signal, stop_signal);
        put(&mut spec.init, init);
        put(&mut spec.read_only, read_only);
        put(&mut spec.tty, tty);
        put(&mut spec.oom_score_adj, oom_score_adj);
        Ok(())
    }
}

/// Replaces a value if another one was said.
fn put<T>(field: &mut Option<T>, said: Option<T>) {
    if said.is_some() {
        *field = said;
    }
}
