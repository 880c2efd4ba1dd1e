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

#[test]
fn a_consumer_goes_forward_unless_it_is_told_to_seek() {
    let name = || "audit".parse().unwrap();
    let create = |at| Command::CreateConsumer { name: name(), at: Position(at) };
    let move_to = |to, seek| Command::MoveConsumer { name: name(), to: Position(to), seek };
    let mut world = World::of(1);
    let newest = world.state.position;
    world.user(create(1));
    let at = |world: &World| world.state.consumers.get(&name()).map(|c| c.at.0);
    assert_eq!(at(&world), Some(1));
    world.user(move_to(3, false));
    let acknowledged = world.state.consumers[&name()].acknowledged;
    assert!(acknowledged.is_some());
    world.user(move_to(2, true));
    assert_eq!(at(&world), Some(2));
    // To be told where to go on is no acknowledgement.
    assert_eq!(world.state.consumers[&name()].acknowledged, acknowledged);
    let ahead = newest.0 + 100;
    let refused = [
        (create(1), "name_conflict"),
        (move_to(2, false), "invalid"),
        (move_to(ahead, false), "invalid"),
        (move_to(ahead, true), "invalid"),
        (Command::RemoveConsumer("other".parse().unwrap()), "not_found"),
    ];
    for (command, code) in refused {
        let refusal = world.submit(crate::world::root(), None, &command).unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
    }
    world.user(Command::RemoveConsumer(name()));
    assert_eq!(at(&world), None);
}

#[test]
fn consumers_are_in_digests_and_snapshots_and_leave_no_trace() {
    let mut world = World::of(1);
    world.user(Command::CreateConsumer { name: "audit".parse().unwrap(), at: Position(1) });
    let mut with = world.state.clone();
    let mut read = skein_events::state::State::from_snapshot(&with.to_snapshot()).unwrap();
    assert_eq!(read.consumers, with.consumers);
    assert_eq!(read.digest(), with.digest());
    let mut other = world.state.clone();
    other.consumers.clear();
    let mut other = skein_events::state::State::from_snapshot(&other.to_snapshot()).unwrap();
    assert_ne!(other.digest(), with.digest(), "a lost consumer is seen at the next checkpoint");
}
