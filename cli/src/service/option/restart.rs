//! Options of what happens when a task ends.

use bollard_stubs::models::{TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum};

use crate::parse;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Condition {
    /// Never
    None,
    /// When it ended with another code than 0
    OnFailure,
    /// Always
    Any,
}

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Restart {
    /// When a task that ended is replaced
    #[arg(long, value_enum, value_name = "WHEN")]
    restart_condition: Option<Condition>,
    /// Time before the replacement starts
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    restart_delay: Option<i64>,
    /// Most replacements within the window
    #[arg(long, value_name = "N")]
    restart_max_attempts: Option<u32>,
    /// Time over which replacements are counted
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    restart_window: Option<i64>,
}

impl Restart {
    /// Changes what was said.
    pub(in crate::service) fn put_into(self, policy: &mut Option<TaskSpecRestartPolicy>) {
        let Self { restart_condition, restart_delay, restart_max_attempts, restart_window } = self;
        let said = TaskSpecRestartPolicy {
            condition: restart_condition.map(|condition| match condition {
                Condition::None => TaskSpecRestartPolicyConditionEnum::NONE,
                Condition::OnFailure => TaskSpecRestartPolicyConditionEnum::ON_FAILURE,
                Condition::Any => TaskSpecRestartPolicyConditionEnum::ANY,
            }),
            delay: restart_delay,
            max_attempts: restart_max_attempts.map(i64::from),
            window: restart_window,
        };
        if said == TaskSpecRestartPolicy::default() {
            return;
        }
        let now = policy.take().unwrap_or_default();
        *policy = Some(TaskSpecRestartPolicy {
            condition: said.condition.or(now.condition),
            delay: said.delay.or(now.delay),
            max_attempts: said.max_attempts.or(now.max_attempts),
            window: said.window.or(now.window),
        });
    }
}
