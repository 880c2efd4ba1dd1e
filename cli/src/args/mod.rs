//! The grammar of the command line: the root, what every command shares, and which file runs what.
//! Options of one command stand in that command's file.

mod daemon;
mod examples;
mod shared;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use daemon::{DaemonArgs, LogFormat, LogLevel};
pub(crate) use shared::{
    At, Because, Change, Condition, Host, Inspecting, Listing, Moment, Reason, Removal, position,
};

use crate::failure::Failure;
use crate::session::Session;

/// A swarm of container hosts whose only truth is its log of events
#[derive(Debug, Parser)]
#[command(name = "skein", version, max_term_width = 110)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Daemon to talk to
    #[arg(
        short = 'H',
        long,
        global = true,
        env = "SKEIN_HOST",
        hide_env_values = true,
        value_name = "unix://PATH",
        default_value = Host::DEFAULT
    )]
    pub(crate) host: Host,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The grammar with its examples.
pub(crate) fn command() -> clap::Command {
    valued(examples::shown(Arguments::command(), ""))
}

/// An option that has a value takes the next word for it, whatever that begins with, as Docker's client does: so `-1` is
/// refused by the option it was meant for.
fn valued(command: clap::Command) -> clap::Command {
    let always = |arg: &clap::Arg| {
        !arg.is_positional()
            && arg.get_action().takes_values()
            && arg.get_num_args().is_none_or(|count| count.min_values() > 0)
    };
    command
        .mut_args(|arg| if always(&arg) { arg.allow_hyphen_values(true) } else { arg })
        .mut_subcommands(valued)
}

/// Every command; the order is the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Daemon(DaemonArgs),
    /// Make, join and leave a swarm
    #[command(subcommand)]
    Swarm(crate::swarm::Swarm),
    /// Look at the members of the swarm
    #[command(subcommand)]
    Node(crate::node::Node),
    /// Manage networks
    #[command(subcommand)]
    Network(crate::network::Network),
    /// Manage this node's images
    #[command(subcommand)]
    Image(crate::image::Image),
    /// Manage this node's volumes
    #[command(subcommand)]
    Volume(crate::volume::Volume),
    /// Look after this node's disk
    #[command(subcommand)]
    System(crate::system::System),
    /// Manage services
    #[command(subcommand)]
    Service(crate::service::Service),
    Exec(crate::exec::Exec),
    Log(crate::log::Log),
    Tail(crate::tail::Tail),
    /// Manage named readers of the log
    #[command(subcommand)]
    Consumer(crate::consumer::Consumer),
    Why(crate::why::Why),
    WhyNot(crate::why_not::WhyNot),
    Timeline(crate::timeline::Timeline),
    Diff(crate::diff::Diff),
    Replay(crate::replay::Replay),
    Bisect(crate::bisect::Bisect),
    Verify(crate::verify::Verify),
    Version(crate::version::Version),
    Info(crate::system::info::Info),
    Completion(crate::completion::Completion),
    #[command(hide = true)]
    Manual(crate::manual::Manual),
}

impl Command {
    /// Runs a command that needs the daemon.
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Swarm(swarm) => swarm.run(session).await,
            Self::Node(node) => node.run(session).await,
            Self::Network(network) => network.run(session).await,
            Self::Image(image) => image.run(session).await,
            Self::Volume(volume) => volume.run(session).await,
            Self::System(system) => system.run(session).await,
            Self::Service(service) => service.run(session).await,
            Self::Exec(exec) => exec.run(session).await,
            Self::Log(log) => log.run(session).await,
            Self::Tail(tail) => tail.run(session).await,
            Self::Consumer(consumer) => consumer.run(session).await,
            Self::Why(why) => why.run(session).await,
            Self::WhyNot(why_not) => why_not.run(session).await,
            Self::Timeline(timeline) => timeline.run(session).await,
            Self::Diff(diff) => diff.run(session).await,
            Self::Replay(replay) => replay.run(session).await,
            Self::Bisect(bisect) => bisect.run(session).await,
            Self::Verify(verify) => verify.run(session).await,
            Self::Version(version) => version.run(session).await,
            Self::Info(info) => info.run(session).await,
            Self::Completion(completion) => completion.run(session),
            Self::Manual(manual) => manual.run(session),
            Self::Daemon(_) => unreachable!("run() starts it without a session"),
        }
    }
}
