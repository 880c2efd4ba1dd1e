//! What must hold: every check has an id and a name, defined here once. The judges are in `watch`, `judge`, `rules`, `audit` and `heal`.

use std::fmt;

macro_rules! checks {
    ($($id:literal $name:ident $text:literal,)*) => {
        /// Something that must hold in every history.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Check {
            $(#[doc = $text] $name,)*
        }
        impl Check {
            /// Every check there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// Its id.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
            /// What must hold.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

checks! {
    "S01" Acknowledged "every acknowledged command is in the log, with the same answer",
    "S02" OneEffect "a request has one effect",
    "S03" Chain "the chain is whole",
    "S04" HistoryKept "a record that was handed out never changes and never vanishes",
    "S05" Fold "running state = fold from genesis = fold(snapshot + tail)",
    "S06" Index "look-ups equal what the nouns say",
    "S07" TimeForward "cluster time never goes back",
    "S08" TimeSteady "cluster time does not jump while a manager runs",
    "S09" Address "an address has one holder",
    "S10" Slot "a slot has one live task of a version",
    "S11" Capacity "a node is not overcommitted",
    "S12" TaskGrows "a task's state only grows, and its id never comes back",
    "S13" GoneIsGone "no container runs after its task was recorded gone",
    "S14" Names "names lead to running tasks only",
    "S15" Bounded "records per task are bounded",
    "S16" Level "kinds and levels are known",
    "S17" Opens "a log opens again after any loss of power",
    "S18" NoPanic "nothing panics",
    "S19" Placement "a task is put only on a ready, active node that meets its constraints and has room for one more",
    "S20" Parallel "an update has no more tasks on their way than it may, and waits for its delay between them",
    "S21" Order "stop-first: a task is told to run after the one it follows has stopped; start-first: the reverse",
    "S22" Restart "a task is restarted as its policy says, and told to run no earlier than its delay",
    "S23" Held "a task that may stay is ended only by an update under way: not by one that is paused, or failed too often",
    "S24" Failure "an update is paused, rolled back or complete only for a cause, and goes back to what was before",
    "S25" Start "a container runs only if its task was told to",
    "L01" Converges "after healing, every service has its tasks, or a reason that holds",
    "L02" NothingLeft "after healing, what runs is what should",
    "L03" PlanAtRest "at rest, planning everything finds nothing to do",
    "L04" Quiet "at rest, nothing is written but one checkpoint",
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.text())
    }
}

/// Something that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What.
    pub check: Check,
    /// How it showed.
    pub text: String,
}
