//! Progress on a terminal: a line for the whole, a line a slot or node with a bar, a line for what is waited for at the end.
//! Only the look, which is Docker's; elsewhere than on a terminal the commands print lines of their own.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Slots or nodes shown one by one; with more of them only the whole has a bar, as Docker's.
const PARTS_MAX: usize = 20;
/// Length of a bar.
const BAR: &str = "[{bar:50}]";

/// What one line is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A slot of a replicated service.
    Slot(u64),
    /// A node of a global service, by its id.
    Node(String),
}

impl Part {
    fn prefix(&self, of: u64) -> String {
        match self {
            Self::Slot(slot) => format!("{slot}/{of}"),
            Self::Node(id) => super::human::short(id, false),
        }
    }
}

/// How far one part has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many of so many stages, and the name of the present one.
    Stage(u64, u64, String),
    /// It does not come further, and why.
    Stuck(String),
}

/// Lines that are drawn over each other.
pub(crate) struct Meter {
    lines: MultiProgress,
    whole: ProgressBar,
    parts: BTreeMap<Part, ProgressBar>,
    end: ProgressBar,
    /// What was drawn last: what is as it was is not drawn again, because each drawing is seen to flicker.
    drawn: Drawn,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Drawn {
    done: u64,
    of: u64,
    steps: BTreeMap<Part, Step>,
    end: String,
}

impl Meter {
    pub(super) fn new(to: ProgressDrawTarget) -> Self {
        let lines = MultiProgress::with_draw_target(to);
        let line = |template: &str| {
            let bar = ProgressBar::new(0).with_style(style(template));
            lines.add(bar)
        };
        let (whole, end) = (line("{msg}"), line("{msg}"));
        Self { lines, whole, parts: BTreeMap::new(), end, drawn: Drawn::default() }
    }

    /// Draws what is so now, as far as it is not what was drawn.
    pub(crate) fn show(&mut self, done: u64, of: u64, steps: &BTreeMap<Part, Step>, end: &str) {
        let now = Drawn { done, of, steps: steps.clone(), end: end.to_owned() };
        if now == self.drawn {
            return;
        }
        let before = std::mem::replace(&mut self.drawn, now);
        let many = steps.len() > PARTS_MAX;
        if (before.done, before.of, before.steps.len() > PARTS_MAX) != (done, of, many)
            || before.steps.is_empty()
        {
            self.whole.set_style(style(&if many {
                format!("{{msg}} {BAR}")
            } else {
                "{msg}".into()
            }));
            self.whole.set_length(of);
            self.whole.set_position(done);
            self.whole.set_message(format!("overall progress: {done} out of {of} tasks"));
        }
        let gone = |part: &&Part| many || !steps.contains_key(part);
        for part in self.parts.keys().filter(gone).cloned().collect::<Vec<_>>() {
            if let Some(bar) = self.parts.remove(&part) {
                bar.finish_and_clear();
                self.lines.remove(&bar);
            }
        }
        for (part, step) in steps.iter().filter(|_| !many) {
            match self.parts.get(part) {
                Some(_) if before.of == of && before.steps.get(part) == Some(step) => {}
                Some(bar) => dress(bar, part.prefix(of), step),
                None => {
                    // Dressed before it is shown: a new one would be drawn as the library's own.
                    let bar = ProgressBar::hidden();
                    dress(&bar, part.prefix(of), step);
                    let above = self.parts.range(..part).next_back();
                    let bar = self.lines.insert_after(above.map_or(&self.whole, |(_, b)| b), bar);
                    bar.tick();
                    self.parts.insert(part.clone(), bar);
                }
            }
        }
        if before.end != end {
            self.end.set_message(end.to_owned());
        }
    }

    /// A line above the others, which stays.
    pub(crate) fn say(&self, text: &str) -> std::io::Result<()> {
        self.lines.println(text)
    }

    /// Leaves everything as it was last drawn.
    pub(crate) fn finish(self) {
        for bar in std::iter::once(&self.whole).chain(self.parts.values()).chain([&self.end]) {
            bar.abandon();
        }
    }
}

/// Gives a part's line what it says.
fn dress(bar: &ProgressBar, prefix: String, step: &Step) {
    match step {
        Step::Stage(stage, stages, name) => {
            bar.set_style(style(&format!("{{prefix}}: {{msg:9}} {BAR}")));
            bar.set_length(*stages);
            bar.set_position(*stage);
            bar.set_prefix(prefix);
            bar.set_message(name.clone());
        }
        Step::Stuck(why) => {
            bar.set_style(style("{prefix}: {msg}"));
            bar.set_prefix(prefix);
            bar.set_message(super::table::printable(why));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("these templates are ours");
    style.progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use expect_test::expect;
    use indicatif::TermLike;

    use super::*;

    /// What was written since it was last looked at.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>, Arc<Mutex<String>>);

    impl Paper {
        fn write(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            self.1.lock().unwrap().push_str(text);
            Ok(())
        }
        fn lines(&self) -> String {
            let text = std::mem::take(&mut *self.0.lock().unwrap());
            text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.write(text)
        }
        /// A line that is drawn again replaces what was drawn.
        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(steps: impl IntoIterator<Item = (Part, Step)>, of: u64, end: &str) -> String {
        let paper = Paper::default();
        let mut meter =
            Meter::new(ProgressDrawTarget::term_like_with_hz(Box::new(paper.clone()), 255));
        meter.show(1, of, &steps.into_iter().collect(), end);
        meter.finish();
        paper.lines()
    }

    #[test]
    fn what_did_not_change_is_not_drawn_again_and_a_new_line_is_ours_at_once() {
        let paper = Paper::default();
        let mut meter =
            Meter::new(ProgressDrawTarget::term_like_with_hz(Box::new(paper.clone()), 255));
        let stage = |n, name: &str| Step::Stage(n, 9, name.to_owned());
        let first = BTreeMap::from([
            (Part::Slot(1), stage(9, "running")),
            (Part::Slot(3), stage(2, "allocated")),
        ]);
        meter.show(1, 3, &first, "");
        paper.1.lock().unwrap().clear();
        meter.show(1, 3, &first, "");
        assert_eq!(*paper.1.lock().unwrap(), "", "drawn though nothing changed");
        let mut second = first.clone();
        second.insert(Part::Slot(2), stage(1, "new"));
        meter.show(1, 3, &second, "");
        meter.finish();
        let all = paper.1.lock().unwrap().clone();
        assert!(all.contains("2/3: new"), "{all}");
        assert!(!all.contains("0/0") && !all.contains('\u{2588}'), "{all}");
    }

    #[test]
    fn a_terminal_sees_a_bar_a_slot_or_one_for_many() {
        let running = Step::Stage(9, 9, "running".to_owned());
        let preparing = Step::Stage(6, 9, "preparing".to_owned());
        let stuck = Step::Stuck("no suitable node".to_owned());
        let few = [
            (Part::Slot(1), running.clone()),
            (Part::Slot(2), preparing.clone()),
            (Part::Slot(3), stuck.clone()),
        ];
        expect![[r#"
            overall progress: 1 out of 3 tasks                                                                  1/3: running   [==================================================]                                 2/3: preparing [=================================>                ]                                 3/3: no suitable node                                                                               verify: Waiting 5 seconds
        "#]].assert_eq(&drawn(few, 3, "verify: Waiting 5 seconds"));
        expect![[r#"
            overall progress: 1 out of 50 tasks [=>                                                ]
        "#]]
        .assert_eq(&drawn((1..=50).map(|slot| (Part::Slot(slot), running.clone())), 50, ""));
        let node = |id: &str| Part::Node(id.to_owned());
        let nodes = [(node("e6svbpso3y35gkekdc9eqr2le"), preparing), (node("self"), stuck)];
        expect![[r#"
            overall progress: 1 out of 2 tasks                                                                  e6svbpso3y35: preparing [=================================>                ]                        self: no suitable node
        "#]].assert_eq(&drawn(nodes, 2, ""));
    }
}
