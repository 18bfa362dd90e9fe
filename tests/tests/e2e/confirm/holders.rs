//! Those who wait: many at once, told at once, and told once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hudson_tests::{clients, process};
use serde_json::{Value, json};

use super::{OFTEN, SOON, basic, open, question, scene};
use crate::raw;
use crate::raw::answer::read_answer;

fn pending(scene: &super::Scene) -> Vec<Value> {
    scene.by_operator("GET", "/pending", "").json()["pending"].as_array().cloned().unwrap_or_default()
}

fn milliseconds() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is past 1970").as_millis()
}

fn python(scene: &super::Scene, url: &str, description: &str, timeout: &str) -> std::process::Command {
    let script = clients::repository().join("tests/clients/confirmation.py");
    let mut command = clients::clean("python3");
    command.arg(script).args([url, "deploy", description, timeout]);
    command.env("CONFIRMATION_CREDENTIALS", &scene.agent.credentials);
    command
}

#[test]
fn the_ancestors_client_is_told_true_within_100_ms_of_the_approval() {
    let scene = scene(OFTEN);
    let url = format!("http://{}", scene.confirm);
    // The quickest of a few: this machine has other work.
    let mut took = Vec::new();
    for number in 0..5 {
        let (told, approved_at) = std::thread::scope(|scope| {
            let mut client = python(&scene, &url, &format!("{number}"), "60");
            let client = scope.spawn(move || process::run(&mut client, Duration::from_secs(60)));
            let one = raw::wait_until(SOON, || pending(&scene).pop()).expect("it is asked");
            std::thread::sleep(Duration::from_millis(100));
            let approved_at = milliseconds();
            assert_eq!(scene.approve(one["id"].as_str().expect("an id")).status, 200);
            (client.join().expect("it does not panic"), approved_at)
        });
        let told = told.exited(0).text();
        let (answer, at) = told.trim().split_once(' ').expect("an answer and a time");
        assert_eq!(answer, "True");
        let at: u128 = at.parse().expect("milliseconds");
        took.push(at.saturating_sub(approved_at));
    }
    report!("approved to told, in ms: {took:?}");
    assert!(took.iter().min().is_some_and(|quickest| *quickest <= 100), "{took:?}");
}

#[test]
fn the_ancestors_client_is_told_false_when_nobody_is_there_or_says_no() {
    let scene = scene(&format!("{OFTEN}, hold_max: 1s"));
    let url = format!("http://{}", scene.confirm);
    let run = |mut client: std::process::Command| process::run(&mut client, Duration::from_secs(60));
    // Nobody decides.
    let told = run(python(&scene, &url, "nobody", "2"));
    assert!(told.exited(0).text().starts_with("False "), "{told}");
    // Somebody says no.
    let told = std::thread::scope(|scope| {
        let client = scope.spawn(|| run(python(&scene, &url, "no", "60")));
        let one =
            raw::wait_until(SOON, || pending(&scene).into_iter().find(|one| one["description"] == "no"));
        let id = one.expect("it is asked")["id"].as_str().expect("an id").to_owned();
        assert_eq!(scene.by_operator("POST", &format!("/confirm/{id}/deny"), "{}").status, 200);
        client.join().expect("it does not panic")
    });
    assert!(told.exited(0).text().starts_with("False "), "{told}");
    // No service is there at all, and wrong credentials are none.
    let told = run(python(&scene, "http://127.0.0.1:1", "x", "2"));
    assert!(told.exited(0).text().starts_with("False "), "{told}");
    let mut stranger = python(&scene, &url, "x", "2");
    stranger.env("CONFIRMATION_CREDENTIALS", "some:body");
    assert!(run(stranger).exited(0).text().starts_with("False "));
}

#[test]
fn fifty_wait_at_once_and_each_is_told_its_own() {
    let scene = scene(OFTEN);
    let ask = |number: usize| {
        let body = question("deploy", &format!("{number}"));
        let headers = format!(
            "Host: {}\r\nContent-Type: application/json\r\nPrefer: wait=50\r\n{}",
            scene.confirm,
            basic(&scene.agent)
        );
        open(scene.confirm, "POST", "/confirm", &headers, &body)
    };
    let mut waiting: Vec<_> = (0..50).map(ask).collect();
    let found = raw::wait_until(SOON, || Some(pending(&scene)).filter(|found| found.len() == 50));
    let found = found.unwrap_or_else(|| panic!("{} of 50 are pending", pending(&scene).len()));
    let begun = Instant::now();
    for one in &found {
        let number: usize = one["description"].as_str().and_then(|text| text.parse().ok()).expect("a number");
        let what = if number.is_multiple_of(2) { "approve" } else { "deny" };
        let id = one["id"].as_str().expect("an id");
        assert_eq!(scene.by_operator("POST", &format!("/confirm/{id}/{what}"), "{}").status, 200);
    }
    let mut ids = BTreeSet::new();
    for (number, socket) in waiting.iter_mut().enumerate() {
        let told = read_answer(socket, false).expect("it is answered").json();
        let expected = if number.is_multiple_of(2) { "approved" } else { "denied" };
        assert_eq!(told["status"], expected, "{number}: {told}");
        assert!(ids.insert(told["id"].to_string()), "each is its own");
    }
    report!("50 decisions, made and told: {:?}", begun.elapsed());
}

#[test]
fn of_many_that_ask_the_same_at_once_one_is_told_yes() {
    let scene = scene(&format!("{OFTEN}, hold_max: 2s"));
    let body = json!({"action": "deploy", "description": "the same", "wait": true}).to_string();
    let headers =
        format!("Host: {}\r\nContent-Type: application/json\r\n{}", scene.confirm, basic(&scene.agent));
    let mut waiting: Vec<_> =
        (0..10).map(|_| open(scene.confirm, "POST", "/confirm", &headers, &body)).collect();
    let one = raw::wait_until(SOON, || pending(&scene).pop()).expect("it is asked");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(pending(&scene).len(), 1, "people are asked once");
    assert_eq!(scene.approve(one["id"].as_str().expect("an id")).status, 200);
    let told: Vec<String> = waiting
        .iter_mut()
        .map(|socket| read_answer(socket, false).expect("it is answered").json()["status"].to_string())
        .collect();
    assert_eq!(told.iter().filter(|status| *status == "\"approved\"").count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|status| *status == "\"pending\"").count(), 9, "{told:?}");
}

#[test]
fn who_goes_away_withdraws_nothing() {
    let scene = scene(OFTEN);
    let headers =
        format!("Host: {}\r\nContent-Type: application/json\r\n{}", scene.confirm, basic(&scene.agent));
    let socket = open(scene.confirm, "POST", "/confirm?wait=50", &headers, &question("deploy", "one"));
    let one = raw::wait_until(SOON, || pending(&scene).pop()).expect("it is asked");
    drop(socket);
    let id = one["id"].as_str().expect("an id");
    assert_eq!(scene.approve(id).status, 200);
    // Asked again, it is the same question, and its answer is there.
    let told = scene.by_agent("POST", "/confirm", &question("deploy", "one"));
    assert_eq!(
        (told.status, &told.json()["id"], &told.json()["status"]),
        (200, &json!(id), &json!("approved"))
    );
    // And good for one time.
    assert_eq!(scene.by_agent("POST", "/confirm", &question("deploy", "one")).status, 202);
}

#[test]
fn a_wait_ends_pending_and_goes_on_where_it_is_read() {
    let scene = scene(OFTEN);
    let told = scene.by_agent("POST", "/confirm?wait=1", &question("deploy", "one"));
    assert_eq!((told.status, &told.json()["status"]), (202, &json!("pending")), "{told}");
    assert_eq!(told.header("preference-applied"), Some("wait=1"));
    let id = told.json()["id"].as_str().expect("an id").to_owned();
    let read = std::thread::scope(|scope| {
        let path = format!("/confirm/{id}?wait=30");
        let scene = &scene;
        let reading = scope.spawn(move || scene.by_agent("GET", &path, ""));
        std::thread::sleep(Duration::from_millis(300));
        scene.approve(&id);
        reading.join().expect("it does not panic")
    });
    assert_eq!((read.status, &read.json()["status"]), (200, &json!("approved")), "{read}");
    // Read again it says the same, and is no second use.
    let again = scene.by_agent("GET", &format!("/confirm/{id}"), "");
    assert_eq!((&again.json()["status"], &again.json()["state"]), (&json!("approved"), &json!("consumed")));
}

#[test]
fn at_the_moment_of_expiry_there_is_one_outcome() {
    let scene = scene(&format!("{OFTEN}, decision_ttl: 1s"));
    let mut seen = BTreeSet::new();
    for number in 0..24_i64 {
        let id = scene.ask("deploy", &format!("{number}"));
        let expires = scene.record(&id)["expires_at"].as_f64().expect("a time");
        // From a little before to a little after.
        let aim = expires * 1000.0 + ((number - 12) * 25) as f64;
        let left = (aim - milliseconds() as f64).max(0.0) as u64;
        let (told, waited) = std::thread::scope(|scope| {
            let (scene, id) = (&scene, &id);
            let waiting = scope.spawn(move || scene.by_agent("GET", &format!("/confirm/{id}?wait=5"), ""));
            std::thread::sleep(Duration::from_millis(left));
            let told = scene.approve(id);
            (told, waiting.join().expect("it does not panic"))
        });
        let (decided, waited) = (told.status, waited.json()["status"].clone());
        let expected = if decided == 200 { "approved" } else { "expired" };
        assert!(matches!(decided, 200 | 409), "{told}");
        assert_eq!(scene.record(&id)["status"], expected, "{told}");
        assert_eq!(waited, expected, "who waited was told another answer");
        seen.insert(expected);
    }
    assert_eq!(seen.len(), 2, "both sides of the moment were met");
}
