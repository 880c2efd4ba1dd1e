//! Stands in for the crate of this name, in which openraft counts what nobody here reads: its feature `runtime-stats` is off.
//! The original builds look-up tables for sixteen widths when the first histogram is made: 26 MB and 25 ms of every daemon's
//! start, more than all the rest of an idle one. This one has the same face and counts nothing; docs/adr/0010-memory.md.
#![forbid(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;

/// Takes values and keeps none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// A histogram.
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// A value was seen.
    pub fn record(&mut self, _value: u64) {}

    /// A value was seen so often.
    pub fn record_n(&mut self, _value: u64, _count: u64) {}

    /// What was seen: nothing.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

macro_rules! percentiles {
    ($($field:ident)*) => {
        /// How values are spread; zeros, with no samples.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct PercentileStats {
            $(pub $field: u64,)*
        }
    };
}
percentiles! { samples p0_1 p1 p5 p10 p50 p90 p99 p99_9 }

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[samples: 0]")
    }
}

/// A drawing of histograms: empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// A drawing.
    pub fn new() -> Self {
        Self
    }

    /// A histogram is to be in it.
    pub fn add<T>(self, _name: impl Into<String>, _histogram: Histogram<T>) -> Self {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
