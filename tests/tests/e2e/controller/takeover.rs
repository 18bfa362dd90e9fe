//! One controller at a time: who comes second waits or goes; who takes over does what is left; and proxies keep hard
//! limits meanwhile.

use std::time::Instant;

use hudson_tests::World;
use serde_json::{Value, json};

use super::{SOON, Served, call, get, hudson_in, message, sidecar};
use crate::raw;

const HOST: &str = "api.anthropic.com";
/// When the next controller has taken over, on a machine that is busy.
const BAR: u128 = 5000;

fn enforcements(world: &World) -> Vec<Value> {
    let told = hudson_in(world, &["status", "--json"]);
    let told: Value = serde_json::from_slice(&told.exited(0).stdout).expect("JSON");
    told["enforcements"].as_array().expect("a list").clone()
}

#[test]
fn a_proxy_refuses_past_the_budget_without_a_controller_and_the_next_one_does_what_is_left() {
    let world = World::new();
    world.configure("settings.yml", "budget: {claude: 1000}\n");
    let mut first = Served::start(&world, "first", &["controller"], &[]);
    let (_proxy, agent) = sidecar(&world, &[]);
    agent.post(HOST, "/v1/messages", &message("10-5")).passed();
    first.process.kill_now();

    agent.post(HOST, "/v1/messages", &message("900-100")).passed();
    agent.post(HOST, "/v1/messages", &message("1-1")).refused(403, "bottle_cut_off");
    let left = enforcements(&world);
    assert_eq!((left.len(), &left[0]["state"]), (1, &json!("planned")), "nobody is there to act: {left:#?}");

    let began = Instant::now();
    let second = Served::start(&world, "second", &["controller"], &[]);
    let done = raw::wait_until(SOON, || {
        let rows = enforcements(&world);
        (rows[0]["state"] == "done").then_some(rows)
    })
    .expect("what was left is done");
    report!("from the start of the next controller to what was left being done: {:?}", began.elapsed());
    assert_eq!(done.len(), 1, "{done:#?}");
    agent.post(HOST, "/v1/messages", &message("1-1")).refused(403, "bottle_cut_off");
    // It acts on what comes now, too: a limit that is raised lifts what it caused.
    let home = world.home();
    let raised = call(&home, "POST", "/v1/budgets", r#"{"set": {"claude": 100000}}"#);
    assert_eq!(raised.status, 200, "{}", raised.text());
    raw::wait_until(SOON, || (agent.post(HOST, "/v1/messages", &message("1-1")).status == 200).then_some(()))
        .expect("it passes again");
    assert_eq!(get(&home, "/v1/version")["role"], "controller");
    drop(second);
}

#[test]
fn a_run_that_another_process_serves_is_known_and_stopped_by_what_others_spent() {
    let world = World::new();
    world.configure("settings.yml", "budget: {claude: 1000}\n");
    let controller = Served::start(&world, "controller", &["controller"], &[]);
    let (_proxy, agent) = sidecar(&world, &[]);
    agent.post(HOST, "/v1/messages", &message("500-100")).passed();
    // A run of one's own is not handed over to a controller without a proxy.
    let ran = hudson_in(&world, &["run", "--isolation", "none", "--bottle", "own", "--", "true"]);
    ran.exited(0);
    let add = hudson_in(&world, &["bottle", "add", "other", "--json"]);
    assert!(add.exited(1).stderr.contains("no `hudson up` serves"), "{add}");
    // Lowered below what is spent: a crossing at once, without a request that would find it.
    hudson_in(&world, &["budget", "set", "claude=100"]).exited(0);
    let rows = raw::wait_until(SOON, || {
        let rows = enforcements(&world);
        rows.first().is_some_and(|row| row["state"] == "done").then_some(rows)
    })
    .expect("it is enforced");
    assert_eq!((rows.len(), &rows[0]["bottle"]), (1, &json!("ci")), "{rows:#?}");
    agent.get("files.example.com", "/hello.txt").refused(403, "bottle_cut_off");
    drop(controller);
}

#[test]
fn exactly_one_of_many_acts_and_the_next_takes_over_from_a_kill() {
    let world = World::new();
    let mut first = Served::start(&world, "first", &["controller"], &[]);
    for command in ["controller", "up"] {
        let refused = hudson_in(&world, &[command]);
        assert!(refused.exited(4).stderr.contains("--standby"), "{refused}");
    }
    let mut waiting: Vec<_> = [("second", "--standby"), ("third", "--wait")]
        .map(|(name, how)| Served::begin(&world, name, &["controller", how], &[]))
        .into();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(waiting.iter_mut().all(|one| !one.is_ready() && !one.process.ended()));
    let pid = |world: &World| get(&world.home(), "/v1/version")["pid"].as_u64();
    assert_eq!(pid(&world), Some(u64::from(first.process.id())));

    first.process.kill_now();
    let began = Instant::now();
    raw::wait_until(SOON, || waiting.iter().any(Served::is_ready).then_some(())).expect("one takes over");
    let took = began.elapsed();
    report!("from kill -9 of a controller to the next one being ready: {took:?}");
    assert!(took.as_millis() < BAR, "{took:?}");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (mut ready, mut others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(Served::is_ready);
    assert_eq!((ready.len(), others.len()), (1, 1), "exactly one acts");
    assert_eq!(pid(&world), Some(u64::from(ready[0].process.id())));

    // An orderly end gives the place over as well; who is told to stop while it waits ends.
    ready[0].process.signal(rustix::process::Signal::TERM);
    assert!(ready[0].process.wait(SOON));
    assert!(others[0].told().is_some());
    let mut idle = Served::begin(&world, "idle", &["controller", "--standby"], &[]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    idle.process.signal(rustix::process::Signal::TERM);
    assert!(idle.process.wait(SOON) && idle.process.code() == Some(0) && !idle.is_ready());
    assert!(!others[0].process.ended());
}

#[test]
fn a_run_whose_files_are_gone_keeps_nobody_from_new_settings() {
    let world = World::new();
    world.configure("settings.yml", "budget: {claude: 1000}\n");
    let controller = Served::start(&world, "controller", &["controller"], &[]);
    let (_proxy, agent) = sidecar(&world, &[]);
    agent.post(HOST, "/v1/messages", &message("10-5")).passed();
    std::fs::remove_file(world.home().join("bottles/ci/routes.yaml")).expect("it is there");
    world.configure("settings.yml", "budget: {claude: 2000}\n");
    controller.process.signal(rustix::process::Signal::HUP);
    let log = || std::fs::read_to_string(world.scratch().join("controller.log")).expect("a log");
    raw::wait_until(SOON, || log().contains("configuration_reloaded").then_some(()))
        .expect("it is read anew");
    assert!(!log().contains("configuration_kept"), "{}", log());
    assert!(get(&world.home(), "/v1/version")["configuration_fault"].is_null());
    // Its limits are still those that it had, and it is still enforced.
    hudson_in(&world, &["budget", "set", "claude=5"]).exited(0);
    raw::wait_until(SOON, || {
        enforcements(&world).first().is_some_and(|row| row["state"] == "done").then_some(())
    })
    .expect("it is enforced");
}
