//! Shows Hudson at work without any account: three requests to a simulated provider under a budget that the third
//! does not fit. Everything it makes is in a scratch folder and goes with it.

use hudson_tests::simulator::{Options, Simulator};
use std::ffi::OsString;
use std::process::ExitCode;

/// What the bottle runs: an agent that asks three times and says what it got.
const AGENT: &str = r#"
for turn in 1 2 3; do
  printf '\nagent: request %s (key: %s)\n' "$turn" "$ANTHROPIC_API_KEY"
  curl --silent --show-error https://api.anthropic.com/v1/messages \
    -H "x-api-key: $ANTHROPIC_API_KEY" -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \
    -d '{"model":"sim-450-40","max_tokens":400,"messages":[{"role":"user","content":"Hello!"}]}'
done
printf '\nagent: what is left: '
curl --silent http://_egress.local/budget
"#;

fn main() -> ExitCode {
    // `hudson run` starts the program that it is once more, to enter the bottle's cgroup: here that is this one.
    if std::env::args_os().len() > 1 {
        return hudson_controller::main(std::env::args_os());
    }
    match demonstrate() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hudson-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() -> anyhow::Result<ExitCode> {
    let scratch = tempfile::tempdir()?;
    let simulator = Simulator::start(Options::default())?;
    let address = simulator.address();
    let key = scratch.path().join("key");
    std::fs::write(&key, "sk-ant-the-real-key-stays-with-hudson\n")?;
    let routes = scratch.path().join("routes.yaml");
    std::fs::write(
        &routes,
        format!(
            "routes:\n  - host: api.anthropic.com\n    credentials:\n      - header: x-api-key\n        from: {{file: {}}}\n",
            key.display()
        ),
    )?;
    let arguments: Vec<OsString> = [
        "hudson".into(),
        "--home".into(),
        scratch.path().join("home").into_os_string(),
        "run".into(),
        // The program that isolates is `hudson` itself, which this is not.
        "--isolation".into(),
        "none".into(),
        "--provider".into(),
        "none".into(),
        "--routes".into(),
        routes.into_os_string(),
        "--bottle".into(),
        "demo".into(),
        "--budget".into(),
        "claude=1200".into(),
        "--connect-to".into(),
        format!("api.anthropic.com:443:{}:{}", address.ip(), address.port()).into(),
        "--upstream-ca".into(),
        simulator.ca_file().into(),
        "--".into(),
        "env".into(),
        "ANTHROPIC_API_KEY=a-dummy".into(),
        "sh".into(),
        "-c".into(),
        AGENT.into(),
    ]
    .into();
    Ok(hudson_controller::main(arguments))
}
