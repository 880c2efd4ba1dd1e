//! Options of how many tasks a service has.

use std::collections::HashMap;

use bollard_stubs::models::{
    ServiceSpecMode, ServiceSpecModeReplicated, ServiceSpecModeReplicatedJob,
};

use crate::failure::Failure;
use crate::parse;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A number of tasks that run for ever
    Replicated,
    /// One task on each node
    Global,
    /// A number of tasks that end
    ReplicatedJob,
    /// One task on each node that ends
    GlobalJob,
}

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Mode {
    /// How tasks are counted
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Kind::Replicated)]
    mode: Kind,
    /// Number of tasks
    #[arg(long, value_name = "N", value_parser = parse::replicas)]
    replicas: Option<i64>,
}

impl Mode {
    /// The part of the request.
    pub(in crate::service) fn into_model(self) -> Result<ServiceSpecMode, Failure> {
        let replicas = self.replicas;
        let mode = match self.mode {
            Kind::Replicated => ServiceSpecMode {
                replicated: Some(ServiceSpecModeReplicated { replicas }),
                ..ServiceSpecMode::default()
            },
            Kind::ReplicatedJob => ServiceSpecMode {
                replicated_job: Some(ServiceSpecModeReplicatedJob {
                    max_concurrent: replicas,
                    total_completions: replicas,
                }),
                ..ServiceSpecMode::default()
            },
            Kind::Global | Kind::GlobalJob if replicas.is_some() => {
                return Err(Failure::Usage(
                    "replicas can only be used with replicated or replicated-job mode".to_owned(),
                ));
            }
            Kind::Global => {
                ServiceSpecMode { global: Some(HashMap::new()), ..ServiceSpecMode::default() }
            }
            Kind::GlobalJob => {
                ServiceSpecMode { global_job: Some(HashMap::new()), ..ServiceSpecMode::default() }
            }
        };
        Ok(mode)
    }
}
