//! What keeps approvals going: stopped and ended bottles, people who are asked too often, settings that change.

use serde_json::json;

use super::{OFTEN, SOON, Scene, becomes, question, scene, setting};
use crate::raw;

#[test]
fn what_a_stopped_bottle_asked_is_taken_back_and_it_asks_nothing_more() {
    for (order, scene) in ["cutoff", "freeze"].map(|order| (order, scene(OFTEN))) {
        let (pending, approved) = (scene.ask("deploy", "one"), scene.ask("deploy", "two"));
        scene.approve(&approved);
        let path = format!("/confirm/{pending}?wait=30");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| scene.by_agent("GET", &path, ""));
            std::thread::sleep(std::time::Duration::from_millis(200));
            scene.stage.hudson(&["bottle", order, "ci", "--reason", "it digs"]);
            let told = waiting.join().expect("it does not panic");
            assert_eq!(
                (&told.json()["status"], &told.json()["state"]),
                (&json!("denied"), &json!("cancelled")),
                "{told}"
            );
        });
        becomes(&scene, &approved, "revoked");
        let told = scene.by_agent("POST", "/confirm", &question("deploy", "three"));
        assert_eq!((told.status, &told.json()["code"]), (403, &json!("bottle_cut_off")), "{told}");
        assert_eq!(scene.approve(&pending).status, 409);
    }
}

#[test]
fn what_an_ended_bottle_asked_is_taken_back() {
    let scene = scene(OFTEN);
    let id = scene.ask("deploy", "one");
    scene.stage.hudson(&["bottle", "remove", "ci"]).exited(0);
    let told = becomes(&scene, &id, "cancelled");
    assert!(told["reason"].as_str().is_some_and(|why| why.contains("run has ended")), "{told}");
}

#[test]
fn people_who_are_asked_too_often_have_the_bottle_stopped() {
    let scene = scene("rate_limit: 1000/hour, fatigue: {threshold: 3, window: 1h, then: pause_bottle}");
    let first = scene.ask("deploy", "0");
    (1..3).for_each(|number| drop(scene.ask("deploy", &format!("{number}"))));
    let told = scene.by_agent("POST", "/confirm", &question("deploy", "3"));
    assert_eq!((told.status, &told.json()["code"]), (429, &json!("approval_unavailable")), "{told}");
    scene.agent.get("files.example.com", "/hello.txt").refused(403, "bottle_cut_off").says("asked people");
    becomes(&scene, &first, "cancelled");
    assert_eq!(scene.stage.event("bottle_paused")["bottle"], "ci");
    scene.stage.hudson(&["bottle", "resume", "ci"]).exited(0);
    raw::wait_until(SOON, || {
        (scene.agent.get("files.example.com", "/hello.txt").status == 200).then_some(())
    })
    .expect("it goes on");
}

#[test]
fn no_more_wait_than_may() {
    let scene = scene("rate_limit: 1000/hour, fatigue: off, max_pending_per_bottle: 2");
    let first = scene.ask("deploy", "0");
    scene.ask("deploy", "1");
    let told = scene.by_agent("POST", "/confirm", &question("deploy", "2"));
    assert_eq!((told.status, &told.json()["pending"]), (429, &json!(2)), "{told}");
    scene.approve(&first);
    scene.ask("deploy", "2");
}

#[test]
fn time_that_ran_out_is_written_down_without_anybody_asking() {
    let scene = scene(&format!("{OFTEN}, decision_ttl: 1s, use_ttl: 1s"));
    let (left, used) = (scene.ask("deploy", "one"), scene.ask("deploy", "two"));
    scene.approve(&used);
    let steps = |id: &str| {
        let events = scene.by_operator("GET", "/audit?events=1", "").json()["entries"].clone();
        let of = events.as_array().into_iter().flatten().filter(|step| step["id"] == id);
        of.filter_map(|step| step["type"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    for id in [&left, &used] {
        raw::wait_until(SOON * 2, || steps(id).contains(&"approval_expire".to_owned()).then_some(()))
            .unwrap_or_else(|| panic!("{:?}", steps(id)));
    }
    // What was approved and not used in time is not approved any more.
    let read = scene.by_agent("GET", &format!("/confirm/{used}"), "");
    assert_eq!(read.json()["status"], "expired", "{read}");
}

#[test]
fn other_rules_ask_anew() {
    let scene = Scene::of(setting(OFTEN));
    let id = scene.ask("deploy", "one");
    scene.approve(&id);
    let settings =
        std::fs::read_to_string(scene.stage.world.home().join("settings.yml")).expect("it is there");
    let other = settings.replace("fatigue: off", "fatigue: off, tiers: {deploy: high}");
    scene.stage.world.configure("settings.yml", &other);
    raw::wait_until(SOON, || {
        (scene.stage.events("configuration_reloaded").len() + scene.stage.events("configuration_kept").len()
            > 0)
        .then_some(())
    });
    let told = raw::wait_until(SOON, || {
        let told = scene.by_agent("GET", &format!("/confirm/{id}"), "").json();
        (told["state"] != "approved").then_some(told)
    });
    // Used under the rules it was approved under, or revoked under the new ones; never both.
    let told = told.expect("it is read");
    assert_eq!(told["state"], "revoked", "{told}");
    let again = scene.by_agent("POST", "/confirm", &question("deploy", "one"));
    assert_eq!((again.status, &again.json()["risk_level"]), (202, &json!("high")), "{again}");
}

#[test]
fn a_token_that_the_settings_lose_decides_no_more() {
    let scene = Scene::of(setting(OFTEN));
    let id = scene.ask("deploy", "one");
    assert_eq!(scene.by_operator("GET", "/pending", "").status, 200);
    scene.stage.world.configure("settings.yml", "approvals: {approvers: {tokens: {}}}\n");
    raw::wait_until(SOON, || (scene.by_operator("GET", "/pending", "").status == 401).then_some(()))
        .expect("it is nobody's any more");
    assert_eq!(scene.approve(&id).status, 401);
}
