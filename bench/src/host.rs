//! The machine, so that figures are not read without it.

use serde::Serialize;
use std::fmt;

/// What the figures depend on, as far as the system tells.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    cpu: String,
    /// Processors that this program may use.
    cpus: usize,
    /// The kernel.
    kernel: String,
    /// How many threads wanted to run, over the last minute before the benchmark: what else the machine did.
    load: f64,
}

impl Machine {
    /// This one, now.
    pub(crate) fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu_info = text("/proc/cpuinfo");
        let name = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = text("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok());
        Self {
            cpu: name.map_or("unknown processor", |(_, name)| name).to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load.unwrap_or_default(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cpus, kernel, load } = self;
        write!(f, "{cpu}, {cpus} CPUs, Linux {kernel}, load {load:.2} before the run.")
    }
}
