//! `hudson dlp …` from outside: what it finds, how it ends, and that no output holds a value.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hudson_tests::process::{self, Outcome};
use hudson_tests::{clients, hudson};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
/// A value that only the operator's file knows.
const DEPLOY: &str = "h7Rq2Wv9kLm3XpZt8Yb5";

/// A token of GitHub's form whose checksum holds, put together so that it stands nowhere.
fn token() -> String {
    ["ghp_", "9cMR9e4wuO4MKcPgXuNWuLUIwHS2N63qlGsj"].concat()
}

/// A home and a folder of files; no server and no client, for nothing here is sent.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        std::fs::create_dir(folder.path().join("work")).expect("a scratch directory");
        Self(folder)
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("hudson")
    }

    fn configure(&self, file: &str, text: &str) {
        std::fs::create_dir_all(self.home()).expect("a scratch directory");
        std::fs::write(self.home().join(file), text).expect("a scratch file");
    }

    /// A program with nothing of this machine's environment.
    fn command(&self, program: &Path) -> Command {
        let mut command = clients::clean(&program.display().to_string());
        command.env("HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    /// A home with these settings, and a file of values.
    fn with(settings: &str) -> Self {
        let place = Self::new();
        place.configure("settings.yml", settings);
        place.configure("secrets.env", &format!("export DEPLOY_KEY='{DEPLOY}' # for the tests\n"));
        place.only_mine("secrets.env");
        place
    }

    fn only_mine(&self, file: &str) {
        let path = self.home().join(file);
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).expect("the file is there");
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("work").join(name);
        std::fs::write(&path, bytes).expect("a scratch file");
        path
    }

    fn run(&self, words: &[&str]) -> Outcome {
        let mut command = self.command(hudson::binary());
        command.arg("--home").arg(self.home()).arg("dlp").args(words);
        let outcome = process::run(&mut command, LIMIT);
        for value in [token().as_str(), DEPLOY] {
            assert!(!outcome.everything().contains(value), "a value is shown: {outcome}");
        }
        outcome
    }

    /// The same with a file on standard input.
    fn fed(&self, words: &str, input: &Path) -> Outcome {
        let mut command = self.command(Path::new("/bin/sh"));
        command.arg("-c").arg(format!("exec \"$0\" --home \"$1\" dlp {words} < \"$2\""));
        command.arg(hudson::binary()).arg(self.home()).arg(input);
        process::run(&mut command, LIMIT)
    }
}

fn lines(outcome: &Outcome) -> Vec<Value> {
    outcome.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn a_token_is_found_in_every_coding_and_at_its_place() {
    let place = Place::with("dlp: {secrets_file: secrets.env}\n");
    let token = token();
    let coded = STANDARD.encode(format!("see {token} there"));
    let escaped: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let plain = place.file("plain.txt", format!("git push https://{token}@github.invalid/a/b\n"));
    let base64 = place.file("base64.txt", format!("data: {coded}\n"));
    let percent = place.file("percent.txt", format!("q={escaped}\n"));
    let json = place.file("body.json", format!(r#"{{"messages":[{{"content":"key {DEPLOY}"}}]}}"#));
    let files = [&plain, &base64, &percent, &json].map(|path| path.display().to_string());
    let words: Vec<&str> = ["scan"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let outcome = place.run(&words);
    outcome.exited(1);
    let found = lines(&outcome);
    let told: Vec<(&str, &str, Option<&str>)> = found
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().expect("a text");
            (text("file"), text("rule"), line["encoding"].as_str())
        })
        .collect();
    let [plain_name, base64_name, percent_name, json_name] = files.each_ref().map(String::as_str);
    assert_eq!(
        told,
        [
            (plain_name, "github-pat", None),
            (base64_name, "github-pat", Some("base64")),
            (percent_name, "github-pat", Some("escaped")),
            (json_name, "known-value", None),
        ]
    );
    for line in &found {
        assert_eq!(
            (line["confidence"].as_str(), line["action"].as_str()),
            (Some("confirmed"), Some("supervise"))
        );
    }
    let at = "git push https://".len();
    assert_eq!(
        (found[0]["start"].as_u64(), found[0]["end"].as_u64()),
        (Some(at as u64), Some((at + token.len()) as u64))
    );
    assert_eq!(found[0]["preview"], format!("ghp_… ({} bytes)", token.len()));
    assert_eq!(found[3]["location"], "body /messages/0/content");
    assert_eq!(found[3]["detail"], "DEPLOY_KEY");
    // The same value has the same hash in every file, and another time too.
    assert!(found[0]["hash"] == found[1]["hash"] && found[1]["hash"] == found[2]["hash"], "{found:#?}");
    assert_eq!(lines(&place.run(&["scan", plain_name]))[0]["hash"], found[0]["hash"]);
    // The order of the keys that the design names.
    let first = outcome.text().lines().next().map(ToOwned::to_owned).expect("a line");
    let places: Vec<_> = ["file", "rule", "confidence", "action", "start", "end", "encoding", "preview"]
        .map(|key| first.find(&format!("\"{key}\":")).expect("the key is there"))
        .into();
    assert!(places.is_sorted(), "{first}");
}

#[test]
fn a_coded_file_is_read_as_a_body_would_be() {
    let place = Place::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(format!("a {} b", token()).as_bytes()).expect("memory takes it");
    let file = place.file("body.gz", gzip.finish().expect("memory takes it")).display().to_string();
    let found = lines(place.run(&["scan", "--content-encoding", "gzip", &file]).exited(1));
    assert_eq!((found[0]["rule"].as_str(), found[0]["start"].as_u64()), (Some("github-pat"), Some(2)));
    let outcome = place.run(&["scan", "--content-encoding", "br", &file]);
    outcome.exited(2);
    assert!(
        outcome.stderr.contains("body.gz: cannot be read: the body is not in its declared encoding"),
        "{outcome}"
    );
    let outcome = place.run(&["scan", "--content-encoding", "lzma", &file]);
    outcome.exited(2);
    assert!(outcome.stderr.contains("--content-encoding: the content-encoding is not one of"), "{outcome}");
}

#[test]
fn exit_codes_say_what_was_found() {
    let place = Place::new();
    let harmless = place.file("harmless.txt", "nothing here\n").display().to_string();
    // What documentation shows is a note, until it is asked for.
    let example =
        place.file("example.txt", ["key AKIA", "IOSFODNN7EXAMPLE\n"].concat()).display().to_string();
    let held = place.file("held.txt", format!("x {}\n", token())).display().to_string();
    assert_eq!(place.run(&["scan", &harmless]).exited(0).text(), "");
    let noted = lines(place.run(&["scan", &example]).exited(0));
    assert_eq!((noted[0]["action"].as_str(), noted[0]["lowered"].as_str()), (Some("allow"), Some("example")));
    place.run(&["scan", "--strict", &example]).exited(1);
    // A token on its way home is none.
    let home = lines(place.run(&["scan", "--host", "api.github.com", &held]).exited(0));
    assert_eq!(home[0]["lowered"], "home_host");
    place.run(&["scan", "--host", "files.example.com", &held]).exited(1);
    let outcome = place.run(&["scan", "/nowhere/at.all", &held]);
    outcome.exited(2);
    assert!(outcome.stderr.contains("/nowhere/at.all: cannot be read"), "{outcome}");
    assert_eq!(lines(&outcome).len(), 1, "a file that cannot be read hides no other: {outcome}");
    // A home that is not there is not made.
    assert!(!place.home().exists());
    assert!(lines(&outcome)[0]["hash"].is_null(), "a hash of a key that nobody keeps: {outcome}");
}

#[test]
fn what_was_looked_at_is_shown_as_such_and_does_not_act() {
    let place = Place::with("dlp: {secrets_file: secrets.env}\n");
    let text = format!(r#"{{"note": "x {}", "other": "{DEPLOY}"}}"#, token());
    let file = place.file("body.json", text).display().to_string();
    let found = lines(place.run(&["scan", &file]).exited(1));
    let hash = |rule: &str| {
        let line = found.iter().find(|line| line["rule"] == rule).expect("it was found");
        line["hash"].as_str().expect("a hash").to_owned()
    };
    let entry = |hash: &str| format!("{{finding: {hash}, reason: a fixture, expires: 2999-01-01}}");
    let write = |entries: &str| {
        let text = format!("dlp:\n  secrets_file: secrets.env\n  suppressions: [{entries}]\n");
        place.configure("settings.yml", &text);
    };
    // A known value is not suppressed, whatever the file says.
    write(&format!("{}, {}", entry(&hash("github-pat")), entry(&hash("known-value"))));
    let outcome = place.run(&["scan", &file]);
    for line in lines(outcome.exited(1)) {
        let expected = match line["rule"].as_str() {
            Some("github-pat") => ("allow", Some("a fixture")),
            _ => ("supervise", None),
        };
        assert_eq!(
            (line["action"].as_str().expect("a text"), line["suppressed"].as_str()),
            expected,
            "{line}"
        );
    }
    // By rule, host and place, as `explain` writes it.
    let only = place.file("only.json", format!(r#"{{"note": "x {}"}}"#, token())).display().to_string();
    let proposed = place.fed("explain --host files.example.com -", Path::new(&only));
    proposed.exited(0);
    assert!(!proposed.everything().contains(&token()), "a value is shown: {proposed}");
    let proposal = proposed.text();
    let entry = proposal.lines().find_map(|line| line.trim().strip_prefix("- {rule:")).expect("an entry");
    write(&format!("{{rule:{entry}"));
    place.run(&["scan", "--host", "files.example.com", &only]).exited(0);
    place.run(&["scan", "--host", "other.example.com", &only]).exited(1);
}

#[test]
fn a_large_file_is_scanned_in_bounded_memory_and_across_blocks() {
    let place = Place::new();
    let mut command = place.command(hudson::binary());
    command.arg("--home").arg(place.home()).args(["dlp", "scan", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("its input is piped");
    let line = b"fn value(index: usize) -> Option<Request> { self.parse(index) } // and what it returns\n";
    let mebibyte: Vec<u8> = line.iter().copied().cycle().take(1 << 20).collect();
    // The border of two blocks of 128 KiB goes through the token.
    let token = token();
    let mut first = mebibyte.clone();
    let at = (128 << 10) - 9;
    first[at - 1] = b' ';
    first[at..at + token.len()].copy_from_slice(token.as_bytes());
    first[at + token.len()] = b' ';
    let peak = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB")
    };
    input.write_all(&first).expect("it reads");
    input.write_all(&mebibyte).expect("it reads");
    let early = peak(child.id());
    for _ in 0..18 {
        input.write_all(&mebibyte).expect("it reads");
    }
    let late = peak(child.id());
    input.write_all(format!(" {token} ").as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    let starts: Vec<u64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["rule"] == "github-pat")
        .filter_map(|line| line["start"].as_u64())
        .collect();
    assert_eq!(starts, [at as u64, (20 << 20) + 1], "{text}");
    assert!(!text.contains(&token), "a value is shown");
    assert!(late.saturating_sub(early) < 8 << 10, "{early} kB after 2 MiB, {late} kB after 20 MiB");
}

#[test]
fn faults_of_the_home_are_told_before_anything_is_scanned() {
    let place = Place::with("dlp: {secrets_file: secrets.env, thresholds: {card-numbr: 3}}\n");
    let file = place.file("x.txt", "x").display().to_string();
    let told = |code: i32| {
        let outcome = place.run(&["scan", &file]);
        outcome.exited(code);
        outcome.stderr
    };
    assert!(told(2).contains("there is no rule \"card-numbr\"; did you mean \"card-number\"?"));
    place.configure("settings.yml", "dlp: {secrets_file: secrets.env}\n");
    place.configure("secrets.env", &format!("A=1\n{DEPLOY}\n"));
    assert!(told(2).contains("secrets.env:2: expected NAME=VALUE"));
    let path = place.home().join("secrets.env");
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).expect("the file is there");
    assert!(told(2).contains("others can read the values (mode 0644): chmod 600"));
    place.only_mine("secrets.env");
    place.configure("secrets.env", "PASS=password\n");
    assert!(told(0).contains("the value \"PASS\" is not looked for: it is too short"));
}

/// A file of gitleaks, one of whose names Hudson has too.
const GITLEAKS: &str = r#"
title = "team"
[extend]
useDefault = true
[allowlist]
regexes = ['''acme_0{8}''']
[[rules]]
id = "github-pat"
regex = '''ghp_[0-9a-zA-Z]{36}'''
keywords = ["ghp_"]
[[rules]]
id = "acme-token"
description = "Acme's token: \"theirs\""
regex = '''\b(acme_[0-9a-f]{16})(?:['"\s]|$)'''
keywords = ["acme_"]
entropy = 2.5
[[rules]]
id = "keystores"
path = '''\.p12$'''
"#;

#[test]
fn rules_of_gitleaks_work_as_they_are_and_taken_over() {
    let place = Place::with("dlp: {rules_file: team.toml}\n");
    place.configure("team.toml", GITLEAKS);
    let text =
        place.file("acme.txt", "deploy with acme_9f8e7d6c5b4a3021 now\nnot acme_0000000012345678 there\n");
    let text = text.display().to_string();
    let outcome = place.run(&["scan", &text]);
    let found = lines(outcome.exited(1));
    assert_eq!(found.len(), 1, "{outcome}");
    assert_eq!((found[0]["rule"].as_str(), found[0]["start"].as_u64()), (Some("acme-token"), Some(12)));
    assert!(outcome.stderr.contains("rule \"github-pat\" has \"team:\" in front of its name"), "{outcome}");

    let toml = place.home().join("team.toml").display().to_string();
    let outcome = place.run(&["import", &toml]);
    outcome.exited(0);
    assert!(outcome.stderr.contains("rule \"keystores\" is left out: it has no regex"), "{outcome}");
    assert!(outcome.stderr.contains("`extend` is not supported"), "{outcome}");
    let example = "  examples: {match: ['x acme_9f8e7d6c5b4a3021 y'], no_match: ['acme_0000000012345678']}\n";
    place.configure("team.yaml", &format!("{}{example}", outcome.text()));
    place.configure("settings.yml", "dlp: {rules_file: team.yaml}\n");
    let outcome = place.run(&["scan", &text]);
    assert_eq!(lines(outcome.exited(1)), found, "{outcome}");

    let yaml = place.home().join("team.yaml").display().to_string();
    assert!(place.run(&["test", &yaml]).exited(0).text().contains("2 rules, 2 examples: 0 failed"));
    let wrong = example.replace("'x acme_9", "'x acme_X");
    place.configure("team.yaml", &format!("{}{wrong}", place.run(&["import", &toml]).text()));
    let outcome = place.run(&["test", &yaml]);
    outcome.exited(1);
    assert!(outcome.text().contains("rule \"acme-token\": examples.match[0] is not found"), "{outcome}");
    place.run(&["import", &text]).exited(2);
}

#[test]
fn the_rules_that_come_with_hudson_keep_their_examples() {
    let place = Place::new();
    let outcome = place.run(&["--json", "test"]);
    let tally: Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
    assert!(tally["rules"].as_u64() > Some(250) && tally["examples"].as_u64() > Some(500), "{tally}");
    assert_eq!(
        (tally["failed"].as_array().map(Vec::len), tally["without_examples"].as_u64()),
        (Some(0), Some(0))
    );
}

#[test]
fn a_rule_a_hash_and_a_text_are_explained() {
    let place = Place::with("dlp: {secrets_file: secrets.env}\n");
    let rule = place.run(&["explain", "github-pat"]).exited(0).text();
    for word in ["ghp_", "crc32_base62", "api.github.com", "comes with Hudson (github.yaml:1)", "critical"] {
        assert!(rule.contains(word), "{word} in\n{rule}");
    }
    let outcome = place.run(&["explain", "github-pats"]);
    outcome.exited(3);
    assert!(outcome.stderr.contains("did you mean \"github-pat\"?"), "{outcome}");

    let file = place.file("text.json", format!(r#"{{"a": "{}", "b": "{DEPLOY}"}}"#, token()));
    let outcome = place.fed("explain --host files.example.com -", &file);
    outcome.exited(0);
    let text = outcome.text();
    for part in [
        "its check holds (crc32_base62)",
        "body /a, bytes 7 to 47",
        "it is the value DEPLOY_KEY, which Hudson knows by heart",
        "A value that is known cannot be suppressed.",
        "    - {finding: ",
        "    - {rule: github-pat, host: files.example.com, location: body /a, reason: say why, expires: ",
        "  - host: files.example.com\n    outbound_on_match: warn",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains(&token()) && !text.contains(DEPLOY), "a value is shown: {text}");

    let found = lines(&place.run(&["scan", &file.display().to_string()]));
    let known = found.iter().find(|line| line["rule"] == "known-value").expect("it was found");
    let hash = known["hash"].as_str().expect("a hash");
    assert!(
        place.run(&["explain", hash]).exited(0).text().contains("the value DEPLOY_KEY, which must not leave")
    );
}

#[test]
fn speed_is_measured_with_the_rules_of_the_home() {
    let place = Place::with("dlp: {secrets_file: secrets.env}\n");
    let file = place.file("body.txt", "a line of text\n".repeat(20_000)).display().to_string();
    let outcome = place.run(&["--json", "bench", "--rounds", "3", &file]);
    let measured: Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
    assert!(measured["rules"].as_u64() > Some(250), "{measured}");
    assert_eq!((measured["known_values"].as_u64(), measured["bytes"].as_u64()), (Some(1), Some(300_000)));
    let speed = &measured["mb_per_s"];
    let of = |key: &str| speed[key].as_f64().expect("a number");
    assert!(0.0 < of("least") && of("least") <= of("median") && of("median") <= of("most"), "{measured}");
    assert!(measured["body_64k_us"]["p50"].as_u64() <= measured["body_64k_us"]["p99"].as_u64());
    assert!(measured["scanner_memory"].as_u64() > Some(1 << 20), "{measured}");
    place.run(&["bench", "/nowhere/at.all"]).exited(2);
}
