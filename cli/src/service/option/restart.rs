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
    /// The part of the request; absent when nothing was said.
    pub(in crate::service) fn policy(self) -> Option<TaskSpecRestartPolicy> {
        let Self { restart_condition, restart_delay, restart_max_attempts, restart_window } = self;
        let condition = restart_condition.map(|condition| match condition {
            Condition::None => TaskSpecRestartPolicyConditionEnum::NONE,
            Condition::OnFailure => TaskSpecRestartPolicyConditionEnum::ON_FAILURE,
            Condition::Any => TaskSpecRestartPolicyConditionEnum::ANY,
        });
        let policy = TaskSpecRestartPolicy {
            condition,
            delay: restart_delay,
            max_attempts: restart_max_attempts.map(i64::from),
            window: restart_window,
        };
        (policy != TaskSpecRestartPolicy::default()).then_some(policy)
    }
}
