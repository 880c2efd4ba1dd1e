//! What the disk alone can do: durable commits of a database that does nothing else.
//! The limit of everything that is acknowledged.

use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use skein_store::Options;

use crate::daemon::Ground;

/// Entries per second of a database that does nothing else, with the log's own durability.
pub(crate) fn bare(
    ground: &Ground,
    row: usize,
    together: usize,
    length: Duration,
) -> anyhow::Result<f64> {
    const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
    let options = Options::default();
    let file = ground.place("bare.redb");
    let database: Database = redb::Builder::new().set_cache_size(options.cache).create(&file)?;
    let bytes = vec![7; row];
    let mut next = 0;
    let begun = Instant::now();
    while begun.elapsed() < length {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(options.quick_repair);
        {
            let mut rows = transaction.open_table(ROWS)?;
            for _ in 0..together {
                rows.insert(next, bytes.as_slice())?;
                next += 1;
            }
        }
        transaction.commit()?;
    }
    let rate = next as f64 / begun.elapsed().as_secs_f64();
    drop(database);
    std::fs::remove_file(file)?;
    Ok(rate)
}
