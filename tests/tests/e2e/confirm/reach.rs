//! A bottle reaches nothing that decides, by whatever way it tries; and asks through the proxy without any listener.

use hudson_tests::clients;
use hudson_tests::process;
use serde_json::{Value, json};

use super::{OFTEN, SOON, Scene, TOKEN, question, setting};
use crate::raw::{self, Agent, Answer};

/// A request to the proxy itself with a body.
#[track_caller]
fn inside(agent: &Agent, method: &str, path: &str, body: &str) -> Answer {
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let request = agent.absolute(method, &format!("http://_egress.local{path}"), &headers) + body;
    raw::ask(&mut agent.socket(), &request)
}

#[test]
fn a_bottle_asks_through_the_proxy_and_decides_nothing_there() {
    let scene = super::scene(OFTEN);
    let asked = inside(&scene.agent, "POST", "/confirm", &question("deploy", "one"));
    assert_eq!((asked.status, &asked.json()["status"]), (202, &json!("pending")), "{asked}");
    let id = asked.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(asked.json()["approve_url"], Value::Null);
    let deciding = ["/respond", "/pending", "/audit", "/api/pending", "/api/approve/", "/api/deny/"];
    let mut paths: Vec<String> = deciding.iter().map(|path| format!("{path}{id}")).collect();
    paths.extend(deciding.map(str::to_owned));
    paths.extend(["approve", "deny", "revoke"].map(|what| format!("/confirm/{id}/{what}")));
    paths.extend([
        format!("/confirm/{id}/../{id}/approve"),
        format!("/confirm//{id}/approve"),
        format!("//confirm/{id}/approve"),
    ]);
    for path in &paths {
        for method in ["POST", "GET", "PUT", "DELETE"] {
            let told =
                inside(&scene.agent, method, path, &json!({"request_id": id, "approved": true}).to_string());
            assert!(matches!(told.status, 404 | 405), "{method} {path}: {told}");
        }
    }
    assert_eq!(scene.record(&id)["status"], "pending");
    let read = inside(&scene.agent, "GET", &format!("/confirm/{id}"), "");
    assert_eq!((read.status, &read.json()["status"]), (200, &json!("pending")), "{read}");
    assert_eq!(inside(&scene.agent, "GET", "/health", "").json()["pending"], 1);
    scene.approve(&id);
    let read = inside(&scene.agent, "GET", &format!("/confirm/{id}?wait=5"), "");
    assert_eq!(read.json()["status"], "approved", "{read}");
    assert_eq!(inside(&scene.agent, "POST", "/confirm", &"x".repeat((1 << 20) + 1)).status, 413);
    assert_eq!(inside(&scene.agent, "DELETE", "/confirm", "").status, 405);
}

#[test]
fn a_bottle_sees_its_own_alone() {
    let scene = Scene::of(setting(OFTEN).file("bottles/other/routes.yaml", "routes: []\n"));
    let id = scene.ask("deploy", "one");
    let other = scene.stage.agent_in("other", &[]);
    assert_eq!(scene.by(&other, "GET", &format!("/confirm/{id}"), "").status, 404);
    assert_eq!(inside(&other, "GET", &format!("/confirm/{id}"), "").status, 404);
    assert_eq!(inside(&other, "GET", "/health", "").json()["pending"], 0);
    assert_eq!(scene.by(&other, "GET", "/health", "").json()["pending"], 0);
    // The same question of another bottle is another.
    let own = scene.by(&other, "POST", "/confirm", &question("deploy", "one"));
    assert_eq!(own.status, 202, "{own}");
    assert_ne!(own.json()["id"], json!(id));
    // Approved for one, it is not for the other.
    scene.approve(&id);
    assert_eq!(scene.by(&other, "POST", "/confirm", &question("deploy", "one")).status, 202);
    // And who has gone asks nothing.
    scene.stage.hudson(&["bottle", "remove", "other"]).exited(0);
    assert_eq!(scene.by(&other, "POST", "/confirm", &question("deploy", "two")).status, 401);
}

#[test]
fn no_way_through_the_proxy_leads_to_a_door() {
    // Routes that allow whatever can be allowed.
    let routes = |port: u16| {
        let hosts =
            ["127.0.0.1", "localhost", "'[::1]'", "'[::ffff:127.0.0.1]'", "0.0.0.0", "door.example.com"];
        let list = hosts.map(|host| {
            format!("  - {{host: {host}, scheme: http, port: {port}, allow_addresses: [127.0.0.0/8, '::/0', 0.0.0.0/0]}}\n")
        });
        format!("routes:\n{}", list.concat())
    };
    let scene = super::scene(OFTEN);
    let id = scene.ask("deploy", "one");
    for (door, path) in
        [(scene.confirm, format!("/confirm/{id}/approve")), (scene.admin, format!("/api/approve/{id}"))]
    {
        let port = door.port();
        scene.stage.world.configure(&format!("bottles/thief-{port}/routes.yaml"), &routes(port));
        let thief = scene.stage.agent_in(&format!("thief-{port}"), &[]);
        // Even with the token, which no bottle has.
        let headers = format!(
            "Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        );
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "0.0.0.0",
            "127.1",
            "2130706433",
        ] {
            let request = thief.absolute("POST", &format!("http://{host}:{port}{path}"), &headers) + "{}";
            let told = raw::ask(&mut thief.socket(), &request);
            assert!(told.status >= 400 && told.header("x-hudson-refusal").is_some(), "{host}: {told}");
            let (told, mut socket) = thief.connect(&format!("{host}:{port}"));
            if told.status == 200 {
                // The refusal is inside the tunnel; what is no TLS gets none of it.
                let plain = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n{{}}");
                use std::io::Write as _;
                let _ = socket.write_all(plain.as_bytes());
                let left = raw::agent::until_closed(&mut socket).unwrap_or_default();
                assert!(!String::from_utf8_lossy(&left).contains("\"approved\""), "CONNECT {host}");
            }
        }
    }
    assert_eq!(scene.record(&id)["status"], "pending");
}

#[test]
fn a_name_that_leads_to_loopback_leads_to_no_door() {
    let setting = setting(OFTEN);
    let scene =
        Scene::of(setting.connect_to("door.example.com:80", "127.0.0.1:1".parse().expect("an address")));
    let port = scene.confirm.port();
    let route = format!(
        "routes:\n  - {{host: localhost, scheme: http, port: {port}, allow_addresses: [127.0.0.0/8, '::1/128']}}\n"
    );
    scene.stage.world.configure("bottles/thief/routes.yaml", &route);
    let thief = scene.stage.agent_in("thief", &[]);
    let headers = format!("Authorization: Bearer {TOKEN}\r\n");
    let told = thief.plain("GET", &format!("http://localhost:{port}/pending"), &headers);
    told.refused(403, "address_blocked").says("own listeners");
}

#[test]
fn a_token_decides_nothing_from_inside_of_a_bottle() {
    let scene = super::scene(OFTEN);
    let id = scene.ask("deploy", "one");
    // A bottle that nothing holds back, which has found the token.
    let script = format!(
        "curl -s --noproxy '*' -H 'Authorization: Bearer {TOKEN}' -H 'Content-Type: application/json' \\
         -X POST http://{}/confirm/{id}/approve -d '{{}}'",
        scene.confirm
    );
    let words =
        ["run", "--bottle", "ci", "--provider", "none", "--isolation", "none", "--", "sh", "-c", &script];
    let outcome = scene.stage.hudson(&words);
    assert!(outcome.text().contains("\"forbidden\"") && outcome.text().contains("in a bottle"), "{outcome}");
    assert_eq!(scene.record(&id)["status"], "pending");
    let told = scene.stage.event("decision_refused");
    assert_eq!((&told["actor"], &told["why"]), (&json!("token:ops"), &json!("inside_of_a_bottle")), "{told}");
}

#[test]
fn an_embedded_run_asks_without_any_listener() {
    let world = hudson_tests::World::new();
    world.configure("bottles/ci/routes.yaml", "routes: []\n");
    let script = "curl -s -H 'Content-Type: application/json' http://_egress.local/confirm \
                  -d '{\"action\": \"deploy\", \"description\": \"one\"}'; \
                  curl -s -H 'Content-Type: application/json' http://_egress.local/confirm \
                  -d '{\"action\": \"read_file\", \"description\": \"x\"}'; \
                  curl -s -X POST -H 'Content-Type: application/json' http://_egress.local/respond -d '{}'";
    let mut command = clients::clean(&hudson_tests::hudson::binary().display().to_string());
    command.arg("--home").arg(world.home()).args([
        "run",
        "--bottle",
        "ci",
        "--provider",
        "none",
        "--isolation",
        "none",
    ]);
    command.args(["--", "sh", "-c", script]).env("HOME", world.operator_home()).current_dir(world.work());
    let outcome = process::run(&mut command, SOON * 4);
    let told = outcome.exited(0).text();
    assert!(told.contains("\"auto_approved\"") && told.contains("not found"), "{outcome}");
    // What it asked ends with it.
    let mut command = clients::clean(&hudson_tests::hudson::binary().display().to_string());
    command.arg("--home").arg(world.home()).args(["approvals", "list", "--all", "--json"]);
    let listed = process::run(&mut command, SOON);
    assert!(listed.exited(0).text().contains("\"cancelled\""), "{listed}");
}
