//! What happened, one line each in fixed columns: virtual time, who, what kind of thing, what exactly.
//! The same seed gives the same bytes.

use std::cell::{Cell, RefCell};
use std::fmt::{Arguments, Write as _};

use skein_events::event::Event;
use skein_events::record::Position;

use super::time::TrueTime;

/// A growing trace.
#[derive(Debug)]
pub(super) struct Trace {
    text: RefCell<String>,
    time: TrueTime,
    live: Cell<bool>,
}

impl Trace {
    pub(super) fn new(time: TrueTime, live: bool) -> Self {
        Self { text: RefCell::default(), time, live: Cell::new(live) }
    }

    /// Adds a line.
    pub(super) fn line(&self, who: &str, kind: &str, what: Arguments<'_>) {
        let micros = self.time.elapsed().0 / 1_000;
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let mut text = self.text.borrow_mut();
        let before = text.len();
        writeln!(text, "{seconds:>5}.{rest:06}  {who:<4}  {kind:<8}  {what}")
            .expect("writing to memory does not fail");
        if self.live.get() {
            #[expect(clippy::print_stdout, reason = "the user asked to see it")]
            {
                print!("{}", &text[before..]);
            }
        }
    }

    pub(super) fn take(&self) -> String {
        self.text.take()
    }
}

/// A record in a few words.
pub(super) fn record(position: Position, event: &Event) -> String {
    let subject = event.subject().map_or_else(String::new, |s| {
        let text = s.to_string();
        let (noun, id) = text.split_once('/').unwrap_or(("", &text));
        format!(" {noun}/{}", &id[..8])
    });
    let short = |text: String| text[..8].to_owned();
    let more = match event {
        Event::TaskCreated(e) => {
            format!(" slot {} of {} to {:?}", e.slot, short(e.service.to_string()), e.desired)
        }
        Event::TaskAssigned(e) => {
            let ips: Vec<String> = e.legs.iter().map(|l| l.ip.to_string()).collect();
            format!(" on {} at [{}]", short(e.node.to_string()), ips.join(" "))
        }
        Event::TaskStatusChanged(e) => {
            let error = e.status.error.as_ref().map_or_else(String::new, |e| format!(": {e}"));
            format!(" {}{error}", e.status.state.as_str())
        }
        Event::TaskDesiredChanged(e) => format!(" to be {}", e.desired.as_str()),
        Event::TaskObstructed(e) => format!(" {}", e.obstacle),
        Event::TaskWithdrawn(e) if !e.not_waited_for.is_empty() => {
            format!(" not waiting for {}", e.not_waited_for.len())
        }
        Event::NodeStateChanged(e) => format!(" {:?}: {}", e.state, e.message),
        Event::NodeUpdated(e) => format!(" {:?} {:?}", e.availability, e.labels),
        Event::NodeFenced(e) => format!(" as of {}", e.at),
        Event::NetworkCreated(e) => format!(" {} {}", e.spec.name, e.subnet),
        Event::ServiceCreated(e) => {
            format!(" {} x{} {:?}", e.spec.name, replicas(e.spec.mode), e.spec.task.container.args)
        }
        Event::ServiceUpdated(e) => {
            format!(" to version {} {:?} {:?}", e.version, e.way, e.spec.task.container.args)
        }
        Event::ServiceUpdateChanged(e) => format!(" {:?} x{}: {}", e.state, e.slots, e.message),
        Event::ServiceUpdateDelayed(e) => format!(" until {:?}", e.until),
        Event::ServiceScaled(e) => format!(" to {}", e.replicas),
        Event::Checkpointed(e) => format!(" {} {}", e.upto, e.digest.h8()),
        Event::RecordRedacted(e) => format!(" {}", e.position),
        _ => String::new(),
    };
    format!("{position} {}{subject}{more}", event.kind().name)
}

fn replicas(mode: skein_events::service::Mode) -> u64 {
    match mode {
        skein_events::service::Mode::Replicated { replicas } => replicas,
        skein_events::service::Mode::Global => 0,
    }
}
