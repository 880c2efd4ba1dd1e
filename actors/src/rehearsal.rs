//! A command played through on a copy of State: what would be decided, and what the planners would make of it.
//! Takes values and gives a value; nothing is written, and nobody hears of it.

use std::sync::Arc;

use imbl::OrdMap;
use skein_events::codec::Batch;
use skein_events::command::Command;
use skein_events::decide::Context;
use skein_events::envelope::Envelope;
use skein_events::event::Event;
use skein_events::id::IdSource;
use skein_events::plan;
use skein_events::record::Position;
use skein_events::refusal::Refusal;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::time::Time;
use skein_events::view::diff;
use skein_net::backend::{Caller, Rehearsal};
use skein_replay::catalog::Catalog;
use skein_replay::history::{History as _, Memory};
use skein_replay::step::Step;

use crate::log::{LEVEL, guarded, planner, write};
use crate::reasons;

/// Rounds of planning: each follows from the one before, and a chain is shorter.
const ROUNDS_MAX: usize = 32;
/// Records that are played through and told; a rehearsal that is longer says that it is cut.
const RECORDS_MAX: u64 = 2_000;

/// Plays a command through until the planners have nothing more to say: then nodes would have to act.
/// A panic of the rules is a refusal here as it is in the log. Nodes are taken to apply at once what they are told; time stands still.
pub fn rehearse(
    state: &State,
    caller: Caller,
    command: &Command,
    now: Time,
) -> Result<Rehearsal, Refusal> {
    let mut play = Play {
        tip: state.clone(),
        memory: Memory::after(Catalog::of(state)),
        touched: Touched::default(),
        now: now.max(state.at),
    };
    let valid_at = state.position;
    play.act(caller, None, command)?;
    let asked = changed(state, &play.memory, play.tip.position);
    let (mut refused, mut cut) = (Vec::new(), true);
    for _ in 0..ROUNDS_MAX {
        let touched = std::mem::take(&mut play.touched);
        let acked: OrdMap<_, _> =
            play.tip.nodes.keys().map(|id| (*id, play.tip.position)).collect();
        let planned = plan::plan(&play.tip, &touched, play.now);
        let left = plan::withdraw::acknowledged(&play.tip, &acked);
        let before = play.tip.position;
        for proposal in planned.proposals.into_iter().chain(left) {
            if play.tip.position.0 - valid_at.0 >= RECORDS_MAX {
                break;
            }
            let by = planner(proposal.planner);
            if let Err(refusal) = play.act(by, proposal.cause, &proposal.command) {
                refused.push(format!("planner {}: {refusal}", proposal.planner));
            }
        }
        if play.tip.position == before && !planned.more {
            cut = false;
            break;
        }
        if play.tip.position.0 - valid_at.0 >= RECORDS_MAX {
            break;
        }
    }
    let records = (valid_at.0 + 1..=play.tip.position.0).map(Position);
    let recorded = records.filter_map(|position| play.memory.record(position));
    let told = recorded.map(|r| reasons::step(Step::of(&play.memory, &r)));
    let mut steps: Vec<_> = told.collect();
    for (step, lines) in steps.iter_mut().zip(asked) {
        step.details.extend(lines);
    }
    let differences = diff::diff(state, &play.tip);
    Ok(Rehearsal { valid_at, steps, differences, refused, cut, reclaimed: 0 })
}

/// What each record of the command itself changes of its object, as the log tells it.
fn changed(before: &State, memory: &Memory, upto: Position) -> Vec<Vec<String>> {
    let mut folded = before.clone();
    let positions = (before.position.0 + 1..=upto.0).map(Position);
    let recorded = positions.filter_map(|position| memory.record(position));
    let mut all = Vec::new();
    for recorded in recorded {
        let before = folded.clone();
        folded.apply(recorded.record(), &mut Touched::Ignored);
        let fields = match recorded.event().subject() {
            Some(object) => diff::patch(&before, &folded, object),
            None => Vec::new(),
        };
        let event = recorded.event();
        let idle = matches!(
            event,
            Event::ServiceUpdated(_) | Event::ServiceScaled(_) | Event::NodeUpdated(_)
        );
        all.push(match fields[..] {
            [] if idle => vec!["nothing of it changes".to_owned()],
            _ => fields.iter().map(ToString::to_string).collect(),
        });
    }
    all
}

struct Play {
    tip: State,
    memory: Memory,
    touched: Touched,
    now: Time,
}

impl Play {
    fn act(
        &mut self,
        caller: Caller,
        cause: Option<Position>,
        command: &Command,
    ) -> Result<(), Refusal> {
        let Caller { who, client, reason, request, if_at } = caller;
        let (first, epoch) = (self.tip.position.next(), self.tip.epoch.max(1));
        let (at, wall) = (self.now, self.now);
        let envelope = Envelope { at, wall, who, client, request, cause, epoch, level: LEVEL };
        // Ids are made up, and the same for the same position: nobody will ever see them in the log.
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&first.0.to_le_bytes());
        let ids = IdSource::new(seed);
        let acked = self.tip.nodes.keys().map(|id| (*id, self.tip.position)).collect();
        let context = Context { now: self.now, ids, reason, acked };
        // On a copy: a command that breaks `decide` may break off in the middle of a change.
        let (mut tip, mut touched) = (self.tip.clone(), std::mem::take(&mut self.touched));
        let written =
            guarded(|| write(&mut tip, first, envelope, command, context, if_at, &mut touched));
        self.touched = touched;
        let (_, batch): (_, Arc<Batch>) = written?;
        self.tip = tip;
        self.memory.add(first, batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use skein_events::cluster::ClusterSpec;
    use skein_events::command::NewNode;
    use skein_events::envelope::Who;
    use skein_events::id::{ClusterId, NodeId, ServiceId};
    use skein_events::node::{Availability, Description, NodeState, Role};
    use skein_events::record::Hash;
    use skein_events::service::update::UpdateConfig;
    use skein_events::service::{EndpointMode, Mode, ServiceSpec};
    use skein_events::task::container::ContainerSpec;
    use skein_events::task::spec::TaskSpec;
    use skein_events::time::Span;
    use skein_events::unit::{Bytes, NanoCpus};

    use super::*;

    fn user() -> Caller {
        let who = Who::User { uid: 0, gid: 0, name: Some("root".to_owned()) };
        Caller { who, client: "test".to_owned(), reason: None, request: None, if_at: None }
    }

    fn node() -> NodeId {
        NodeId::from_random([1; 16])
    }

    /// A swarm of one ready node and a service of one task, as far as planners bring it.
    fn lived() -> (State, ServiceId) {
        let description = Description {
            hostname: "n1".to_owned(),
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
            cpus: NanoCpus(2_000_000_000),
            memory: Bytes(1 << 30),
            engine: "test".to_owned(),
        };
        let cluster = Command::CreateCluster {
            id: ClusterId::from_random([2; 16]),
            spec: ClusterSpec {
                pool: "10.0.0.0/8".parse().unwrap(),
                pool_prefix: 24,
                data_path_port: 4789,
                task_history: 5,
                node_grace: Span::seconds(15),
            },
            ca_certificate: String::new(),
            worker_token: Hash::default(),
            manager_token: Hash::default(),
            node: NewNode {
                id: node(),
                role: Role::Manager,
                availability: Availability::Active,
                address: Ipv4Addr::LOCALHOST,
                port: 2377,
                description,
            },
        };
        let message = "heard of".to_owned();
        let ready = Command::SetNodeState { id: node(), state: NodeState::Ready, message };
        let container = ContainerSpec { image: "hello:1".to_owned(), ..ContainerSpec::default() };
        let spec = ServiceSpec {
            name: "web".parse().unwrap(),
            labels: vec![],
            mode: Mode::Replicated { replicas: 1 },
            endpoint: EndpointMode::Unnamed,
            task: TaskSpec { container, ..TaskSpec::default() },
            update: UpdateConfig::default(),
            rollback: UpdateConfig::default(),
        };
        let create = Command::CreateService { spec: Box::new(spec), env: vec![] };
        let mut play = Play {
            tip: State::default(),
            memory: Memory::default(),
            touched: Touched::default(),
            now: Time(1_000_000_000),
        };
        for command in [cluster, ready, create] {
            play.act(user(), None, &command).unwrap();
            let planned = plan::plan(&play.tip, &Touched::Everything, play.now).proposals;
            for proposal in planned {
                play.act(planner(proposal.planner), proposal.cause, &proposal.command).unwrap();
            }
        }
        let service = *play.tip.services.keys().next().unwrap();
        (play.tip, service)
    }

    fn told(rehearsal: &Rehearsal) -> Vec<&str> {
        rehearsal.steps.iter().map(|s| s.text.as_str()).collect()
    }

    #[test]
    fn a_command_is_followed_to_where_nodes_must_act_and_the_state_stays() {
        let (state, id) = lived();
        let before = state.clone().digest();
        let scale = Command::ScaleService { id, replicas: 3, if_changed: None };
        let rehearsal = rehearse(&state, user(), &scale, Time(2_000_000_000)).unwrap();
        assert_eq!(state.clone().digest(), before);
        assert_eq!(rehearsal.valid_at, state.position);
        assert!(!rehearsal.cut && rehearsal.refused.is_empty());
        let told = told(&rehearsal);
        assert_eq!(told[0], "service web was scaled to 3");
        let changes = "spec.mode.replicated.replicas: 1 -> 3";
        assert_eq!(rehearsal.steps[0].details, [changes]);
        for expected in ["task web.2 was created", "task web.3 was put on node n1"] {
            assert!(told.contains(&expected), "{expected} in {told:?}");
        }
        assert!(rehearsal.differences.iter().any(|d| d.name == "web.3"));
        // The same command on the same state is played the same.
        assert_eq!(rehearse(&state, user(), &scale, Time(2_000_000_000)), Ok(rehearsal));
    }

    #[test]
    fn what_an_update_changes_is_told_or_that_it_changes_nothing() {
        let (state, id) = lived();
        let update = |change: fn(&mut ServiceSpec), env: &[&str]| {
            let mut spec = Box::new(state.services[&id].spec.clone());
            change(&mut spec);
            let env = env.iter().map(|&line| line.to_owned()).collect();
            let command = Command::UpdateService { id, spec, env, if_changed: None };
            let rehearsal = rehearse(&state, user(), &command, Time(2_000_000_000)).unwrap();
            rehearsal.steps[0].details.join("\n")
        };
        assert_eq!(update(|_| (), &[]), "nothing of it changes");
        assert_eq!(update(|_| (), &["A=secret"]), r#"+ env.A: "a value""#);
        let many = |spec: &mut ServiceSpec| {
            spec.labels = vec![("tier".to_owned(), "front".to_owned())];
            spec.task.container.image = "hello:2".to_owned();
            spec.update.monitor = Span::seconds(90);
        };
        let lines = "+ spec.labels.tier: front\n\
                     spec.task.container.image: hello:1 -> hello:2\n\
                     spec.update.monitor: 5s -> 1m30s";
        assert_eq!(update(many, &[]), lines);
    }

    #[test]
    fn an_obstacle_is_told_and_a_refusal_refuses() {
        let (mut state, id) = lived();
        let down =
            Command::SetNodeState { id: node(), state: NodeState::Unknown, message: String::new() };
        let mut play = Play {
            tip: state,
            memory: Memory::default(),
            touched: Touched::default(),
            now: Time(2_000_000_000),
        };
        play.act(user(), None, &down).unwrap();
        state = play.tip;
        let scale = Command::ScaleService { id, replicas: 2, if_changed: None };
        let rehearsal = rehearse(&state, user(), &scale, Time(3_000_000_000)).unwrap();
        let obstacle = "task web.2 has to wait: no suitable node (not ready on 1 node)";
        assert!(told(&rehearsal).contains(&obstacle), "{rehearsal:?}");
        let since = state.position;
        let stale = Caller { if_at: Some(Position(1)), ..user() };
        let refused = rehearse(&state, stale, &scale, Time(3_000_000_000));
        assert!(matches!(refused, Err(Refusal::Changed { .. })), "{refused:?}");
        let known = Caller { if_at: Some(since), ..user() };
        assert!(rehearse(&state, known, &scale, Time(3_000_000_000)).is_ok());
    }
}
