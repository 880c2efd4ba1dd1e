//! What must hold: every check has an id and a name, defined here once. The judges are in `watch`, `book` and `heal`.

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
