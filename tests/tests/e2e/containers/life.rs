//! A container's beginning and end: when it is refused, what its signals do, and that nothing of it is left.

use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use super::scene::{SOON, Scene};
use crate::raw::wait_until;

/// A command that ignores nothing, and shows in a file that it lives.
const WAITING: &str = "trap 'exit 9' TERM; touch /tmp/up; while :; do sleep 0.05; done";

#[test]
fn an_image_that_is_not_there_is_not_fetched() {
    let scene = Scene::new();
    let mut command = scene.hudson(&["run", "--container", "nobody/has:this", "--", "true"]);
    let outcome = scene.finish(&mut command);
    let said = &outcome.exited(3).stderr;
    assert!(said.contains("has no image nobody/has:this") && said.contains("pulls none"), "{outcome}");
    scene.nothing_is_left();
}

#[test]
fn an_engine_that_does_not_answer_is_named() {
    let scene = Scene::new();
    let silent = scene.at("silent.sock");
    drop(UnixListener::bind(&silent).expect("a socket"));
    for (host, code, part) in [
        (format!("unix://{}", silent.display()), 1, silent.display().to_string()),
        (format!("unix://{}", scene.at("none.sock").display()), 1, "none.sock".to_owned()),
        ("tcp://127.0.0.1:2375".to_owned(), 2, "unix:///PATH".to_owned()),
    ] {
        let outcome = scene.finish(scene.bottle(&[], &["true"]).env("DOCKER_HOST", &host));
        assert!(outcome.exited(code).stderr.contains(&part), "{host}: {outcome}");
        assert!(outcome.stderr.contains("DOCKER_HOST"), "{host}: {outcome}");
    }
}

#[test]
fn volumes_that_would_open_the_host_are_refused() {
    let scene = Scene::new();
    std::os::unix::fs::symlink(scene.at("home/.bot-bottle"), scene.at("elsewhere/link")).expect("a link");
    let engine = scene.engine.folder();
    let mut sources = vec![
        scene.at("home/.bot-bottle"),
        scene.at("home"),
        scene.at("home/.bot-bottle/bottles"),
        scene.at("elsewhere/link"),
        engine.to_owned(),
        engine.join("engine.sock"),
        engine.join("data"),
        scene.at("not/there"),
    ];
    sources.extend(["/", "/proc", "/sys", "/dev", "/run", "/var/run", "/dev/null", "/tmp"].map(Into::into));
    for source in sources {
        let volume = format!("{}:/shown:ro", source.display());
        let outcome = scene.run(&["--volume", &volume], "ls /shown");
        assert!(outcome.exited(2).stderr.contains("--volume"), "{}: {outcome}", source.display());
    }
    for volume in ["/usr:/etc/hudson", "/usr:/etc", "/usr:/", "/usr:relative", "/usr"] {
        scene.run(&["--volume", volume], "true").exited(2);
    }
    std::fs::write(scene.at("home/project/file"), "shown").expect("it takes files");
    let outcome = scene.run(&["--volume", ".:/work:ro"], "cat /work/file; touch /work/other");
    assert!(outcome.exited(1).text().contains("shown"), "{outcome}");
    scene.nothing_is_left();
}

#[test]
fn without_the_right_to_close_its_network_nothing_is_started() {
    let scene = Scene::new();
    let without = |options: &[&str]| {
        let command = scene.bottle(options, &["true"]);
        let mut less = hudson_tests::clients::clean("setpriv");
        less.args(["--bounding-set", "-net_admin", "--"]).arg(command.get_program()).args(command.get_args());
        less.current_dir(scene.at("home/project"));
        for (name, value) in command.get_envs() {
            less.env(name, value.unwrap_or_default());
        }
        scene.finish(&mut less)
    };
    for isolation in ["auto", "full"] {
        let outcome = without(&["--isolation", isolation]);
        let said = &outcome.exited(1).stderr;
        for part in ["cannot be closed", "NET_ADMIN", "--isolation none"] {
            assert!(said.contains(part), "{part}: {outcome}");
        }
        scene.nothing_is_left();
    }
    let outcome = without(&["--isolation", "none"]);
    assert!(outcome.exited(0).stderr.contains("unenforced"), "{outcome}");
    scene.nothing_is_left();
}

#[test]
fn signals_reach_the_command_and_the_second_one_ends_it() {
    let scene = Scene::new();
    let mut running = scene.start(&mut scene.bottle(&[], &["sh", "-c", WAITING]));
    let name = scene.running("/tmp/up");
    assert!(scene.tables().contains(&name["hudson-".len()..].replace('-', "")), "{}", scene.tables());
    running.signal(Signal::TERM);
    assert!(running.wait(SOON));
    assert_eq!(running.code(), Some(9));
    scene.nothing_is_left();
    assert!(!scene.tables().contains(&name["hudson-".len()..].replace('-', "")), "{}", scene.tables());

    let deaf = "trap '' INT TERM; touch /tmp/up; while :; do sleep 0.05; done";
    let mut running = scene.start(&mut scene.bottle(&[], &["sh", "-c", deaf]));
    scene.running("/tmp/up");
    running.signal(Signal::INT);
    assert!(!running.wait(std::time::Duration::from_secs(1)));
    running.signal(Signal::INT);
    assert!(running.wait(SOON));
    assert_eq!(running.code(), Some(137));
    scene.nothing_is_left();
}

#[test]
fn what_a_killed_hudson_left_the_next_one_removes() {
    let scene = Scene::new();
    let mut running = scene.start(&mut scene.bottle(&[], &["sh", "-c", WAITING]));
    let name = scene.running("/tmp/up");
    let table = name["hudson-".len()..].replace('-', "");
    running.kill_now();
    assert_eq!(scene.containers().len(), 1);
    // While it is there it is as closed as before.
    assert!(scene.tables().contains(&table));
    // One that lives is left alone.
    let mut second = scene.start(&mut scene.bottle(&[], &["sh", "-c", WAITING]));
    wait_until(SOON, || {
        let names: Vec<_> =
            scene.containers().into_iter().flat_map(|one| one.names.unwrap_or_default()).collect();
        (names.len() == 1 && names[0][1..] != name).then_some(())
    })
    .expect("the first is removed, and the second is there");
    scene.running("/tmp/up");
    assert!(!scene.tables().contains(&table), "{}", scene.tables());
    scene.run(&[], "true").exited(0);
    assert_eq!(scene.containers().len(), 1, "what lives was removed");
    assert_eq!(scene.status()["runs"].as_array().map(Vec::len), Some(1));
    second.signal(Signal::TERM);
    assert!(second.wait(SOON));
    scene.nothing_is_left();
}

#[test]
fn rules_that_somebody_took_away_are_put_back() {
    let scene = Scene::new();
    let mut command = scene.bottle(&[], &["sh", "-c", WAITING]);
    let stderr = scene.at("stderr");
    command.stderr(std::fs::File::create(&stderr).expect("it takes files"));
    let mut running = scene.start(&mut command);
    let name = scene.running("/tmp/up");
    let run = name["hudson-".len()..].replace('-', "");
    let listed = scene.tables();
    let table = listed.lines().find(|line| line.ends_with(&run)).expect("it is closed").to_owned();
    let words: Vec<_> = ["delete"].into_iter().chain(table.split(' ')).collect();
    scene.finish(hudson_tests::clients::clean("nft").args(words)).exited(0);
    assert!(!scene.tables().contains(&run));
    wait_until(SOON, || scene.tables().contains(&run).then_some(())).expect("they are back");
    let said = wait_until(SOON, || {
        std::fs::read_to_string(&stderr).ok().filter(|said| said.contains("they are back"))
    });
    assert!(said.is_some(), "it is not said");
    running.signal(Signal::TERM);
    assert!(running.wait(SOON));
    scene.nothing_is_left();
}

#[test]
fn runs_side_by_side_have_networks_of_their_own() {
    let scene = Scene::new();
    let mut both = [0, 1].map(|_| scene.start(&mut scene.bottle(&[], &["sh", "-c", WAITING])));
    wait_until(SOON, || (scene.containers().len() == 2).then_some(())).expect("both start");
    let networks = scene.networks();
    assert_eq!(networks.len(), 2);
    assert!(
        networks.iter().all(|network| network.internal == Some(true) && network.enable_ipv6 == Some(false))
    );
    wait_until(SOON, || {
        scene
            .containers()
            .iter()
            .all(|one| {
                scene.inside(&one.names.clone().unwrap_or_default()[0][1..], &["test", "-e", "/tmp/up"])
            })
            .then_some(())
    })
    .expect("both run");
    for running in &both {
        running.signal(Signal::TERM);
    }
    for running in &mut both {
        assert!(running.wait(SOON));
        assert_eq!(running.code(), Some(9));
    }
    scene.nothing_is_left();
}

#[test]
fn a_command_that_is_not_there_ends_as_shells_say_it() {
    let scene = Scene::new();
    let outcome = scene.finish(&mut scene.bottle(&[], &["no-such-program"]));
    assert!(outcome.exited(127).stderr.contains("no-such-program"), "{outcome}");
    scene.nothing_is_left();
}
