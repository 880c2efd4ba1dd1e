//! Decisions about nodes.

use skein_events::command::{Command, ImageNote, VolumeNote};
use skein_events::id::NodeId;
use skein_events::node::event::NodeUpdated;
use skein_events::node::{Availability, ImageChange, NodeState, VolumeChange};
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::time::Span;

use super::{given, given_nothing};
use crate::world::{World, machine, node_id};

fn state(n: u8, state: NodeState) -> Command {
    Command::SetNodeState { id: node_id(n), state, message: String::new() }
}
fn unheard(world: &mut World) {
    world.user(state(2, NodeState::Unknown));
}
fn down(world: &mut World) {
    unheard(world);
    world.now = world.now.after(Span::seconds(15));
    world.user(state(2, NodeState::Down));
}

#[test]
fn a_node_joins_once() {
    given_nothing().when(Command::JoinNode(machine(3))).then(&["node.joined"]);
    let name = node_id(2).to_string();
    let refusal = Refusal::NameConflict { noun: "node", name };
    given_nothing().when(Command::JoinNode(machine(2))).refused(refusal);
}

#[test]
fn a_node_is_described_when_something_changed() {
    let describe = |change: fn(&mut skein_events::node::Description)| {
        let mut description = machine(2).description;
        change(&mut description);
        Command::DescribeNode { id: node_id(2), description }
    };
    let changed = describe(|d| d.hostname = "other".to_owned());
    given_nothing().when(changed).then(&["node.described"]);
    given_nothing()
        .when(describe(|_| ()))
        .refused_as("stale", "stale plan: the node is already described so");
}

fn update(availability: Availability, labels: &[(&str, &str)]) -> Command {
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Command::UpdateNode { id: node_id(2), availability, labels, if_changed: None }
}

#[test]
fn a_node_is_updated_if_nobody_was_faster() {
    let drain = || update(Availability::Drain, &[("zone", "b"), ("disk", "ssd"), ("zone", "a")]);
    let events = given_nothing().when(drain()).then(&["node.updated"]);
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let labels = vec![pair("disk", "ssd"), pair("zone", "a")];
    let updated = NodeUpdated { id: node_id(2), availability: Availability::Drain, labels };
    assert_eq!(events, [updated.into()]);

    let world = given(|w| {
        w.user(drain());
        unheard(w);
    });
    let node = &world.state.nodes[&node_id(2)];
    assert_eq!((node.availability, node.labels.len()), (Availability::Drain, 2));
    let at = |position| Command::UpdateNode {
        id: node_id(2),
        availability: Availability::Active,
        labels: Vec::new(),
        if_changed: Some(position),
    };
    let changed = node.changed;
    assert!(changed < node.last, "what was seen of a node is no change of what users say of it");
    world.clone().when(at(Position(changed.0 - 1))).refused(Refusal::OutOfSequence);
    world.when(at(changed)).then(&["node.updated"]);
    let no_key = update(Availability::Active, &[("", "x")]);
    given_nothing().when(no_key).refused_as("invalid", "a label needs a key");
}

#[test]
fn nodes_nobody_knows_are_not_found() {
    let id = NodeId::from_random([77; 16]);
    let refusal = || Refusal::NotFound { noun: "node", name: id.to_string() };
    let description = machine(2).description;
    given_nothing().when(Command::DescribeNode { id, description }).refused(refusal());
    let ready = Command::SetNodeState { id, state: NodeState::Ready, message: String::new() };
    given_nothing().when(ready).refused(refusal());
    given_nothing().when(Command::FenceNode { id, at: Position(9) }).refused(refusal());
    let availability = Availability::Pause;
    let update = Command::UpdateNode { id, availability, labels: Vec::new(), if_changed: None };
    given_nothing().when(update).refused(refusal());
}

#[test]
fn a_node_goes_down_only_after_its_grace_and_comes_back_ready() {
    let stale = |world: World, command| {
        let text = format!("stale plan: node {} is not to change so", node_id(2).short());
        world.when(command).refused_as("stale", &text);
    };
    stale(given_nothing(), state(2, NodeState::Ready));
    stale(given_nothing(), state(2, NodeState::Down));
    stale(given(unheard), state(2, NodeState::Down));
    stale(given(down), state(2, NodeState::Unknown));
    given(down).when(state(2, NodeState::Ready)).then(&["node.state-changed"]);
    let heard_again = given(|w| {
        unheard(w);
        w.now = w.now.after(Span::seconds(14));
        w.user(state(2, NodeState::Ready));
        unheard(w);
        w.now = w.now.after(Span::seconds(2));
    });
    stale(heard_again, state(2, NodeState::Down));
}

#[test]
fn a_node_is_fenced_once_it_is_down_and_let_go_of() {
    let fence = |at| Command::FenceNode { id: node_id(2), at };
    let text = format!("stale plan: node {} is not to be fenced", node_id(2).short());
    given_nothing().when(fence(Position(999))).refused_as("stale", &text);
    let early = given(down);
    let at = early.state.nodes[&node_id(2)].state_at;
    early.when(fence(Position(at.0 - 1))).refused_as("stale", &text);
    given(down).when(fence(at)).then(&["node.fenced"]);
    let twice = given(|w| {
        down(w);
        w.user(fence(at));
    });
    twice.when(fence(at)).refused_as("stale", &text);
}

#[test]
fn changes_of_a_nodes_images_are_written_down() {
    let note = |name: &str| ImageNote {
        change: ImageChange::Tagged,
        name: name.to_owned(),
        digest: "sha256:a6".to_owned(),
    };
    let notes = |n: u8, notes| Command::NoteImages { node: node_id(n), notes };
    given_nothing()
        .when(notes(2, vec![note("a:1"), note("b:1")]))
        .then(&["node.image-changed", "node.image-changed"]);
    given_nothing()
        .when(notes(2, Vec::new()))
        .refused_as("stale", "stale plan: no image was changed");
    given_nothing()
        .when(notes(77, vec![note("a:1")]))
        .refused_as("not_found", &format!("node {} not found", node_id(77)));
    let many = vec![note("a:1"); 1_001];
    let limit = "changes of images is over the limit of 1000";
    given_nothing().when(notes(2, many)).refused_as("too_large", limit);
    let long = "an image's name is over the limit of 512";
    given_nothing().when(notes(2, vec![note(&"x".repeat(513))])).refused_as("too_large", long);
}

#[test]
fn changes_of_a_nodes_volumes_are_written_down() {
    let note = |name: &str| VolumeNote { change: VolumeChange::Created, name: name.to_owned() };
    let notes = |n: u8, notes| Command::NoteVolumes { node: node_id(n), notes };
    given_nothing().when(notes(2, vec![note("data")])).then(&["node.volume-changed"]);
    given_nothing()
        .when(notes(2, Vec::new()))
        .refused_as("stale", "stale plan: no volume was changed");
    given_nothing()
        .when(notes(77, vec![note("data")]))
        .refused_as("not_found", &format!("node {} not found", node_id(77)));
    let limit = "changes of volumes is over the limit of 1000";
    given_nothing().when(notes(2, vec![note("data"); 1_001])).refused_as("too_large", limit);
    let long = "a volume's name is over the limit of 255";
    given_nothing().when(notes(2, vec![note(&"x".repeat(256))])).refused_as("too_large", long);
}
