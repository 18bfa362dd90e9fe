//! The same on Podman, by its Docker-compatible API: the main job, what is out of reach, and what enforcement does.

use std::fs::File;
use std::process::Stdio;

use hudson_tests::World;
use hudson_tests::engine::{ELSEWHERE, Engine, RESOLVER};
use rustix::process::Signal;

use super::escapes::{GET, answering, no_service_of_the_host_is_reached};
use super::scene::{PROGRAMS, SOON, Scene, contained};
use crate::raw::wait_until;

#[test]
fn the_python_sdk_works_and_stops_when_the_budget_is_spent() {
    let case = crate::cases::python_anthropic("sync", "stream");
    let engine = Engine::podman();
    engine.inside(|| {
        case.works(&World::new(), &|launch| contained(engine, launch));
        case.stops(&World::new(), &|launch| contained(engine, launch));
    });
}

#[test]
fn nothing_but_the_proxy_is_reached() {
    let scene = Scene::on(Engine::podman());
    let port = scene.engine.elsewhere(|| answering("0.0.0.0"));
    // Its network has a way out: what closes it is the packet filter alone.
    let line = format!("{GET} http://{ELSEWHERE}:{port}/ | grep 'the host'");
    let open = scene.run(&[&PROGRAMS[..], &["--isolation", "none"]].concat(), &line);
    assert_eq!(open.code, Some(0), "this proves nothing: {open}");
    let closed = scene.run(&PROGRAMS, &line);
    assert_eq!(closed.code, Some(1), "{closed}");
    for line in [
        "getent ahosts example.com".to_owned(),
        format!("nslookup example.com {RESOLVER}"),
        "perl -e 'socket(S, 2, 3, 1) or exit 1'".to_owned(),
        "perl -e 'socket(S, 17, 3, 768) or exit 1'".to_owned(),
    ] {
        let closed = scene.run(&PROGRAMS, &line);
        assert!(closed.code.is_some_and(|code| code != 0), "{line}: {closed}");
    }
    no_service_of_the_host_is_reached(&scene, &["$gateway", &RESOLVER.to_string()]);
    let outcome = scene.finish(&mut scene.bottle(&[], &["no-such-program"]));
    assert!(outcome.exited(127).stderr.contains("no-such-program"), "{outcome}");
    scene.nothing_is_left();
}

#[test]
fn a_bottle_is_frozen_resumed_and_killed() {
    let scene = Scene::on(Engine::podman());
    let script = "if [ -e /saved ]; then echo again: $(curl -sS https://files.example.com/hello.txt); \
                  else touch /saved; echo first; fi; touch /tmp/up; while :; do sleep 0.05; done";
    let mut command = scene.bottle(&PROGRAMS, &["sh", "-c", script]);
    let file = |name: &str| File::create(scene.at(name)).expect("it takes files");
    command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    let mut running = scene.start(&mut command);
    let says = |stream: &str, what: &str| {
        let read = || std::fs::read_to_string(scene.at(stream)).expect("it is there");
        let said = wait_until(SOON, || read().contains(what).then_some(()));
        assert!(said.is_some(), "{what:?} is not in {stream}: {}", read());
    };
    says("stdout", "first");
    // The order waits for five seconds, which Podman may need more than on a machine that is busy.
    scene.finish(&mut scene.hudson(&["bottle", "freeze", "ci"]));
    says("stderr", "frozen, and saved as the image");
    assert_eq!(scene.images().len(), 1);
    scene.finish(&mut scene.hudson(&["bottle", "resume", "ci"]));
    says("stdout", "again: hello from the simulator");
    scene.finish(&mut scene.hudson(&["bottle", "kill", "ci"]));
    assert!(running.wait(SOON));
    assert_eq!(running.code(), Some(137));
    scene.nothing_is_left();
}

#[test]
fn a_signal_reaches_the_command() {
    let scene = Scene::on(Engine::podman());
    let script = "trap 'exit 9' TERM; touch /tmp/up; while :; do sleep 0.05; done";
    let mut running = scene.start(&mut scene.bottle(&[], &["sh", "-c", script]));
    scene.running("/tmp/up");
    running.signal(Signal::TERM);
    assert!(running.wait(SOON));
    assert_eq!(running.code(), Some(9));
    scene.nothing_is_left();
}
