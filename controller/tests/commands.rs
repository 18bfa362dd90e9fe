//! The commands that only read, run as a person runs them: the built binary, a home of its own, its exit code and what
//! it prints.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A home that no other test sees.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file below the home; its path.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hudson"));
        command.env_clear().env("HOME", self.path()).arg("--home").arg(self.path()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }
}

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

const ROUTES: &str = concat!(
    "routes:\n",
    "  - host: api.anthropic.com\n",
    "    credentials:\n",
    "      - header: x-api-key\n",
    "        from: {env: MY_KEY}\n",
    "  - host: git.example.com\n",
    "    matches:\n",
    "      - paths: [{type: prefix, value: /v1}]\n",
    "      - methods: [GET]\n",
    "  - host: 10.0.0.1\n",
);

#[test]
fn check_names_the_place_of_every_fault() {
    let home = Home::new();
    let empty = home.run(&["check"]);
    assert_eq!(empty.code, 0, "{empty:?}");
    assert!(empty.out.contains("nothing to check"));

    home.write("settings.yml", "budget:\n  claude: 5M\n");
    home.write("bottles/ci/routes.yaml", ROUTES);
    let good = home.run(&["check"]);
    assert_eq!(good.code, 0, "{good:?}");
    assert_eq!(good.out.lines().filter(|line| line.starts_with("ok  ")).count(), 2, "{good:?}");

    home.write("bottles/dev/bottle.yml", "extends: gone\n");
    home.write("bottles/dev/routes.yaml", "routes:\n  - host: a.example.com\n    tokn_env: X\n");
    let bad = home.run(&["check"]);
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(
        bad.err.contains("dev/bottle.yml: extends gone") && bad.err.contains("dev/routes.yaml:3:"),
        "{bad:?}"
    );
    assert!(bad.out.contains("ok  ") && bad.out.contains("ci/routes.yaml"), "{bad:?}");

    let json = home.run(&["check", "--json"]);
    assert_eq!(json.code, 2);
    let faulty: Vec<_> =
        json.json().as_array().unwrap().iter().filter(|file| file["ok"] == false).cloned().collect();
    assert_eq!(faulty.len(), 2, "{json:?}");
}

#[test]
fn check_knows_the_presets() {
    let home = Home::new();
    home.write("bottles/ci/bottle.yml", "budget: {any: 5}\nagent_provider: cluade\n");
    home.write("bottles/dev/bottle.yml", "agent_provider: {template: codex}\n");
    home.write("bottles/bare/bottle.yml", "agent_provider: none\n");
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("ci/bottle.yml:2:1: agent_provider: there is no preset \"cluade\""), "{ran:?}");
    assert!(ran.err.contains("claude, codex, gemini"), "{ran:?}");
    assert_eq!((ran.err.lines().count(), ran.out.lines().count()), (1, 2), "{ran:?}");
}

#[test]
fn check_takes_files() {
    let home = Home::new();
    let good = home.write("x/one.yaml", ROUTES);
    let bad = home.write("x/settings.yml", "precedence: sideways\n");
    let ran = home.run(&["check", good.to_str().unwrap(), bad.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.out.contains("one.yaml") && ran.err.contains("settings.yml:1:"), "{ran:?}");
    let none = home.run(&["check", "/nowhere/routes.yaml"]);
    assert_eq!(none.code, 2);
    assert!(none.err.contains("/nowhere/routes.yaml: cannot be read"), "{none:?}");
}

#[test]
fn explain_says_which_line_decides() {
    let home = Home::new();
    home.write("settings.yml", "budget:\n  claude: 1000\n");
    let routes = home.write("bottles/ci/routes.yaml", ROUTES);
    let explain = |method: &str, url: &str| home.run(&["--json", "explain", method, url, "--bottle", "ci"]);

    let metered = explain("POST", "https://api.anthropic.com/v1/messages");
    assert_eq!(metered.code, 0, "{metered:?}");
    let json = metered.json();
    assert_eq!(json["decision"], "allowed");
    assert_eq!(json["route"], format!("{}:2", routes.display()));
    assert_eq!(json["metering"]["provider"], "claude");
    assert_eq!(json["budgets"][0]["limit"], 1000);
    assert_eq!(json["credentials"][0]["from"]["env"], "MY_KEY");
    assert_eq!(json["credentials"][0]["present"], false);

    for (method, url, code) in [
        ("GET", "https://evil.example.com/", "host_not_allowed"),
        ("GET", "http://api.anthropic.com/v1/models", "host_not_allowed"),
        ("POST", "https://git.example.com/v2", "request_not_matched"),
        ("POST", "https://git.example.com/v1/a/git-receive-pack", "git_push_blocked"),
        ("POST", "https://git.example.com/v1/a/git-upload-pack", "git_fetch_blocked"),
        ("GET", "https://git.example.com/v1//x", "malformed_request"),
        ("POST", "https://api.anthropic.com/v1/complete", "unmetered_endpoint"),
        ("GET", "https://10.0.0.1/", "address_blocked"),
        ("TRACE", "https://api.anthropic.com/v1/messages", "credential_unavailable"),
    ] {
        let refused = explain(method, url);
        assert_eq!(refused.code, 1, "{method} {url}: {refused:?}");
        assert_eq!(refused.json()["code"], code, "{method} {url}");
    }
    let local = explain("GET", "http://_egress.local/allowlist");
    assert_eq!((local.code, &local.json()["decision"]), (0, &Value::from("allowed")));
    let second = explain("GET", "https://git.example.com/v2").json();
    assert_eq!((&second["match"], &second["decision"]), (&Value::from(2), &Value::from("allowed")));

    let text = home.run(&["explain", "GET", "https://evil.example.com/", "--bottle", "ci"]);
    assert!(text.out.starts_with("refused      host_not_allowed (HTTP 403)"), "{text:?}");
}

#[test]
fn explain_never_shows_a_secret_and_knows_presets() {
    let home = Home::new();
    let arguments =
        ["explain", "POST", "https://api.anthropic.com/v1/messages", "--bottle", "x", "--provider", "claude"];
    let ran =
        Ran::of(home.command(&arguments).env("ANTHROPIC_API_KEY", "sk-ant-s3cret-value").output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("preset claude:") && ran.out.contains("(there)"), "{ran:?}");
    assert!(!ran.out.contains("s3cret") && !ran.err.contains("s3cret"), "{ran:?}");
}

#[test]
fn what_does_not_exist_is_exit_3() {
    let home = Home::new();
    for arguments in [
        &["bottle", "show", "nope"][..],
        &["explain", "GET", "https://a.example.com/", "--bottle", "nope"],
        &["budget", "show", "--bottle", "nope"],
        &["budget", "set", "--bottle", "nope", "claude=1"],
        &["budget", "set", "--parent", "nope", "claude=1"],
        &["budget", "set", "--run", "nope", "claude=1"],
        &["presets", "show", "nope"],
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, 3, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("nope") && ran.err.starts_with("hudson: "), "{ran:?}");
        assert!(ran.out.is_empty());
    }
}

const STREAM: &str = concat!(
    "event: message_start\n",
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-x\",",
    "\"usage\":{\"input_tokens\":11,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n",
    "event: message_delta\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\n",
    "data: {\"type\":\"message_stop\"}\n\n",
);

#[test]
fn meter_prints_one_line_a_file() {
    let home = Home::new();
    let whole = home.write("whole.body", STREAM);
    let cut = home.write("cut.body", STREAM.split("event: message_delta").next().unwrap());
    let none = home.write("none.body", "");
    let files = [whole.to_str().unwrap(), "/nowhere/x", cut.to_str().unwrap(), none.to_str().unwrap()];
    let mut arguments = vec!["meter", "--host", "api.anthropic.com", "--target", "/v1/messages?beta=true"];
    arguments.extend(files);
    let ran = home.run(&arguments);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("/nowhere/x: cannot be read"), "{ran:?}");
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    let exact = &lines[0];
    assert_eq!((&exact["provider"], &exact["format"]), (&Value::from("claude"), &Value::from("anthropic")));
    assert_eq!((&exact["model"], &exact["response_id"]), (&Value::from("claude-x"), &Value::from("msg_1")));
    assert_eq!((&exact["input"], &exact["output"]), (&Value::from(11), &Value::from(7)));
    assert_eq!((&exact["cache_read"], &exact["total"]), (&Value::from(3), &Value::from(21)));
    assert_eq!(exact["quality"], "exact");
    assert_eq!(lines[1]["quality"], "recovered");
    assert_eq!(lines[2]["quality"], "held");
    assert!(lines[2]["total"].is_null());
}

#[test]
fn meter_reads_standard_input_and_refuses_what_it_cannot_know() {
    let home = Home::new();
    let mut command = home.command(&["meter", "--format", "anthropic", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(STREAM.as_bytes()).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(
        (ran.code, &ran.json()["total"], &ran.json()["file"]),
        (0, &Value::from(21), &Value::from("-"))
    );
    assert!(ran.json()["provider"].is_null());
    for arguments in [
        &["meter", "x"][..],
        &["meter", "--format", "morse", "x"],
        &["meter", "--host", "example.com", "--target", "/", "x"],
    ] {
        assert_eq!(home.run(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn an_empty_home_is_no_error_and_stays_empty() {
    let home = Home::new();
    for arguments in
        [&["usage"][..], &["usage", "--rows"], &["status"], &["bottle", "list"], &["budget", "show"]]
    {
        let ran = home.run(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}: {ran:?}");
        let mut json = arguments.to_vec();
        json.push("--json");
        home.run(&json).json();
    }
    assert!(home.run(&["usage"]).out.contains("nothing recorded yet"));
    assert_eq!(home.run(&["usage", "--json"]).out, "[]\n");
    assert_eq!(home.run(&["usage", "--since", "yesterday"]).code, 2);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn budgets_are_listed_with_what_is_left() {
    let home = Home::new();
    home.write("settings.yml", "budget:\n  claude: 100\nwindow: day\nagents:\n  rev: {budget: {codex: 7}}\n");
    home.write("bottles/ci/bottle.yml", "budget:\n  any: 50\n");
    let rows = home.run(&["budget", "show", "--json"]).json();
    let rows = rows.as_array().unwrap();
    let row = |scope: &str| rows.iter().find(|row| row["scope"] == scope).unwrap();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!((&row("global")["left"], &row("global")["window"]), (&Value::from(100), &Value::from("day")));
    assert!(row("global")["resets_at"].is_string());
    assert_eq!(
        (&row("agent")["name"], &row("bottle")["provider"]),
        (&Value::from("rev"), &Value::from("any"))
    );
    let own = home.run(&["budget", "show", "--bottle", "ci", "--json"]).json();
    assert_eq!(own.as_array().unwrap().len(), 2);
}

#[test]
fn what_is_set_says_where_it_comes_from() {
    let home = Home::new();
    home.write("settings.yml", "budget: {claude: 100}\nbottles: {ci: {window: day}}\n");
    home.write("bottles/base/bottle.yml", "budget: {codex: 9}\n");
    home.write("bottles/ci/bottle.yml", "extends: base\nbudget: {any: 50, claude: 40}\n");
    let set = |words: &[&str]| home.run(&[&["budget", "set", "--json"], words].concat()).json();
    let told = set(&["--bottle", "ci", "claude=60", "codex=1k"]);
    let told: Vec<_> = told.as_array().unwrap().iter().map(|row| &row["limit"]).collect();
    assert_eq!(told, [60, 1000]);
    set(&["claude=200"]);
    set(&["--agent", "rev", "any=5"]);
    set(&["--parent", "base", "claude=70"]);
    let shown = |words: &[&str]| -> Vec<String> {
        let rows = home.run(&[&["budget", "show", "--json"], words].concat()).json();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let line = |row: &Value| {
            let [scope, name, provider, window, source] =
                ["scope", "name", "provider", "window", "source"].map(|key| text(row, key));
            format!("{scope} {name} {provider}={} {window} {source}", row["limit"])
        };
        rows.as_array().unwrap().iter().map(line).collect()
    };
    let all = [
        "global  claude=200 lifetime override",
        "parent base claude=70 lifetime override",
        "parent base codex=9 lifetime bottle",
        "bottle ci any=50 day bottle",
        "bottle ci claude=60 day override",
        "bottle ci codex=1000 day override",
        "bottle base codex=9 lifetime bottle",
        "agent rev any=5 lifetime override",
    ];
    assert_eq!(shown(&[]), all);
    assert_eq!(shown(&["--bottle", "ci"]).len(), 6);
    assert!(home.run(&["budget", "show"]).out.contains("override"));

    assert_eq!(home.run(&["budget", "clear", "--bottle", "ci", "codex"]).code, 0);
    for words in
        [&[][..], &["--agent", "rev"], &["--parent", "base"], &["--bottle", "ci"], &["--bottle", "ci"]]
    {
        assert_eq!(home.run(&[&["budget", "clear"], words].concat()).code, 0);
    }
    let files: Vec<_> = shown(&[]).into_iter().filter(|row| row.contains("override")).collect();
    assert!(files.is_empty(), "{files:?}");
    assert_eq!(shown(&["--bottle", "ci"])[3], "bottle ci claude=40 day bottle");
    // What no usage could ever be counted under.
    for words in [
        &["cluade=1"][..],
        &["claude"],
        &["claude=1", "claude=2"],
        &["--bottle", "ci", "--agent", "x", "any=1"],
    ] {
        let ran = home.run(&[&["budget", "set"], words].concat());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    }
    assert_eq!(shown(&[]).len(), 5);
}

#[test]
fn a_ledger_that_is_none_is_left_as_it_is() {
    let home = Home::new();
    let bytes = "this is not a database\n".repeat(100);
    let path = home.write("bot-bottle.db", &bytes);
    for arguments in [&["usage"][..], &["status"], &["budget", "show"], &["bottle", "list"]] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("bot-bottle.db: not a Hudson ledger"), "{ran:?}");
    }
    assert_eq!(fs::read_to_string(path).unwrap(), bytes);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn bottle_show_resolves_what_is_inherited() {
    let home = Home::new();
    home.write("bottles/base/routes.yaml", ROUTES);
    home.write(
        "bottles/ci/bottle.yml",
        "extends: base\nenv: {A: hidden-value}\nbudget: {claude: 5}\nshutdown: kill\n",
    );
    let ran = home.run(&["bottle", "show", "ci", "--json"]);
    let json = ran.json();
    assert_eq!(json["parents"], serde_json::json!(["base"]));
    assert_eq!((&json["policy"], &json["routes"][1]["line"]), (&Value::from("kill"), &Value::from(6)));
    assert!(!ran.out.contains("hidden-value"), "{ran:?}");
    let text = home.run(&["bottle", "show", "ci"]);
    assert!(text.out.contains("base/routes.yaml:6"), "{text:?}");
    let list = home.run(&["bottle", "list", "--json"]).json();
    assert_eq!((&list[1]["bottle"], &list[1]["routes"]), (&Value::from("ci"), &Value::from(3)));
}

#[test]
fn presets_completions_and_man_pages_come_out() {
    let home = Home::new();
    assert!(home.run(&["presets", "list"]).out.contains("claude"));
    assert_eq!(home.run(&["presets", "list", "--json"]).json()[0]["variables"][0], "ANTHROPIC_API_KEY");
    assert!(home.run(&["presets", "show", "claude"]).out.contains("host: api.anthropic.com"));
    assert!(home.run(&["completions", "bash"]).out.contains("replay"));
    assert_eq!(home.run(&["completions", "morse"]).code, 2);
    let pages = home.path().join("man");
    assert_eq!(home.run(&["man", pages.to_str().unwrap()]).code, 0);
    for page in ["hudson.1", "hudson-run.1", "hudson-bottle-add.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
}

#[test]
fn the_ca_is_made_once_and_rotated() {
    let home = Home::new();
    let path = home.run(&["ca", "path", "--json"]);
    assert_eq!(path.code, 0, "{path:?}");
    let certificate = fs::read_to_string(path.json()["certificate"].as_str().unwrap()).unwrap();
    assert!(fs::read_to_string(path.json()["bundle"].as_str().unwrap()).unwrap().ends_with(&certificate));
    assert_eq!(home.run(&["ca", "path", "--json"]).out, path.out);
    assert_eq!(home.run(&["ca", "rotate"]).code, 0);
    assert_ne!(fs::read_to_string(path.json()["certificate"].as_str().unwrap()).unwrap(), certificate);
}
