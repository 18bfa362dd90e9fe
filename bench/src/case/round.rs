//! What one round of a case came to.

use crate::clock;
use crate::peer::Peer;
use crate::process::Process;
use crate::stats;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::borrow::Cow;

/// What a number is counted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) enum Unit {
    /// Microseconds.
    #[serde(rename = "µs")]
    Micros,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// So many in a second.
    #[serde(rename = "/s")]
    PerSecond,
    /// Kibibytes.
    #[serde(rename = "KiB")]
    Kib,
    /// Mebibytes in a second.
    #[serde(rename = "MiB/s")]
    MibPerSecond,
}

impl Unit {
    /// As it is written behind a number.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::PerSecond => "/s",
            Self::Kib => "KiB",
            Self::MibPerSecond => "MiB/s",
        }
    }
}

/// One number of one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) figure: Cow<'static, str>,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

/// What one round came to.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) samples: Vec<Sample>,
    /// Tokens that the upstream reported, for the audit.
    pub(crate) tokens: u64,
    /// What could not be measured on this machine, and why.
    pub(crate) skipped: Vec<String>,
}

/// A stretch of work that is being measured.
pub(super) struct Stretch<'p> {
    process: Option<&'p Process>,
    cpu: f64,
    started: u64,
}

/// What it took.
#[derive(Default)]
pub(super) struct Spent {
    /// Microseconds on the wall clock.
    pub(super) elapsed: f64,
    /// Microseconds of the peer's CPU time, where it is a process.
    cpu: Option<f64>,
}

impl Round {
    pub(super) fn add(&mut self, figure: impl Into<Cow<'static, str>>, unit: Unit, value: f64) {
        self.samples.push(Sample { figure: figure.into(), unit, value });
    }

    /// Adds both percentiles of latencies in microseconds.
    pub(super) fn add_percentiles(&mut self, figure: &str, micros: &[f64]) -> Result<()> {
        let (p50, p99) = stats::p50_p99(micros).context("nothing was measured")?;
        self.add(format!("{figure} p50"), Unit::Micros, p50);
        self.add(format!("{figure} p99"), Unit::Micros, p99);
        Ok(())
    }

    /// Adds the CPU milliseconds of a thousand, when so many were done.
    pub(super) fn add_cpu_per_1000(&mut self, figure: &str, spent: &Spent, count: u32) {
        if let Some(micros) = spent.cpu {
            self.add(format!("{figure} CPU per 1,000"), Unit::Millis, micros / f64::from(count));
        }
    }

    /// Adds the CPU milliseconds of one, when so many were done.
    pub(super) fn add_cpu(&mut self, figure: &str, spent: &Spent, count: u32) {
        if let Some(micros) = spent.cpu {
            self.add(format!("{figure} CPU"), Unit::Millis, micros / 1e3 / f64::from(count));
        }
    }

    /// Adds how many were done in a second.
    pub(super) fn add_rate(&mut self, figure: &str, spent: &Spent, count: u32) {
        self.add(figure.to_owned(), Unit::PerSecond, f64::from(count) * 1e6 / spent.elapsed);
    }
}

impl Spent {
    /// Adds another stretch of the same work.
    pub(super) fn add(&mut self, other: &Self) {
        self.elapsed += other.elapsed;
        self.cpu = match (self.cpu, other.cpu) {
            (None, cpu) | (cpu, None) => cpu,
            (Some(so_far), Some(cpu)) => Some(so_far + cpu),
        };
    }
}

impl<'p> Stretch<'p> {
    /// Begins now.
    pub(super) fn begin(peer: &'p Peer) -> Result<Self> {
        let process = peer.process.as_ref();
        let cpu = process.map(Process::cpu_micros).transpose()?.unwrap_or_default();
        Ok(Self { process, cpu, started: clock::now() })
    }

    /// Ends now.
    pub(super) fn end(self) -> Result<Spent> {
        let elapsed = clock::micros(self.started, clock::now());
        let cpu = self.process.map(Process::cpu_micros).transpose()?;
        Ok(Spent { elapsed, cpu: cpu.map(|cpu| cpu - self.cpu) })
    }
}
