//! How tasks are replaced, in Docker's words and in ours. Docker has the same settings twice, under two names.

use bollard_stubs::models;

use skein_events::refusal::Refusal;
use skein_events::service::update::{FailureAction, Millionths, UpdateConfig, UpdateOrder};
use skein_events::time::Span;

use super::{signed, unsigned};

/// A ratio of one.
const WHOLE: f64 = 1_000_000.0;

pub(super) fn update(
    config: Option<models::ServiceSpecUpdateConfig>,
) -> Result<UpdateConfig, Refusal> {
    use models::{
        ServiceSpecUpdateConfigFailureActionEnum as Action,
        ServiceSpecUpdateConfigOrderEnum as Order,
    };
    let Some(models::ServiceSpecUpdateConfig {
        parallelism,
        delay,
        failure_action,
        monitor,
        max_failure_ratio,
        order,
    }) = config
    else {
        return Ok(UpdateConfig::default());
    };
    Ok(UpdateConfig {
        // Whoever sends the struct without the number means all at once, as Go reads it.
        parallelism: unsigned("update parallelism", parallelism)?,
        delay: Span(unsigned("update delay", delay)?),
        failure_action: match failure_action.unwrap_or(Action::EMPTY) {
            Action::EMPTY | Action::PAUSE => FailureAction::Pause,
            Action::CONTINUE => FailureAction::Continue,
            Action::ROLLBACK => FailureAction::Rollback,
        },
        monitor: self::monitor(unsigned("update monitor", monitor)?),
        max_failure_ratio: ratio("update", max_failure_ratio)?,
        order: match order.unwrap_or(Order::EMPTY) {
            Order::EMPTY | Order::STOP_FIRST => UpdateOrder::StopFirst,
            Order::START_FIRST => UpdateOrder::StartFirst,
        },
    })
}

pub(super) fn rollback(
    config: Option<models::ServiceSpecRollbackConfig>,
) -> Result<UpdateConfig, Refusal> {
    use models::{
        ServiceSpecRollbackConfigFailureActionEnum as Action,
        ServiceSpecRollbackConfigOrderEnum as Order,
    };
    let Some(models::ServiceSpecRollbackConfig {
        parallelism,
        delay,
        failure_action,
        monitor,
        max_failure_ratio,
        order,
    }) = config
    else {
        return Ok(UpdateConfig::default());
    };
    Ok(UpdateConfig {
        parallelism: unsigned("rollback parallelism", parallelism)?,
        delay: Span(unsigned("rollback delay", delay)?),
        failure_action: match failure_action.unwrap_or(Action::EMPTY) {
            Action::EMPTY | Action::PAUSE => FailureAction::Pause,
            Action::CONTINUE => FailureAction::Continue,
        },
        monitor: self::monitor(unsigned("rollback monitor", monitor)?),
        max_failure_ratio: ratio("rollback", max_failure_ratio)?,
        order: match order.unwrap_or(Order::EMPTY) {
            Order::EMPTY | Order::STOP_FIRST => UpdateOrder::StopFirst,
            Order::START_FIRST => UpdateOrder::StartFirst,
        },
    })
}

/// Zero means the usual time.
fn monitor(nanos: u64) -> Span {
    if nanos == 0 { UpdateConfig::default().monitor } else { Span(nanos) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio from 0 to 1 in millionths fits"
)]
fn ratio(what: &str, ratio: Option<f64>) -> Result<Millionths, Refusal> {
    let ratio = ratio.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Refusal::Invalid(format!(
            "{what}-maxfailureratio cannot be less than 0 or bigger than 1"
        )));
    }
    Ok(Millionths((ratio * WHOLE).round() as u32))
}

fn delay(span: Span) -> Option<i64> {
    (span.0 != 0).then(|| signed(span.0))
}

pub(super) fn update_model(config: &UpdateConfig) -> models::ServiceSpecUpdateConfig {
    use models::{
        ServiceSpecUpdateConfigFailureActionEnum as Action,
        ServiceSpecUpdateConfigOrderEnum as Order,
    };
    let UpdateConfig { parallelism, delay, failure_action, monitor, max_failure_ratio, order } =
        config;
    models::ServiceSpecUpdateConfig {
        parallelism: Some(signed(*parallelism)),
        delay: self::delay(*delay),
        failure_action: Some(match failure_action {
            FailureAction::Pause => Action::PAUSE,
            FailureAction::Continue => Action::CONTINUE,
            FailureAction::Rollback => Action::ROLLBACK,
        }),
        monitor: Some(signed(monitor.0)),
        max_failure_ratio: Some(f64::from(max_failure_ratio.0) / WHOLE),
        order: Some(match order {
            UpdateOrder::StopFirst => Order::STOP_FIRST,
            UpdateOrder::StartFirst => Order::START_FIRST,
        }),
    }
}

pub(super) fn rollback_model(config: &UpdateConfig) -> models::ServiceSpecRollbackConfig {
    use models::{
        ServiceSpecRollbackConfigFailureActionEnum as Action,
        ServiceSpecRollbackConfigOrderEnum as Order,
    };
    let UpdateConfig { parallelism, delay, failure_action, monitor, max_failure_ratio, order } =
        config;
    models::ServiceSpecRollbackConfig {
        parallelism: Some(signed(*parallelism)),
        delay: self::delay(*delay),
        failure_action: Some(match failure_action {
            // A rollback that fails is not rolled back: no command makes the last one.
            FailureAction::Pause | FailureAction::Rollback => Action::PAUSE,
            FailureAction::Continue => Action::CONTINUE,
        }),
        monitor: Some(signed(monitor.0)),
        max_failure_ratio: Some(f64::from(max_failure_ratio.0) / WHOLE),
        order: Some(match order {
            UpdateOrder::StopFirst => Order::STOP_FIRST,
            UpdateOrder::StartFirst => Order::START_FIRST,
        }),
    }
}
