//! Decisions about named readers of the log.

use crate::cluster::consumer::{CONSUMERS_MAX, Consumer};
use crate::cluster::event::{ConsumerCreated, ConsumerMoved, ConsumerRemoved};
use crate::codec::NewEvent;
use crate::name::Name;
use crate::record::Position;
use crate::refusal::Refusal;
use crate::state::State;

pub(super) fn create(state: &State, name: &Name, at: Position) -> Result<Vec<NewEvent>, Refusal> {
    if state.consumers.contains_key(name) {
        return Err(Refusal::NameConflict { noun: "consumer", name: name.to_string() });
    }
    if state.consumers.len() >= CONSUMERS_MAX {
        return Err(Refusal::TooLarge("the number of consumers", CONSUMERS_MAX));
    }
    there_is(state, at)?;
    Ok(vec![ConsumerCreated { name: name.clone(), at }.into()])
}

/// Forward only, unless it is told to seek: an acknowledgement that comes late must not undo a later one.
pub(super) fn advance(
    state: &State,
    name: &Name,
    to: Position,
    seek: bool,
) -> Result<Vec<NewEvent>, Refusal> {
    let consumer = find(state, name)?;
    there_is(state, to)?;
    if !seek && to <= consumer.at {
        let at = consumer.at;
        let text = format!("consumer {name} has acknowledged {at} already, and not only {to}");
        return Err(Refusal::Invalid(text));
    }
    Ok(vec![ConsumerMoved { name: name.clone(), at: to, sought: seek }.into()])
}

pub(super) fn remove(state: &State, name: &Name) -> Result<Vec<NewEvent>, Refusal> {
    find(state, name)?;
    Ok(vec![ConsumerRemoved { name: name.clone() }.into()])
}

fn find<'a>(state: &'a State, name: &Name) -> Result<&'a Consumer, Refusal> {
    let found = state.consumers.get(name).map(|consumer| &**consumer);
    found.ok_or_else(|| Refusal::NotFound { noun: "consumer", name: name.to_string() })
}

fn there_is(state: &State, position: Position) -> Result<(), Refusal> {
    if position <= state.position {
        return Ok(());
    }
    let text = format!("there is no record {position} yet: the newest is {}", state.position);
    Err(Refusal::Invalid(text))
}
