//! Options of what a task may use and what is kept for it.

use bollard_stubs::models::{Limit, ResourceObject, TaskSpecResources};

use crate::parse;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Resources {
    /// Most processors a task may use
    #[arg(long, value_name = "CPUS", value_parser = parse::cpus)]
    limit_cpu: Option<i64>,
    /// Most memory a task may use
    #[arg(long, value_name = "BYTES", value_parser = parse::memory)]
    limit_memory: Option<i64>,
    /// Most processes and threads of a task
    #[arg(long, value_name = "N")]
    limit_pids: Option<u32>,
    /// Processors kept for a task
    #[arg(long, value_name = "CPUS", value_parser = parse::cpus)]
    reserve_cpu: Option<i64>,
    /// Memory kept for a task
    #[arg(long, value_name = "BYTES", value_parser = parse::memory)]
    reserve_memory: Option<i64>,
}

impl Resources {
    /// The part of the request; absent when nothing was said.
    pub(in crate::service) fn amounts(self) -> Option<TaskSpecResources> {
        let Self { limit_cpu, limit_memory, limit_pids, reserve_cpu, reserve_memory } = self;
        let limits =
            (limit_cpu.is_some() || limit_memory.is_some() || limit_pids.is_some()).then(|| {
                Limit {
                    nano_cpus: limit_cpu,
                    memory_bytes: limit_memory,
                    pids: limit_pids.map(i64::from),
                }
            });
        let reservations =
            (reserve_cpu.is_some() || reserve_memory.is_some()).then_some(ResourceObject {
                nano_cpus: reserve_cpu,
                memory_bytes: reserve_memory,
                generic_resources: None,
            });
        if limits.is_none() && reservations.is_none() {
            return None;
        }
        Some(TaskSpecResources { limits, reservations, ..TaskSpecResources::default() })
    }
}
