//! Answers "why" from the log on disk: the walk itself is `skein_replay`, which does no I/O.
//! Keeps the catalog of which records are about what between questions, and reads on from where it was.

use std::sync::{Arc, Mutex};

use skein_events::id::ObjectId;
use skein_events::record::Position;
use skein_net::backend::{Failure, Logged, Why, WhyStep};
use skein_replay::catalog::Catalog;
use skein_replay::history::{History, Recorded};
use skein_replay::step::Step;
use skein_store::Log;

use crate::history;

/// The catalog of one log, as far as it was read.
#[derive(Debug, Default)]
pub struct Reasons(Mutex<Catalog>);

struct OnDisk<'a> {
    log: &'a Log,
    catalog: &'a Catalog,
}

impl History for OnDisk<'_> {
    fn record(&self, position: Position) -> Option<Recorded> {
        let found = history::read(self.log, position, 1).ok()?;
        let Logged { first, batch, .. } = found.into_iter().next()?;
        Recorded::of(position, first, batch)
    }
    fn catalog(&self) -> &Catalog {
        self.catalog
    }
}

impl Reasons {
    /// Why the object a text means was as it was at a position.
    pub fn why(&self, log: &Log, object: &str, upto: Position) -> Result<Why, Failure> {
        self.ask(log, object, upto, |history, object| {
            skein_replay::why::why(history, object, upto).chain
        })
    }

    /// What happened to the object a text means and to what belongs to it.
    pub fn timeline(
        &self,
        log: &Log,
        object: &str,
        upto: Position,
        limit: usize,
    ) -> Result<Why, Failure> {
        self.ask(log, object, upto, |history, object| {
            skein_replay::why::timeline(history, object, upto, limit)
        })
    }

    fn ask(
        &self,
        log: &Log,
        object: &str,
        upto: Position,
        tell: impl FnOnce(&OnDisk<'_>, ObjectId) -> Vec<Step>,
    ) -> Result<Why, Failure> {
        let mut catalog = self.0.lock().expect("no holder of this lock panics");
        for stored in log.batches(catalog.newest().next()) {
            let Logged { first, batch, .. } = history::decode(&stored.map_err(history::broken)?)?;
            catalog.note(first, &Arc::clone(&batch));
        }
        let object = catalog.find(object, upto)?;
        let history = OnDisk { log, catalog: &catalog };
        let steps = tell(&history, object).into_iter().map(step).collect();
        Ok(Why { object: object.to_string(), name: Some(catalog.name(object)), chain: steps })
    }
}

/// A step as the API tells it.
pub(crate) fn step(step: Step) -> WhyStep {
    let Step { position, at: _, wall, kind: _, subject: _, text, who, client: _, reason, details } =
        step;
    WhyStep { position, time: wall, text, who, reason, details }
}
