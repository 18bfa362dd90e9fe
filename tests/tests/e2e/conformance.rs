//! The behaviour of bot-bottle's egress addon, case by case: what its own tests pin holds here too.

use crate::raw::{self, Answer, Stage};

/// Two hosts as the smallest bot-bottle file names them, one of them with a token.
const ROUTES: &str = "log: 1
routes:
  - host: files.example.com
  - host: other.example.com
    auth_scheme: Bearer
    token_env: EGRESS_TOKEN_0
";

const TOKEN: &str = "tests-only-9fK2mP7qR4tW";

fn with_token(value: &str) -> Stage {
    raw::routes(ROUTES).env("EGRESS_TOKEN_0", value).start()
}

fn git(fetch: bool, method: &str, target: &str) -> (Stage, Answer) {
    let routes = format!("routes:\n  - host: git.example.com\n    git_fetch: {fetch}\n");
    let stage = raw::routes(&routes).start();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: git.example.com\r\ncontent-length: 0\r\n\r\n");
    let answer = stage.agent().send("git.example.com", &request);
    (stage, answer)
}

#[test]
fn the_allowlist_is_told_as_json() {
    let stage = raw::routes(ROUTES).start();
    let answer = stage.agent().plain("GET", "http://_egress.local/allowlist", "").passed();
    let hosts = serde_json::json!({"routes": [{"host": "files.example.com"}, {"host": "other.example.com"}]});
    assert_eq!(answer.json(), hosts);
}

#[test]
fn anything_else_on_the_local_name_is_404() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for path in ["/", "/allowlist/", "/Allowlist", "/routes", "/../allowlist"] {
        assert_eq!(agent.plain("GET", &format!("http://_egress.local{path}"), "").status, 404, "{path}");
    }
}

#[test]
fn the_local_name_decides_nothing() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = agent.plain(method, "http://_egress.local/allowlist", "content-length: 0\r\n");
        assert!(matches!(answer.status, 404 | 405), "{method}: {answer}");
    }
}

#[test]
fn the_local_name_needs_credentials_too() {
    let stage = raw::routes(ROUTES).start();
    let stranger = stage.agent().with_credentials("nobody:nothing");
    stranger.plain("GET", "http://_egress.local/allowlist", "").refused(407, "identity_required");
}

#[test]
fn a_host_that_is_not_listed_is_403_with_allowlist() {
    let stage = raw::routes(ROUTES).start();
    let answer = stage.agent().get("git.example.com", "/hello.txt");
    answer.refused(403, "host_not_allowed").says("allowlist");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_listed_host_is_forwarded() {
    let stage = raw::routes(ROUTES).start();
    let answer = stage.agent().get("files.example.com", "/hello.txt").passed();
    assert_eq!(answer.text(), "hello from the simulator\n");
}

#[test]
fn the_agents_authorization_is_dropped_and_the_real_one_put_on() {
    let stage = with_token(TOKEN);
    let agents = "Authorization: Bearer from-the-agent\r\nAuthorization: Basic YTpi\r\n";
    stage.agent().get_with("other.example.com", "/hello.txt", agents).passed();
    let arrived = stage.world.simulator.journal().entries();
    assert!(arrived[0].carries("authorization", &format!("Bearer {TOKEN}")), "{:?}", arrived[0].headers);
}

#[test]
fn a_route_without_auth_leaves_the_agents_authorization() {
    let stage = with_token(TOKEN);
    let agents = "Authorization: Bearer from-the-agent\r\n";
    let answer = stage.agent().get_with("files.example.com", "/echo", agents).passed();
    assert_eq!(answer.echoed("authorization"), ["Bearer from-the-agent"]);
}

#[test]
fn an_unset_token_is_403() {
    let stage = raw::routes(ROUTES).start();
    stage.agent().get("other.example.com", "/hello.txt").refused(403, "credential_unavailable");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_empty_token_is_403() {
    let stage = with_token("");
    stage.agent().get("other.example.com", "/hello.txt").refused(403, "credential_unavailable");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_git_push_is_403_in_every_form() {
    for (method, target) in [
        ("POST", "/repo.git/git-receive-pack"),
        ("POST", "/repo.git/git%2Dreceive%2Dpack"),
        ("GET", "/repo.git/info/refs?service=git-receive-pack"),
        ("GET", "/repo.git/info/refs?a=b&service=git%2dreceive-pack"),
    ] {
        let (stage, answer) = git(true, method, target);
        answer.refused(403, "git_push_blocked").says("git push over HTTPS");
        assert_eq!(stage.arrived(), 0, "{target}");
    }
}

#[test]
fn a_git_fetch_without_git_fetch_is_403() {
    let (stage, answer) = git(false, "GET", "/repo.git/info/refs?service=git-upload-pack");
    answer.refused(403, "git_fetch_blocked").says("git push over HTTPS");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn a_git_fetch_with_git_fetch_is_forwarded() {
    let (_stage, answer) = git(true, "GET", "/repo.git/info/refs?service=git-upload-pack");
    answer.passed().says("service=git-upload-pack");
}

#[test]
fn log_1_writes_a_block_as_a_line_of_json() {
    let stage = raw::routes(ROUTES).start();
    stage.agent().get("git.example.com", "/secret?token=not-for-logs").refused(403, "host_not_allowed");
    let block = stage.event("egress_block");
    let told = ["host", "method", "path"].map(|key| block[key].as_str().unwrap_or_default());
    assert_eq!(told, ["git.example.com", "GET", "/secret"]);
    assert!(block["reason"].as_str().is_some_and(|reason| reason.contains("allowlist")), "{block}");
    assert!(!stage.log().contains("not-for-logs"), "a query is in the log");
}

#[test]
fn log_0_writes_no_block() {
    let stage = raw::routes("routes:\n  - host: files.example.com\n").start();
    stage.agent().get("git.example.com", "/").refused(403, "host_not_allowed");
    // The refusal is written behind where the block would stand.
    stage.event("refusal");
    assert_eq!(stage.events("egress_block").len(), 0);
}

#[test]
fn log_2_writes_what_passed_without_a_secret() {
    let routes = ROUTES.replace("log: 1", "log: 2");
    let stage = raw::routes(&routes).env("EGRESS_TOKEN_0", TOKEN).start();
    stage
        .agent()
        .get_with("other.example.com", "/echo?q=not-for-logs", "cookie: a=not-for-logs\r\n")
        .passed();
    assert_eq!(stage.event("egress_request")["path"], "/echo");
    assert!(!stage.log().contains(TOKEN) && !stage.log().contains("not-for-logs"), "{}", stage.log());
}

#[test]
fn a_missing_routes_file_denies_all() {
    let stage = raw::stage().start();
    let agent = stage.agent();
    agent.get("files.example.com", "/hello.txt").refused(403, "host_not_allowed");
    let told = agent.plain("GET", "http://_egress.local/allowlist", "").passed().json();
    assert_eq!(told, serde_json::json!({"routes": []}));
}

#[test]
fn an_empty_list_denies_all() {
    let stage = raw::routes("log: 0\nroutes: []\n").start();
    stage.agent().get("files.example.com", "/hello.txt").refused(403, "host_not_allowed");
}

#[test]
fn a_bad_reload_keeps_the_previous_configuration() {
    let stage = raw::routes(ROUTES).start();
    let agent = stage.agent();
    stage.world.configure("bottles/ci/routes.yaml", "routes:\n  - hots: files.example.com\n");
    stage.event("configuration_kept");
    agent.get("files.example.com", "/hello.txt").passed();
    agent.get("git.example.com", "/").refused(403, "host_not_allowed");
}
