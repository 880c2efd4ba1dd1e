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
    /// Changes what was said.
    pub(in crate::service) fn put_into(self, resources: &mut Option<TaskSpecResources>) {
        let Self { limit_cpu, limit_memory, limit_pids, reserve_cpu, reserve_memory } = self;
        if limit_cpu.is_some() || limit_memory.is_some() || limit_pids.is_some() {
            let now = resources.get_or_insert_default().limits.get_or_insert_default();
            *now = Limit {
                nano_cpus: limit_cpu.or(now.nano_cpus),
                memory_bytes: limit_memory.or(now.memory_bytes),
                pids: limit_pids.map(i64::from).or(now.pids),
            };
        }
        if reserve_cpu.is_some() || reserve_memory.is_some() {
            let now = resources.get_or_insert_default().reservations.get_or_insert_default();
            *now = ResourceObject {
                nano_cpus: reserve_cpu.or(now.nano_cpus),
                memory_bytes: reserve_memory.or(now.memory_bytes),
                generic_resources: now.generic_resources.take(),
            };
        }
    }
}
