//! What a process takes of the machine, as /proc tells it.

use std::time::{Duration, Instant};

/// A running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vitals {
    process: u32,
}

impl Vitals {
    pub(crate) fn of(process: u32) -> Self {
        Self { process }
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn peak(self) -> u64 {
        let line =
            self.read("status").lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("/proc tells the peak in kB") / 1024
    }

    /// Waits until it takes less than a tenth of a processor; false when the limit comes first.
    pub(crate) fn is_idle_within(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let before = self.ticks();
            std::thread::sleep(Duration::from_millis(300));
            // A tick is ten milliseconds.
            if self.ticks() - before <= 3 {
                return true;
            }
        }
        false
    }

    /// Time on a processor so far, in ticks.
    fn ticks(self) -> u64 {
        let line = self.read("stat");
        let fields = line.rsplit_once(") ").expect("the name is in brackets").1;
        fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("ticks are a number"))
            .sum()
    }

    fn read(self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.process)).expect("the process is there")
    }
}
