//! Planning one change in a swarm of very many tasks: it has to cost what changed, not what is there.
//! The limit is the same call when nothing was touched at all.

use std::hint::black_box;
use std::time::{Duration, Instant};

use skein_events::codec::Apart;
use skein_events::codec::{Batch, Entry};
use skein_events::envelope::{Envelope, Planner, Who};
use skein_events::event::Event;
use skein_events::id::TaskId;
use skein_events::plan::plan;
use skein_events::service::event::ServiceScaled;
use skein_events::state::State;
use skein_events::state::touched::Touched;
use skein_events::task::event::{TaskCreated, TaskStatusChanged};
use skein_events::task::{TaskState, TaskStatus};

use crate::median;
use crate::report::{Aim, Report, grouped};

const ROUNDS: usize = 200;

pub(crate) fn measure(state: State, report: &mut Report) {
    let tasks = state.tasks.len();
    let nothing = time(&state, &Touched::default());
    report.table(
        &format!(
            "Planning one change among {} tasks on {} nodes",
            grouped(tasks as f64),
            state.nodes.len()
        ),
        "planning nothing",
    );
    for (what, event) in changes(&state) {
        let mut after = state.clone();
        let mut touched = Touched::default();
        after.apply_batch(after.position.next(), &batch(&state, event), &mut touched);
        let proposals = plan(&after, &touched, after.at).proposals.len();
        let took = time(&after, &touched);
        report.figure(
            &format!("{what} ({proposals} proposals)"),
            &format!("{:.1} µs", micros(took)),
            &format!("{:.1} µs", micros(nothing)),
            &format!("{:.1}", took.as_secs_f64() / nothing.as_secs_f64()),
            Aim::Held("≤ 1 ms", took <= Duration::from_millis(1)),
        );
    }
    report.say(&format!("All five parts of `plan` together. Middle of {ROUNDS} calls."));
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn time(state: &State, touched: &Touched) -> Duration {
    let mut spans: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            black_box(plan(black_box(state), black_box(touched), state.at));
            begun.elapsed()
        })
        .collect();
    median(&mut spans)
}

fn changes(state: &State) -> [(&'static str, Event); 3] {
    let service = state.services.values().next().expect("there are services");
    let failed = state.tasks.values().next().expect("there are tasks");
    let status = TaskStatus { exit_code: Some(1), ..TaskStatus::new(TaskState::Failed, "failed") };
    let new = TaskCreated {
        id: TaskId::from_random([9; 16]),
        service: service.id,
        version: service.version,
        slot: service.replicas() + 1,
        desired: TaskState::Running,
        start_at: None,
        replaces: None,
    };
    let scaled = ServiceScaled { id: service.id, replicas: service.replicas() + 1 };
    [
        ("a task failed", TaskStatusChanged { id: failed.id, status }.into()),
        ("a service is to have one task more", scaled.into()),
        ("a new task needs a node and an address", new.into()),
    ]
}

fn batch(state: &State, event: Event) -> Batch {
    let envelope = Envelope {
        at: state.at,
        wall: state.at,
        who: Who::Planner { name: Planner::Replicated },
        client: "bench".to_owned(),
        request: None,
        cause: None,
        epoch: state.epoch,
        level: state.level,
    };
    Batch { envelope, entries: vec![Entry { event, apart: Apart::None }] }
}
