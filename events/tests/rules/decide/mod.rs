//! Decisions: given what happened, when a command comes, then these events or this refusal.

mod cluster;
mod network;
mod node;
mod service;
mod task;

use skein_events::command::Command;
use skein_events::event::Event;
use skein_events::refusal::Refusal;

use crate::world::{World, root};

/// A swarm of two ready nodes in which something happened.
pub(super) fn given<T>(past: impl FnOnce(&mut World) -> T) -> World {
    let mut world = World::of(2);
    past(&mut world);
    world
}

/// Nothing happened but that a swarm was made.
pub(super) fn given_nothing() -> World {
    given(|_| ())
}

/// What came of a command.
pub(super) struct Outcome(Result<Vec<Event>, Refusal>);

impl World {
    /// A command comes.
    pub(super) fn when(mut self, command: Command) -> Outcome {
        let before = self.state.position;
        let outcome = self.submit(root(), None, &command);
        let written = outcome.as_ref().map_or(0, |events| events.len() as u64);
        assert_eq!(self.state.position.0, before.0 + written, "a refusal writes nothing");
        Outcome(outcome)
    }
}

impl Outcome {
    /// It was accepted, and these are the kinds of what happened.
    #[track_caller]
    pub(super) fn then(self, kinds: &[&str]) -> Vec<Event> {
        let events = self.0.expect("the command is accepted");
        let found: Vec<&str> = events.iter().map(|e| e.kind().name).collect();
        assert_eq!(found, kinds);
        events
    }
    /// It was refused with this.
    #[track_caller]
    pub(super) fn refused(self, refusal: Refusal) {
        assert_eq!(self.0, Err(refusal));
    }
    /// It was refused with a stable word and this text.
    #[track_caller]
    pub(super) fn refused_as(self, code: &str, text: &str) {
        let refusal = self.0.expect_err("the command is refused");
        assert_eq!((refusal.code(), refusal.to_string().as_str()), (code, text));
    }
}

#[test]
fn without_a_swarm_only_a_swarm_can_be_made() {
    World::default().when(Command::Checkpoint).refused(Refusal::NotInSwarm);
    let made = World::default().when(crate::world::create_cluster());
    made.then(&["cluster.created", "node.joined"]);
}

#[test]
fn a_reason_has_a_limit_and_stands_in_the_first_record() {
    let mut world = given_nothing();
    world.reason = Some("x".repeat(5000));
    world.when(Command::Checkpoint).refused(Refusal::TooLarge("the reason", 4096));

    let mut world = World::default();
    world.reason = Some("first swarm".to_owned());
    world.user(crate::world::create_cluster());
    let reasons: Vec<Option<String>> = world.log[0]
        .batch
        .entries
        .iter()
        .map(|e| match &e.apart {
            skein_events::codec::Apart::Present { value, .. } => value.reason.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [Some("first swarm".to_owned()), None]);
}

#[test]
fn every_refusal_has_a_stable_word_and_dockers_status() {
    let text = String::new;
    let name = String::new;
    let table = [
        (Refusal::NotFound { noun: "task", name: name() }, 404, "not_found"),
        (
            Refusal::Ambiguous { noun: "task", name: name(), candidates: Vec::new() },
            400,
            "ambiguous",
        ),
        (Refusal::NameConflict { noun: "service", name: name() }, 409, "name_conflict"),
        (Refusal::NetworkExists { name: name() }, 409, "name_conflict"),
        (Refusal::Invalid(text()), 400, "invalid"),
        (Refusal::InUse { what: text(), by: text() }, 400, "in_use"),
        (Refusal::Subnet(text()), 400, "subnet"),
        (Refusal::OutOfSequence, 500, "out_of_sequence"),
        (Refusal::Unsupported(text()), 501, "unsupported"),
        (Refusal::NotInSwarm, 503, "not_in_swarm"),
        (Refusal::AlreadyInSwarm, 503, "already_in_swarm"),
        (Refusal::LastManager, 503, "last_manager"),
        (Refusal::NothingToRedact(skein_events::record::Position(1)), 400, "nothing_to_redact"),
        (Refusal::Stale(text()), 500, "stale"),
        (Refusal::TooLarge("x", 1), 400, "too_large"),
        (Refusal::Broken(text()), 500, "broken"),
    ];
    for (refusal, status, code) in table {
        assert_eq!((refusal.status(), refusal.code()), (status, code), "{refusal:?}");
    }
}
