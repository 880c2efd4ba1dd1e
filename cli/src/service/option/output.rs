//! Options of where a task's output goes.

use bollard_stubs::models::TaskSpecLogDriver;

use crate::parse;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Output {
    /// What keeps the output: json-file, local or none
    #[arg(long, value_name = "NAME")]
    log_driver: Option<String>,
    /// Option of the log driver, like max-size=10m
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::key_value, requires = "log_driver")]
    log_opt: Vec<(String, String)>,
}

impl Output {
    /// Replaces driver and options, if one was named.
    pub(in crate::service) fn put_into(self, driver: &mut Option<TaskSpecLogDriver>) {
        let Self { log_driver, log_opt } = self;
        if let Some(name) = log_driver.filter(|name| !name.is_empty()) {
            let options = (!log_opt.is_empty()).then(|| log_opt.into_iter().collect());
            *driver = Some(TaskSpecLogDriver { name: Some(name), options });
        }
    }
}
