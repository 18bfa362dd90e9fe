//! `hudson-soak`: many proxies on one ledger under load, one of them killed each second, and the ledger held against
//! what the provider counted. Ends with exit code 1 where a token was lost.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hudson_tests::soak::{self, Budget, Plan, Reaper};

/// Proves that nothing is lost when proxies die: `hudson` is $HUDSON_BIN, else it is built.
#[derive(Parser)]
#[command(name = "hudson-soak", version)]
struct Arguments {
    /// `hudson proxy` processes on one ledger
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..))]
    processes: u16,
    /// Streams that each of them keeps open
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    streams: u16,
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Between two kills, in milliseconds
    #[arg(long, default_value_t = 1000)]
    kill_every_ms: u64,
    /// Between two events of a stream, in milliseconds; a stream has 4 to 18
    #[arg(long, default_value_t = 200)]
    gap_ms: u64,
    /// Whether the budgets are reached
    #[arg(long, value_enum, default_value_t = Choice::Both)]
    budget: Choice,
    /// Everything that looks random follows from this
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// They are not
    Roomy,
    /// They are
    Tight,
    /// One after the other
    Both,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let budgets: &[Budget] = match arguments.budget {
        Choice::Roomy => &[Budget::Roomy],
        Choice::Tight => &[Budget::Tight],
        Choice::Both => &[Budget::Roomy, Budget::Tight],
    };
    let stop = Arc::new(AtomicBool::new(false));
    on_interrupt(stop.clone())?;
    let mut kept = true;
    for budget in budgets.iter().take_while(|_| !stop.load(Ordering::Relaxed)) {
        let plan = Plan {
            processes: arguments.processes.into(),
            streams: arguments.streams.into(),
            lasts: Duration::from_secs(arguments.seconds),
            kill_every: Duration::from_millis(arguments.kill_every_ms.max(1)),
            gap: Duration::from_millis(arguments.gap_ms.max(1)),
            budget: *budget,
            reaper: Reaper::Survivor,
            seed: arguments.seed,
        };
        let report = soak::run(&plan, &stop)?;
        println!("{report}");
        kept &= report.faults.is_empty();
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends the load at the first interrupt, so that every process that was started is ended, and what was found is printed.
fn on_interrupt(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        let waited = runtime.block_on(async {
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => interrupted,
                _ = terminate.recv() => Ok(()),
            }
        });
        // Without a way to be told, nobody has told.
        stop.store(waited.is_ok(), Ordering::Relaxed);
    });
    Ok(())
}
