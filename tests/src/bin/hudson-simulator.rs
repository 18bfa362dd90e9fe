//! `hudson-simulator`: the provider simulator as a program, for demonstrations and benchmarks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use hudson_tests::simulator::{Options, Simulator, Usage};

/// Answers as Anthropic, OpenAI and Gemini do, over TLS on loopback, with invented text and usage.
#[derive(Parser)]
#[command(name = "hudson-simulator", version)]
struct Arguments {
    /// Text and numbers follow from this and the request
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pause before each event of a stream, in milliseconds
    #[arg(long, default_value_t = 0)]
    gap_ms: u64,
    /// Silence of the `stall` fault, in milliseconds
    #[arg(long, default_value_t = 20_000)]
    stall_ms: u64,
    /// Never compress answers
    #[arg(long)]
    no_gzip: bool,
    /// Usage of every answer, as INPUT,OUTPUT
    #[arg(long, value_parser = usage, value_name = "INPUT,OUTPUT")]
    usage: Option<Usage>,
    /// Tokens in each event of a stream
    #[arg(long, default_value_t = 4)]
    tokens_per_event: usize,
    /// Keep no journal (benchmarks)
    #[arg(long)]
    no_journal: bool,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads that serve
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Where to write the CA certificate [default: a scratch file]
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Written when listening: {"addr", "ca_file"}
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

fn usage(text: &str) -> Result<Usage, String> {
    let numbers =
        text.split_once(',').and_then(|(input, output)| Some((input.parse().ok()?, output.parse().ok()?)));
    numbers
        .map(|(input, output)| Usage::new(input, output))
        .ok_or_else(|| "expected two numbers: 500,200".to_owned())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let simulator = Simulator::start(Options {
        seed: arguments.seed,
        gap: Duration::from_millis(arguments.gap_ms),
        stall: Duration::from_millis(arguments.stall_ms),
        gzip: !arguments.no_gzip,
        usage: arguments.usage,
        tokens_per_event: arguments.tokens_per_event,
        journal: !arguments.no_journal,
        keep_bodies: false,
        listen: arguments.listen,
        workers: arguments.workers,
        ca_file: arguments.ca_file,
    })?;
    let ready = simulator.ready_json().to_string();
    if let Some(file) = &arguments.ready_file {
        // In one step, so that a reader never sees half a file.
        let partial = file.with_extension("partial");
        std::fs::write(&partial, &ready)
            .and_then(|()| std::fs::rename(&partial, file))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    println!("{ready}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    })?;
    Ok(())
}
