//! The state at a moment, checkpoints, differences.

use skein_events::command::Command;
use skein_events::event::Event;
use skein_events::record::{BatchBytes, Hash, Place, Position};
use skein_events::state::State;
use skein_events::task::TaskState;
use skein_events::time::Span;
use skein_events::view::diff::{Change, diff};
use skein_events::view::field::Field;
use skein_replay::at::{Broken, at, fold};
use skein_replay::audit::Audit;

use crate::world::{Logged, World, node_id, service, status};

type Item = Result<(Position, skein_events::codec::Batch), Broken>;

fn batches(log: &[Logged]) -> impl Iterator<Item = Item> {
    log.iter().map(|l| Ok((l.first, l.batch.clone())))
}

/// A swarm with a life behind it, and the state after every batch.
fn lived() -> (World, Vec<State>) {
    let mut world = World::of(2);
    let net = world.network("demo");
    let web = world.service(service("web", 3, &[net]));
    world.run();
    let failed = world.task(web, 2).id;
    let node = world.task(web, 2).node.unwrap();
    world.report(node, vec![(failed, status(TaskState::Failed))]).unwrap();
    world.pass(Span::seconds(11));
    world.run();
    world.user(Command::RemoveService(web));
    world.run();
    world.pass(Span::seconds(10));
    let mut states = vec![State::default()];
    for logged in &world.log {
        let before = states.last().unwrap().clone();
        states.push(fold(before, batches(std::slice::from_ref(logged))).unwrap());
    }
    (world, states)
}

#[test]
fn fold_of_everything_is_the_state() {
    let (world, _) = lived();
    let mut folded = fold(State::default(), batches(&world.log)).unwrap();
    assert_eq!(folded.digest(), world.state.clone().digest());
    assert_eq!(folded.index, world.state.index);
}

#[test]
fn every_record_can_be_named_also_inside_a_batch() {
    let (world, states) = lived();
    for (logged, before) in world.log.iter().zip(&states) {
        for nth in 0..logged.batch.entries.len() as u64 {
            let wanted = Position(logged.first.0 + nth);
            let mut from_start = at(State::default(), wanted, batches(&world.log)).unwrap();
            assert_eq!(from_start.position, wanted);
            let rest = world.log.iter().filter(|l| l.first >= logged.first).cloned();
            let rest: Vec<Logged> = rest.collect();
            let mut from_near = at(before.clone(), wanted, batches(&rest)).unwrap();
            assert_eq!(from_start.digest(), from_near.digest(), "{wanted}");
        }
    }
}

#[test]
fn a_moment_outside_and_a_gap_are_said() {
    let (world, states) = lived();
    let newest = world.state.position;
    let wanted = newest.next();
    let beyond = at(State::default(), wanted, batches(&world.log)).unwrap_err();
    assert_eq!(beyond, Broken::Beyond { wanted, newest });
    let start = states[2].position;
    let before = at(states[2].clone(), Position(1), batches(&[])).unwrap_err();
    assert_eq!(before, Broken::Before { wanted: Position(1), start });
    let gap = fold(State::default(), batches(&world.log[1..])).unwrap_err();
    assert_eq!(gap, Broken::Gap { expected: Position(1), found: world.log[1].first });
}

#[test]
fn checkpoints_hold_and_a_changed_record_is_seen_at_the_next_one() {
    let (world, _) = lived();
    let mut audit = Audit::default();
    for logged in &world.log {
        audit.batch(logged.first, &logged.batch).unwrap();
    }
    assert!(audit.holds() && audit.checkpoints >= 2 && audit.unjudged.is_empty(), "{audit:?}");
    assert_eq!(audit.records, world.state.position.0);

    let mut audit = Audit::default();
    let mut changed = false;
    for logged in &world.log {
        let mut batch = logged.batch.clone();
        for entry in &mut batch.entries {
            if let Event::TaskStatusChanged(e) = &mut entry.event
                && !changed
            {
                e.status.message.push('!');
                changed = true;
            }
        }
        audit.batch(logged.first, &batch).unwrap();
    }
    assert!(!audit.holds());
    let first = audit.divergences[0];
    assert_eq!(first.upto.next(), first.checkpoint);
}

#[test]
fn a_checkpoint_of_an_unknown_format_is_reported_and_not_judged() {
    let (world, _) = lived();
    let mut audit = Audit::default();
    for logged in &world.log {
        let mut batch = logged.batch.clone();
        for entry in &mut batch.entries {
            if let Event::Checkpointed(e) = &mut entry.event {
                (e.format, e.digest) = (99, Hash([0; 32]));
            }
        }
        audit.batch(logged.first, &batch).unwrap();
    }
    assert!(audit.holds() && audit.checkpoints == 0 && audit.unjudged.len() >= 2);
}

#[test]
fn one_of_three_records_is_redacted_and_everything_else_holds() {
    use skein_events::codec::{Batch, NewEvent};
    use skein_events::envelope::Detached;
    use skein_events::id::{IdSource, ServiceId};
    use skein_events::service::event::ServiceCreated;

    let world = World::of(1);
    let new = |name: &str, n: u8| NewEvent {
        event: ServiceCreated {
            id: ServiceId::from_random([n; 16]),
            spec: service(name, 0, &[]),
            env: 1,
        }
        .into(),
        detached: Detached { reason: None, env: vec![format!("TOKEN={name}-hidden")] },
    };
    let envelope = world.log[0].batch.envelope.clone();
    let events = vec![new("one", 1), new("two", 2), new("three", 3)];
    let (bytes, _) = Batch::write(envelope, events, &mut IdSource::new([3; 32])).unwrap();
    let whole = BatchBytes::parse(&bytes).unwrap();
    let erased_bytes = whole.redacted(1).unwrap().encode().unwrap();
    let erased = BatchBytes::parse(&erased_bytes).unwrap();
    assert!(!erased_bytes.windows(10).any(|w| w == b"two-hidden"));

    let place = Place { term: 1, leader: 1, index: 9 };
    assert_eq!(erased.chain(Hash::default(), place), whole.chain(Hash::default(), place));
    let first = world.state.position.next();
    let mut before = world.state.clone();
    let mut after = world.state.clone();
    for (state, raw) in [(&mut before, &whole), (&mut after, &erased)] {
        let batch = Batch::decode(raw).unwrap();
        *state = fold::<_, Broken>(state.clone(), [Ok((first, batch))]).unwrap();
    }
    assert_eq!(before.digest(), after.digest());
    assert_eq!((before.detached.len(), after.detached.len()), (3, 2));
    let middle =
        at::<_, Broken>(world.state, first.next(), [Ok((first, Batch::decode(&erased).unwrap()))])
            .unwrap();
    assert_eq!(middle.services.len(), 2);
}

#[test]
fn diff_names_what_came_went_and_changed() {
    let mut world = World::of(1);
    let web = world.service(service("web", 1, &[]));
    let old = world.service(service("old", 0, &[]));
    world.run();
    let before = world.state.clone();
    world.user(Command::ScaleService { id: web, replicas: 2, if_changed: None });
    world.user(Command::RemoveService(old));
    world.run();
    let differences = diff(&before, &world.state);
    let found: Vec<(&str, &str)> = differences
        .iter()
        .map(|d| {
            let change = match &d.change {
                Change::Added => "added",
                Change::Removed => "removed",
                Change::Changed { .. } => "changed",
            };
            (d.name.as_str(), change)
        })
        .collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [("old", "removed"), ("web", "changed"), ("web.2", "added")]);
    let scaled = differences.iter().find(|d| d.name == "web").unwrap();
    let Change::Changed { fields } = &scaled.change else { panic!("it changed") };
    let replicas = fields.iter().find(|f| f.path == "spec.mode.replicated.replicas").unwrap();
    assert_eq!((replicas.before.as_u64(), replicas.after.as_u64()), (Some(1), Some(2)));
    assert!(diff(&world.state, &world.state).is_empty());
    assert_eq!(world.state.tasks_on(node_id(1)).count(), 2);
}

#[test]
fn differences_add_up_and_bookkeeping_is_none() {
    let (_, states) = lived();
    for two in states.windows(2) {
        let (before, after) = (&two[0], &two[1]);
        let (there, back) = (diff(before, after), diff(after, before));
        // The way back tells the same objects and fields, the other way round.
        assert_eq!(there.len(), back.len());
        for (one, other) in there.iter().zip(&back) {
            assert_eq!(one.object, other.object);
            let turned = match (&one.change, &other.change) {
                (Change::Added, Change::Removed) | (Change::Removed, Change::Added) => true,
                (Change::Changed { fields: a }, Change::Changed { fields: b }) => {
                    let turn = |f: &Field| (f.path.clone(), f.after.clone(), f.before.clone());
                    let same = |f: &Field| (f.path.clone(), f.before.clone(), f.after.clone());
                    let mut turned: Vec<_> = b.iter().map(turn).collect();
                    let mut said: Vec<_> = a.iter().map(same).collect();
                    turned.sort_by(|x, y| x.0.cmp(&y.0));
                    said.sort_by(|x, y| x.0.cmp(&y.0));
                    assert!(said.iter().all(|f| f.0 != "last" && f.0 != "updated"));
                    said == turned
                }
                _ => false,
            };
            assert!(turned, "{one:?} {other:?}");
        }
    }
}
