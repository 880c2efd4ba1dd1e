//! Decisions about the swarm as a whole.

use skein_events::command::Command;
use skein_events::id::NodeId;
use skein_events::record::{Hash, Position};
use skein_events::refusal::Refusal;

use super::{given, given_nothing};
use crate::world::{World, create_cluster, node_id};

fn cluster_with(change: impl FnOnce(&mut skein_events::cluster::ClusterSpec)) -> Command {
    let mut command = create_cluster();
    if let Command::CreateCluster { spec, .. } = &mut command {
        change(spec);
    }
    command
}

#[test]
fn a_swarm_is_made_once() {
    given_nothing().when(create_cluster()).refused(Refusal::AlreadyInSwarm);
}

#[test]
fn settings_of_a_swarm_are_checked() {
    World::default().when(cluster_with(|s| s.pool_prefix = 30)).refused_as(
        "invalid",
        "invalid default-addr-pool-mask-length 30: it must be between 8 and 29",
    );
    World::default().when(cluster_with(|s| s.pool_prefix = 7)).refused_as(
        "invalid",
        "invalid default-addr-pool-mask-length 7: it must be between 8 and 29",
    );
    World::default()
        .when(cluster_with(|s| s.data_path_port = 80))
        .refused_as("invalid", "invalid data-path-port 80: it must be between 1024 and 49151");
}

#[test]
fn a_record_is_redacted_once_and_only_if_it_is_there() {
    let redact = |n| Command::Redact { position: Position(n), commitment: Hash([1; 32]) };
    given_nothing().when(redact(1)).then(&["cluster.record-redacted"]);
    given_nothing().when(redact(0)).refused(Refusal::NothingToRedact(Position(0)));
    given_nothing().when(redact(999)).refused(Refusal::NothingToRedact(Position(999)));
    let again = given(|w| w.user(redact(1))).when(redact(1));
    again.refused(Refusal::NothingToRedact(Position(1)));
}

#[test]
fn an_erasure_is_confirmed_by_a_node_when_it_was_ordered() {
    let confirm = |node| Command::ConfirmRedaction { position: Position(1), node };
    let redact = Command::Redact { position: Position(1), commitment: Hash([1; 32]) };
    let ordered = || given(|w| w.user(redact.clone()));
    ordered().when(confirm(node_id(1))).then(&["cluster.redaction-confirmed"]);
    given_nothing().when(confirm(node_id(1))).refused(Refusal::NothingToRedact(Position(1)));
    let stranger = NodeId::from_random([77; 16]);
    let refusal = Refusal::NotFound { noun: "node", name: stranger.to_string() };
    ordered().when(confirm(stranger)).refused(refusal);
}

#[test]
fn a_checkpoint_is_written_only_when_something_happened() {
    given_nothing().when(Command::Checkpoint).then(&["cluster.checkpointed"]);
    given(|w| w.user(Command::Checkpoint))
        .when(Command::Checkpoint)
        .refused_as("stale", "stale plan: nothing happened since the last checkpoint");
}

#[test]
fn an_erasure_is_open_until_every_manager_has_confirmed_it() {
    let position = Position(1);
    let redact = Command::Redact { position, commitment: Hash([1; 32]) };
    let mut world = given(|w| w.user(redact));
    let order = world.state.position;
    let open: Vec<_> = world.state.unconfirmed.iter().map(|(k, v)| (*k, *v)).collect();
    assert_eq!(open, [((node_id(1), position), order)], "only managers hold the log");
    world.user(Command::ConfirmRedaction { position, node: node_id(1) });
    assert!(world.state.unconfirmed.is_empty());
}
