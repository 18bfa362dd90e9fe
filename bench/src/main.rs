//! The `hudson-bench` program.

fn main() -> anyhow::Result<()> {
    hudson_bench::main()
}
