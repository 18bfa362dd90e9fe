//! Where a secret could stand after it was found, it does not: log, answer, ledger, audit, notification, dashboard.

use std::time::Duration;

use super::{HOST, Scene, TOKEN};
use crate::dashboard::dashboard;
use crate::raw::upstream::ok;
use crate::raw::{self, Upstream};

const CANARY: &str = "WILLOW_HARBOR_83kd92mf";
const VALUE: &str = "h7Rq2Wv9kLm3XpZt8Yb5";

#[test]
fn no_sink_holds_what_was_found() {
    let hook = Upstream::start(|_| ok("", b""));
    let settings = format!(
        "dlp: {{canary_file: canaries.env, on_canary: cutoff}}\n\
         notify: [{{webhook: {{url: 'http://{}/hook', secret_env: HOOK_SECRET}}}}]\n",
        hook.address
    );
    let route = "    outbound_on_match: block\n";
    let scene = Scene::with(route, &settings, |setting| {
        let setting = setting.file("canaries.env", &format!("BACKUP={CANARY}\n"));
        let file = setting.world.home().join("canaries.env");
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("it is ours");
        setting.env("HOOK_SECRET", "whsec-tests-only").env("EGRESS_TOKEN_0", VALUE)
    });
    let mut everything = String::new();
    for secret in [TOKEN, VALUE] {
        for target in
            [format!("/a/{secret}/b"), format!("/a?q={secret}"), format!("/{secret}/git-receive-pack")]
        {
            everything += &scene.ask("POST", &target, "", b"").to_string();
        }
        everything += &scene.ask("GET", "/", &format!("x-{secret}: {secret}\r\n"), b"").to_string();
        everything += &scene.post(&format!(r#"{{"{secret}":"{secret}"}}"#)).to_string();
        everything += &scene.ask(secret, "/", "", b"").to_string();
        // Refused for other reasons, with the secret in what is told of it.
        everything +=
            &scene.agent.plain("GET", &format!("http://{secret}.example.net/{secret}"), "").to_string();
        everything += &scene.agent.plain("GET", &format!("http://{HOST}//{secret}"), "").to_string();
        everything += &scene.agent.plain(secret, "http://example.net/", "").to_string();
        everything += &scene.agent.connect(&format!("{secret}.example.net:443")).0.to_string();
    }
    let mut terminal = dashboard(&scene.stage, "");
    terminal.shows("● running");
    // The details, to their end.
    terminal.press("\tG");
    terminal.shows("dlp_blocked");
    everything += &(terminal.written() + &terminal.screen());
    terminal.press("q");
    everything += &terminal.ends();
    everything += &scene.post(CANARY).refused(403, "dlp_blocked").to_string();
    scene.stage.event("canary_tripped");
    raw::wait_until(Duration::from_secs(10), || (!hook.seen().is_empty()).then_some(())).expect("it is told");
    everything += &hook.seen().join("\n");
    everything += &scene.stage.log();
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["audit", "export"],
        &["bottle", "list", "--json"],
        &["usage", "--json"],
        &["check"],
    ] {
        everything += &scene.stage.hudson(words).everything();
    }
    let report = scene.stage.world.scratch().join("report.html");
    scene.stage.hudson(&["report", &report.display().to_string()]);
    everything += &std::fs::read_to_string(&report).unwrap_or_default();
    for file in std::fs::read_dir(scene.stage.world.home()).expect("the home is there").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if file.file_type().is_ok_and(|kind| kind.is_file()) && name != "canaries.env" {
            everything += &String::from_utf8_lossy(&std::fs::read(file.path()).expect("it is readable"));
        }
    }
    assert!(everything.contains("github-pat") && everything.contains("known-value"), "nothing was found");
    for secret in [TOKEN, VALUE, CANARY] {
        let hidden: String = secret.chars().rev().collect();
        for form in [secret, &super::base64(secret), &hidden, &secret.to_ascii_lowercase()] {
            if let Some(at) = everything.find(form) {
                let near: String = everything[at.saturating_sub(200)..at].chars().collect();
                panic!("a secret is told behind {near}");
            }
        }
    }
}
