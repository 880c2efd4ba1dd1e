//! Keeps as many tasks as each service asks for: fills the lowest free slots, replaces what ended, ends what is too many.
//! Everything is read from State anew each time: a slot's newest task tells what the slot needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, NewTask};
use crate::decide::{must_leave, on_lost_node};
use crate::envelope::Planner;
use crate::id::{NodeId, ObjectId, ServiceId, TaskId};
use crate::record::Position;
use crate::service::{Mode, Service};
use crate::state::State;
use crate::state::touched::Touched;
use crate::task::{Task, TaskState};
use crate::time::{Span, Time};

use super::{Plan, Proposal, TASKS_PER_PLAN, global, restart, update};

/// What a slot needs.
enum Need {
    /// Nothing: its task runs or may yet.
    Nothing,
    /// A replacement of its newest task, after so long.
    Replacement(Span),
    /// Nothing any more: its task ended and is not to be replaced.
    Done,
    /// A task: its last one was told to go.
    Task,
}

/// Which slots of a service are looked at; how many there are is looked at in any case.
enum Slots {
    All,
    These(BTreeSet<u64>),
}

pub(super) fn plan(state: &State, touched: &Touched, now: Time, plan: &mut Plan) {
    let mut room = TASKS_PER_PLAN;
    for (id, slots) in scope(state, touched) {
        if room == 0 {
            plan.more = true;
            return;
        }
        match state.services.get(&id) {
            Some(service) => {
                // What is asked for anew changes what every slot needs; of a global service also the end of an update
                // does, and all its nodes are counted in any case.
                let every = service.updating().is_some() || service.spec.mode == Mode::Global;
                let slots = if every { Slots::All } else { slots };
                let mut draft = Draft::default();
                draft.look_at(state, service, slots, now);
                draft.count(state, service, room);
                draft.propose(service, state.position, plan, &mut room);
                update::plan(state, service, now, plan, &mut room);
            }
            None => end_all(state, id, plan, &mut room),
        }
    }
}

/// What a slot needs changes only with its tasks and with their nodes, so these tell the slots to look at.
fn scope(state: &State, touched: &Touched) -> BTreeMap<ServiceId, Slots> {
    let mut out: BTreeMap<ServiceId, Slots> = BTreeMap::new();
    let objects = match touched {
        Touched::Everything => {
            let orphans = state.index.tallies.keys();
            return state.services.keys().chain(orphans).map(|id| (*id, Slots::All)).collect();
        }
        Touched::Ignored => return out,
        Touched::Objects(objects) => objects,
    };
    let mut add = |service: ServiceId, slot: Option<u64>| {
        let slots = out.entry(service).or_insert_with(|| Slots::These(BTreeSet::new()));
        if let (Slots::These(slots), Some(slot)) = (slots, slot) {
            slots.insert(slot);
        }
    };
    for object in objects {
        match object {
            ObjectId::Service(id) => add(*id, None),
            ObjectId::Node(id) => {
                state.tasks_on(*id).for_each(|t| add(t.service, Some(t.slot)));
                let Some(node) = state.nodes.get(id) else { continue };
                let global = state.services.values().filter(|s| s.spec.mode == Mode::Global);
                global.for_each(|s| add(s.id, Some(node.number)));
            }
            ObjectId::Task(id) => {
                state.tasks.get(id).into_iter().for_each(|t| add(t.service, Some(t.slot)));
            }
            ObjectId::Network(_) | ObjectId::Cluster(_) => {}
        }
    }
    out
}

/// A removed service's tasks end and are forgotten.
fn end_all(state: &State, id: ServiceId, plan: &mut Plan, room: &mut usize) {
    let kept = state.index.tallies.get(&id).map_or(0, |t| t.kept);
    if kept == 0 {
        return;
    }
    let kept_ones = state.tasks_of(id).filter(|t| t.desired < TaskState::Remove);
    let part: Vec<_> = kept_ones.take(*room).map(|t| (t.id, TaskState::Remove)).collect();
    plan.more |= (part.len() as u64) < kept;
    *room -= part.len();
    if !part.is_empty() {
        // The removal itself left no noun behind; it is the newest record about the service.
        let (planner, command) =
            (Planner::Replicated, Command::SetDesired { seen: state.position, tasks: part });
        plan.proposals.push(Proposal { planner, cause: None, command });
    }
}

/// What one service's tasks should be told.
#[derive(Default)]
struct Draft<'a> {
    /// Ended, and to be taken for ended.
    endings: BTreeMap<u64, (&'a Task, Position)>,
    /// Too many: to be forgotten. The newest of a slot comes last, so that a cut leaves the slot in use.
    removals: Vec<&'a Task>,
    /// Not needed any more beside another of their slot.
    surplus: Vec<(&'a Task, Position)>,
    /// Their restart delay is over.
    starts: Vec<&'a Task>,
    /// In the place of an ended one.
    replacements: BTreeMap<u64, (NewTask, Position)>,
    /// In free slots.
    fresh: Vec<NewTask>,
    /// So many of them are left out for want of room.
    left_out: u64,
}

impl<'a> Draft<'a> {
    fn look_at(&mut self, state: &'a State, service: &Service, slots: Slots, now: Time) {
        let slots = match slots {
            Slots::These(slots) => slots,
            Slots::All => {
                let low = (service.id, 0, TaskId::from_random([0; 16]));
                let all = state.index.by_service.range(low..);
                all.take_while(|(s, _, _)| *s == service.id).map(|(_, slot, _)| *slot).collect()
            }
        };
        for slot in slots {
            let surplus = update::surplus(state, service, slot);
            let kept = |t: &&std::sync::Arc<Task>| !surplus.iter().any(|s| s.id == t.id);
            let wanted = |t: &&std::sync::Arc<Task>| t.desired <= TaskState::Running;
            let of_slot = state.tasks_of_slot(service.id, slot).filter(kept);
            let head = of_slot.max_by_key(|t| (wanted(t), t.born));
            self.surplus.extend(surplus.iter().map(|t| (*t, update::instead_of(state, t))));
            let Some(task) = head else { continue };
            match need(state, service, task, now) {
                Need::Nothing => {
                    let waits = task.is_live() && task.desired == TaskState::Ready;
                    if waits && restart::may_start(state, task, now) {
                        self.starts.push(task);
                    }
                }
                Need::Replacement(delay) => {
                    let new = NewTask { slot, replaces: Some(task.id), delay, beside: false };
                    let cause = what_ended(state, task);
                    self.replacements.insert(slot, (new, cause));
                    self.endings.insert(slot, (task, cause));
                }
                Need::Done => {
                    self.endings.insert(slot, (task, what_ended(state, task)));
                }
                // A slot given up is forgotten as a whole.
                Need::Task => self.removals.extend(kept_in_slot(state, service.id, slot)),
            }
        }
        self.endings.retain(|_, (task, _)| task.desired <= TaskState::Running);
    }

    fn count(&mut self, state: &'a State, service: &Service, room: usize) {
        let used = state.index.tallies.get(&service.id).map_or(0, |t| t.slots);
        let wanted = match service.spec.mode {
            Mode::Replicated { replicas } => replicas,
            Mode::Global => return self.count_nodes(state, service, room),
        };
        if used > wanted {
            for slot in too_many(state, service.id, wanted) {
                self.endings.remove(&slot);
                self.replacements.remove(&slot);
                self.starts.retain(|t| t.slot != slot);
                self.surplus.retain(|(t, _)| t.slot != slot);
                self.removals.extend(kept_in_slot(state, service.id, slot));
            }
        }
        let missing = wanted.saturating_sub(used);
        let take = room.min(usize::try_from(missing).unwrap_or(usize::MAX));
        if take > 0 {
            let new = |slot| NewTask { slot, replaces: None, delay: Span(0), beside: false };
            self.fresh = state.free_slots(service.id).take(take).map(new).collect();
        }
        self.left_out = missing - take as u64;
    }

    fn count_nodes(&mut self, state: &'a State, service: &Service, room: usize) {
        let global::Count { missing, unfit } = global::count(state, service);
        for (slot, wanted, cause) in unfit {
            self.endings.remove(&slot);
            self.replacements.remove(&slot);
            self.starts.retain(|t| t.slot != slot);
            self.surplus.retain(|(t, _)| t.slot != slot);
            self.surplus.extend(wanted.into_iter().map(|t| (t, cause.max(service.changed))));
        }
        self.replacements.retain(|slot, _| global::may_fill(state, service, *slot));
        let new = |slot| NewTask { slot, replaces: None, delay: Span(0), beside: false };
        self.fresh = missing.iter().take(room).copied().map(new).collect();
        self.left_out = (missing.len() - self.fresh.len()) as u64;
    }

    fn propose(self, service: &Service, seen: Position, plan: &mut Plan, room: &mut usize) {
        plan.more |= self.left_out > 0;
        let mut fits = || {
            let fits = *room > 0;
            *room -= usize::from(fits);
            plan.more |= !fits;
            fits
        };
        let mut proposals = Vec::new();
        let mut add = |cause, command| proposals.push((cause, command));
        let desired = |task: &Task, to| Command::SetDesired { seen, tasks: vec![(task.id, to)] };
        for (task, cause) in self.endings.into_values() {
            if fits() {
                add(cause, desired(task, TaskState::Shutdown));
            }
        }
        for (task, cause) in self.surplus {
            if fits() {
                add(cause, desired(task, TaskState::Shutdown));
            }
        }
        let removals: Vec<_> = self
            .removals
            .into_iter()
            .take_while(|_| fits())
            .map(|t| (t.id, TaskState::Remove))
            .collect();
        if !removals.is_empty() {
            add(service.changed, Command::SetDesired { seen, tasks: removals });
        }
        for task in self.starts {
            if fits() {
                add(task.born, desired(task, TaskState::Running));
            }
        }
        for (new, cause) in self.replacements.into_values() {
            if fits() {
                add(cause, Command::CreateTasks { service: service.id, tasks: vec![new] });
            }
        }
        let fresh: Vec<_> = self.fresh.into_iter().take_while(|_| fits()).collect();
        if !fresh.is_empty() {
            add(service.changed, Command::CreateTasks { service: service.id, tasks: fresh });
        }
        let planner = match service.spec.mode {
            Mode::Replicated { .. } => Planner::Replicated,
            Mode::Global => Planner::Global,
        };
        for (cause, command) in proposals {
            plan.proposals.push(Proposal { planner, cause: Some(cause), command });
        }
    }
}

/// The record that tells why a task is over: its own last one, or the loss of its node.
fn what_ended(state: &State, task: &Task) -> Position {
    let node = task.node.and_then(|id| state.nodes.get(&id));
    match node.filter(|_| !task.has_ended()) {
        Some(node) if on_lost_node(state, task) => node.state_at,
        Some(node) if must_leave(state, task) => node.changed,
        Some(_) | None => task.last,
    }
}

/// Tasks of a slot that were not told to be removed, the newest last.
fn kept_in_slot(state: &State, service: ServiceId, slot: u64) -> Vec<&Task> {
    let kept = state.tasks_of_slot(service, slot).filter(|t| t.desired < TaskState::Remove);
    let mut tasks: Vec<&Task> = kept.map(|t| &**t).collect();
    tasks.sort_by_key(|t| t.born);
    tasks
}

fn need(state: &State, service: &Service, task: &Task, now: Time) -> Need {
    if global::is_due(state, service, task) {
        return Need::Replacement(Span(0));
    }
    let ended = task.has_ended();
    let leaves = !ended && must_leave(state, task);
    if task.is_live() && !leaves {
        return Need::Nothing;
    }
    if task.desired == TaskState::Remove {
        return Need::Task;
    }
    if !ended && !leaves {
        return Need::Nothing; // on its way out, not ended yet: its slot is not free
    }
    match restart::delay(state, task, leaves) {
        Some(_) if restart::is_early(task, now) => Need::Nothing,
        Some(delay) => Need::Replacement(delay),
        None => Need::Done,
    }
}

/// Which slots are given up when there are more than wanted: those without a live task first, then those without a node,
/// then those on the fullest nodes, then those not running, then the highest (Swarm's order).
fn too_many(state: &State, service: ServiceId, wanted: u64) -> Vec<u64> {
    struct Rank {
        idle: bool,
        slot: u64,
        ended: bool,
        node: Option<NodeId>,
    }
    let used = state.heads_of(service).into_iter().filter(|t| t.desired < TaskState::Remove);
    let mut order: Vec<Rank> = used
        .map(|task| Rank {
            idle: !state.is_named(task),
            slot: task.slot,
            ended: !task.is_live(),
            node: task.node,
        })
        .collect();
    order.sort_by_key(|r| (r.idle, r.slot));
    let mut copies: BTreeMap<Option<NodeId>, usize> = BTreeMap::new();
    let mut ranked: Vec<(bool, bool, usize, bool, u64)> = order
        .into_iter()
        .map(|Rank { idle, slot, ended, node }| {
            let nth = copies.entry(node).or_default();
            *nth += 1;
            (ended, node.is_none(), *nth, idle, slot)
        })
        .collect();
    ranked.sort_unstable();
    let keep = usize::try_from(wanted).unwrap_or(usize::MAX);
    ranked.into_iter().skip(keep).map(|(.., slot)| slot).collect()
}
