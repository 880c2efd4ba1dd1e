//! Options of how tasks are replaced: when a service is updated, and when an update is taken back.
//! Whoever says one of them says all of them: the others are Swarm's usual, so that every daemon means the same.

use bollard_stubs::models::{
    ServiceSpecRollbackConfig, ServiceSpecRollbackConfigFailureActionEnum,
    ServiceSpecRollbackConfigOrderEnum, ServiceSpecUpdateConfig,
    ServiceSpecUpdateConfigFailureActionEnum, ServiceSpecUpdateConfigOrderEnum,
};

use crate::parse;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnFailure {
    /// Stop and wait for the user
    Pause,
    /// Go on
    Continue,
    /// Go back to what ran before
    Rollback,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum OnRollbackFailure {
    /// Stop and wait for the user
    Pause,
    /// Go on
    Continue,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Order {
    /// The old task ends before the new one starts
    StopFirst,
    /// The new task runs before the old one ends
    StartFirst,
}

/// Time a new task is watched, in nanoseconds, when nobody said another.
const MONITOR: i64 = 5_000_000_000;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Updating {
    /// Tasks updated at once; 0 means all
    #[arg(long, value_name = "N")]
    update_parallelism: Option<u32>,
    /// Time between two updates of tasks
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    update_delay: Option<i64>,
    /// What happens when an update fails
    #[arg(long, value_enum, value_name = "ACTION")]
    update_failure_action: Option<OnFailure>,
    /// Time a new task has to stay up
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    update_monitor: Option<i64>,
    /// Part of the tasks that may fail, from 0 to 1
    #[arg(long, value_name = "RATIO", value_parser = parse::ratio)]
    update_max_failure_ratio: Option<f64>,
    /// Which of the old and the new task goes first
    #[arg(long, value_enum, value_name = "ORDER")]
    update_order: Option<Order>,
}

impl Updating {
    /// Changes what was said.
    pub(in crate::service) fn put_into(self, config: &mut Option<ServiceSpecUpdateConfig>) {
        use ServiceSpecUpdateConfigFailureActionEnum as ActionModel;
        use ServiceSpecUpdateConfigOrderEnum as OrderModel;
        let Self {
            update_parallelism,
            update_delay,
            update_failure_action,
            update_monitor,
            update_max_failure_ratio,
            update_order,
        } = self;
        let said = ServiceSpecUpdateConfig {
            parallelism: update_parallelism.map(i64::from),
            delay: update_delay,
            failure_action: update_failure_action.map(|action| match action {
                OnFailure::Pause => ActionModel::PAUSE,
                OnFailure::Continue => ActionModel::CONTINUE,
                OnFailure::Rollback => ActionModel::ROLLBACK,
            }),
            monitor: update_monitor,
            max_failure_ratio: update_max_failure_ratio,
            order: update_order.map(|order| match order {
                Order::StopFirst => OrderModel::STOP_FIRST,
                Order::StartFirst => OrderModel::START_FIRST,
            }),
        };
        if said == ServiceSpecUpdateConfig::default() {
            return;
        }
        let now = config.take().unwrap_or(ServiceSpecUpdateConfig {
            parallelism: Some(1),
            delay: None,
            failure_action: Some(ActionModel::PAUSE),
            monitor: Some(MONITOR),
            max_failure_ratio: Some(0.0),
            order: Some(OrderModel::STOP_FIRST),
        });
        *config = Some(ServiceSpecUpdateConfig {
            parallelism: said.parallelism.or(now.parallelism),
            delay: said.delay.or(now.delay),
            failure_action: said.failure_action.or(now.failure_action),
            monitor: said.monitor.or(now.monitor),
            max_failure_ratio: said.max_failure_ratio.or(now.max_failure_ratio),
            order: said.order.or(now.order),
        });
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::service) struct RollingBack {
    /// Tasks taken back at once; 0 means all
    #[arg(long, value_name = "N")]
    rollback_parallelism: Option<u32>,
    /// Time between taking back two tasks
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    rollback_delay: Option<i64>,
    /// What happens when a rollback fails
    #[arg(long, value_enum, value_name = "ACTION")]
    rollback_failure_action: Option<OnRollbackFailure>,
    /// Time a task that was taken back has to stay up
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    rollback_monitor: Option<i64>,
    /// Part of the tasks that may fail, from 0 to 1
    #[arg(long, value_name = "RATIO", value_parser = parse::ratio)]
    rollback_max_failure_ratio: Option<f64>,
    /// Which of the old and the new task goes first
    #[arg(long, value_enum, value_name = "ORDER")]
    rollback_order: Option<Order>,
}

impl RollingBack {
    /// Changes what was said.
    pub(in crate::service) fn put_into(self, config: &mut Option<ServiceSpecRollbackConfig>) {
        use ServiceSpecRollbackConfigFailureActionEnum as ActionModel;
        use ServiceSpecRollbackConfigOrderEnum as OrderModel;
        let Self {
            rollback_parallelism,
            rollback_delay,
            rollback_failure_action,
            rollback_monitor,
            rollback_max_failure_ratio,
            rollback_order,
        } = self;
        let said = ServiceSpecRollbackConfig {
            parallelism: rollback_parallelism.map(i64::from),
            delay: rollback_delay,
            failure_action: rollback_failure_action.map(|action| match action {
                OnRollbackFailure::Pause => ActionModel::PAUSE,
                OnRollbackFailure::Continue => ActionModel::CONTINUE,
            }),
            monitor: rollback_monitor,
            max_failure_ratio: rollback_max_failure_ratio,
            order: rollback_order.map(|order| match order {
                Order::StopFirst => OrderModel::STOP_FIRST,
                Order::StartFirst => OrderModel::START_FIRST,
            }),
        };
        if said == ServiceSpecRollbackConfig::default() {
            return;
        }
        let now = config.take().unwrap_or(ServiceSpecRollbackConfig {
            parallelism: Some(1),
            delay: None,
            failure_action: Some(ActionModel::PAUSE),
            monitor: Some(MONITOR),
            max_failure_ratio: Some(0.0),
            order: Some(OrderModel::STOP_FIRST),
        });
        *config = Some(ServiceSpecRollbackConfig {
            parallelism: said.parallelism.or(now.parallelism),
            delay: said.delay.or(now.delay),
            failure_action: said.failure_action.or(now.failure_action),
            monitor: said.monitor.or(now.monitor),
            max_failure_ratio: said.max_failure_ratio.or(now.max_failure_ratio),
            order: said.order.or(now.order),
        });
    }
}
