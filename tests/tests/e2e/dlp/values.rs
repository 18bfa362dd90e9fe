//! Values that Hudson knows: what it puts on, what the operator lists, what bottles have in their environment.

use super::{HOST, Scene, base64};
use crate::raw::{self, Upstream};

const BLOCK: &str = "    outbound_on_match: block\n";
/// In no documented form.
const VALUE: &str = "h7Rq2Wv9kLm3XpZt8Yb5";

fn forms(value: &str) -> Vec<String> {
    let hexadecimal: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
    let percent: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        format!("the value is {value}."),
        base64(&format!("x{value}")),
        base64(&base64(value)),
        hexadecimal,
        percent,
        value.chars().rev().collect(),
        format!("{} then {} then {}", &value[..8], &value[6..14], &value[12..]),
    ]
}

/// A credential of one route does not leave on another, nor in another bottle, in whatever form.
#[test]
fn a_credential_leaves_only_where_it_is_put_on() {
    let upstream = Upstream::echo();
    let routes = format!(
        "routes:\n  - host: {HOST}\n    scheme: http\n{BLOCK}  - host: home.example.com\n    scheme: http\n    outbound_on_match: block\n    \
         credentials: [{{header: x-key, from: {{env: THE_KEY}}}}]\n"
    );
    let other = format!("routes:\n  - host: {HOST}\n    scheme: http\n{BLOCK}");
    let stage = raw::routes(&routes)
        .file("bottles/other/routes.yaml", &other)
        .env("THE_KEY", VALUE)
        .connect_to(&format!("{HOST}:80"), upstream.address)
        .connect_to("home.example.com:80", upstream.address)
        .start();
    let agent = stage.agent();
    for form in forms(VALUE) {
        let headers = format!("x-note: {form}\r\n");
        agent.plain("GET", &format!("http://{HOST}/"), &headers).refused(403, "dlp_blocked");
    }
    // At home it is what Hudson itself sends.
    agent.plain("GET", "http://home.example.com/", &format!("x-note: {VALUE}\r\n")).passed();
    assert!(upstream.seen().pop().is_some_and(|request| request.contains(&format!("x-note: {VALUE}"))));
    let other = stage.agent_in("other", &[]);
    other.plain("GET", &format!("http://{HOST}/?q={VALUE}"), "").refused(403, "dlp_blocked");
    let finding = stage.event("dlp_finding");
    assert_eq!(
        (&finding["rule"], &finding["detail"]),
        (&"known-value".into(), &"THE_KEY".into()),
        "{finding}"
    );
}

/// A key that is rotated is looked for from when it is first used on, and the old one still.
#[test]
fn a_credential_that_changes_is_known_before_it_is_used() {
    let upstream = Upstream::echo();
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("key");
    std::fs::write(&file, VALUE).expect("a scratch folder takes files");
    let routes = format!(
        "routes:\n  - host: {HOST}\n    scheme: http\n{BLOCK}  - host: home.example.com\n    scheme: http\n    \
         credentials: [{{header: x-key, from: {{file: {}}}}}]\n",
        file.display()
    );
    let stage = raw::routes(&routes)
        .connect_to(&format!("{HOST}:80"), upstream.address)
        .connect_to("home.example.com:80", upstream.address)
        .start();
    let agent = stage.agent();
    let next = "c4Nd8Fj2Gs6Ha0Kq1Wz5";
    agent.plain("GET", "http://home.example.com/", "").passed();
    std::fs::write(&file, next).expect("a scratch folder takes files");
    agent.plain("GET", "http://home.example.com/", "").passed();
    assert!(upstream.seen().pop().is_some_and(|request| request.contains(next)), "the new one is put on");
    for value in [VALUE, next] {
        agent.plain("GET", &format!("http://{HOST}/?q={value}"), "").refused(403, "dlp_blocked");
    }
}

#[test]
fn the_operators_file_and_the_bottles_environment_are_known() {
    let settings = "dlp: {secrets_file: secrets.env, env_prefixes: [DEPLOY_]}\n";
    let scene = Scene::with(BLOCK, settings, |setting| {
        let setting = setting
            .file("secrets.env", "# of the team\nDATABASE='pq9LmT3x0ZcVb7NsD2fG'\n")
            .file(
                "bottles/ci/bottle.yml",
                "env: {DEPLOY_TOKEN: u8Ij4Ko1Pl6Mn3Bv9Cx2, OTHER: q5We7Rt9Yu2Io4Pa6Sd8}\n",
            )
            .env("DEPLOY_HOST_KEY", "z1Xc3Vb5Nm7As9Df2Gh4");
        let file = setting.world.home().join("secrets.env");
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("it is ours");
        setting
    });
    for value in ["pq9LmT3x0ZcVb7NsD2fG", "u8Ij4Ko1Pl6Mn3Bv9Cx2", "z1Xc3Vb5Nm7As9Df2Gh4"] {
        let answer = scene.post(&format!("a {value} b")).refused(403, "dlp_blocked");
        assert!(!answer.text().contains(value));
    }
    scene.post("a q5We7Rt9Yu2Io4Pa6Sd8 b").passed();
}

#[test]
fn rules_and_suppressions_of_the_operator_are_taken_anew() {
    let scene = Scene::with(BLOCK, "", |setting| setting);
    scene.post("ACME-1234567890abcdef").passed();
    let rules = "[[rules]]\nid = 'acme-key'\nregex = '''ACME-[0-9a-f]{16}'''\nkeywords = ['acme-']\n";
    scene.stage.world.configure("team.toml", rules);
    scene.stage.world.configure("settings.yml", "dlp: {rules_file: team.toml}\n");
    scene.stage.signal(rustix::process::Signal::HUP);
    scene.stage.event("configuration_reloaded");
    scene.post("ACME-1234567890abcdef").refused(403, "dlp_blocked").says("acme-key");
    let hash = scene.stage.event("dlp_finding")["hash"].as_str().unwrap_or_default().to_owned();

    let settings = format!(
        "dlp: {{rules_file: team.toml, suppressions: [{{finding: {hash}, reason: a fixture, expires: 2999-01-01}}, \
         {{rule: acme-key, host: {HOST}, location: header x-old, reason: old, expires: 2001-01-01}}]}}\n"
    );
    scene.stage.world.configure("settings.yml", &settings);
    scene.stage.signal(rustix::process::Signal::HUP);
    raw::wait_until(std::time::Duration::from_secs(5), || {
        (scene.post("ACME-1234567890abcdef").status == 200).then_some(())
    })
    .expect("it is suppressed");
    scene.post("ACME-fedcba0987654321").refused(403, "dlp_blocked");
    // One that has ended does not count.
    scene.ask("GET", "/", "x-old: ACME-00ff00ff00ff00ff\r\n", b"").refused(403, "dlp_blocked");
    let told = scene.stage.events("dlp_finding");
    assert!(told.iter().any(|event| event["suppressed"] == "a fixture"), "{told:#?}");
}

#[test]
fn examples_of_documentation_are_told_of_and_pass_unless_they_count() {
    let example = "AKIAIOSFODNN7EXAMPLE";
    let scene = Scene::new(BLOCK);
    scene.post(example).passed();
    let event = scene.stage.event("dlp_finding");
    assert_eq!((&event["action"], &event["lowered"]), (&"allow".into(), &"example".into()), "{event}");
    let scene = Scene::with(BLOCK, "dlp: {strict_examples: true}\n", |setting| setting);
    scene.post(example).refused(403, "dlp_blocked");
}

/// One address is in every git log; many are somebody's data.
#[test]
fn data_of_persons_counts_where_it_is_asked_for_and_from_its_threshold_on() {
    let addresses = |count: usize| {
        (0..count).map(|n| format!("e-mail: person{n}@company.test")).collect::<Vec<_>>().join("\n")
    };
    let scene = Scene::new(BLOCK);
    scene.post(&addresses(50)).passed();
    scene.post("card 4539578763621486 of somebody").refused(403, "dlp_blocked");
    let settings = "dlp: {profiles: [pii], thresholds: {email-address: 10}}\n";
    let scene = Scene::with(BLOCK, settings, |setting| setting);
    scene.post(&addresses(9)).passed();
    scene.post(&addresses(10)).refused(403, "dlp_blocked").says("email-address");
}
