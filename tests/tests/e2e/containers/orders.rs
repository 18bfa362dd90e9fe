//! Operators' orders, looked at from inside of the container, and for one that was started elsewhere.

use std::fs::File;
use std::process::Stdio;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use hudson_tests::engine::IMAGE;
use hudson_tests::process::Background;
use rustix::process::Signal;

use super::scene::{PROGRAMS, SOON, Scene};
use crate::raw::wait_until;

/// Fetches by the proxy, writes on where it left off, and tells whether its first credentials are still worth something.
const AGENT: &str = "if [ -e /saved ]; then
  echo again: $(curl -sS https://files.example.com/hello.txt)
  echo before: $(curl -sS -o /dev/null -w '%{http_connect}' -x $(cat /saved) https://files.example.com/)
else
  echo $HTTPS_PROXY > /saved; echo first: $(curl -sS https://files.example.com/hello.txt)
fi
touch /tmp/up; trap 'exit 9' TERM; while :; do sleep 0.05; done";

fn started(scene: &Scene, options: &[&str], script: &str) -> Background {
    let mut command = scene.bottle(&[&PROGRAMS[..], options].concat(), &["sh", "-c", script]);
    let file = |name: &str| File::create(scene.at(name)).expect("it takes files");
    command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    command.env("ANTHROPIC_API_KEY", crate::cases::ANTHROPIC.value);
    scene.start(&mut command)
}

#[track_caller]
fn says(scene: &Scene, stream: &str, what: &str) {
    let read = || std::fs::read_to_string(scene.at(stream)).expect("it is there");
    let said = wait_until(SOON, || read().contains(what).then_some(()));
    assert!(said.is_some(), "{what:?} is not in {stream}: {}", read());
}

#[track_caller]
fn order(scene: &Scene, words: &[&str]) {
    scene.finish(&mut scene.hudson(words)).exited(0);
}

#[test]
fn a_frozen_container_is_resumed_with_other_credentials() {
    let scene = Scene::new();
    let mut running = started(&scene, &[], AGENT);
    scene.running("/tmp/up");
    says(&scene, "stdout", "first: hello from the simulator");
    for round in 1..=2 {
        order(&scene, &["bottle", "freeze", "ci"]);
        says(&scene, "stderr", "frozen, and saved as the image hudson/ci:");
        assert_eq!(scene.images().len(), round);
        assert!(!running.ended());
        order(&scene, &["bottle", "resume", "ci"]);
        scene.running("/tmp/up");
        says(&scene, "stdout", "again: hello from the simulator\nbefore: 407\n");
        std::fs::write(scene.at("stdout"), "").expect("it is ours");
    }
    running.signal(Signal::TERM);
    assert!(running.wait(SOON));
    assert_eq!(running.code(), Some(9));
    scene.nothing_is_left();
    assert_eq!(scene.images().len(), 2, "saved images stay");
}

#[test]
fn a_container_started_elsewhere_is_tied_and_acted_on() {
    let scene = Scene::new();
    let name = format!("elsewhere-{}", std::process::id());
    scene.engine.ask(|docker| {
        let name = name.clone();
        async move {
            let body = ContainerCreateBody {
                image: Some(IMAGE.to_owned()),
                cmd: Some(vec![
                    "sh".to_owned(),
                    "-c".to_owned(),
                    "touch /up; while :; do sleep 0.05; done".to_owned(),
                ]),
                host_config: Some(HostConfig::default()),
                ..ContainerCreateBody::default()
            };
            let options = CreateContainerOptionsBuilder::default().name(&name).build();
            docker.create_container(Some(options), body).await.expect("it is made");
            docker.start_container(&name, None).await.expect("it starts");
        }
    });
    let ready = scene.at("home/ready.json");
    let mut up =
        scene.hudson(&["up", "--listen", "127.0.0.1:0", "--ready-file", &ready.display().to_string()]);
    let _up = scene.start(&mut up);
    wait_until(SOON, || ready.exists().then_some(())).expect("it is up");

    for missing in ["nobody", "../json", "a b", "-x"] {
        let word = format!("--container={missing}");
        let outcome = scene.finish(&mut scene.hudson(&["bottle", "add", "ci", &word]));
        assert!(outcome.exited(3).stderr.contains("has no container"), "{outcome}");
    }
    let outcome = scene.finish(&mut scene.hudson(&["bottle", "add", "ci", "--container", &name, "--json"]));
    let told: serde_json::Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
    assert_eq!(told["container"]["name"], name.as_str());
    assert_eq!(told["container"]["isolation"], "unenforced");
    assert!(outcome.stderr.contains("unenforced"), "{outcome}");
    assert_eq!(scene.status()["runs"][0]["isolation"], "unenforced");

    let lives = |name: &str| scene.inside(name, &["test", "-e", "/up"]);
    wait_until(SOON, || lives(&name).then_some(())).expect("it runs");
    order(&scene, &["bottle", "freeze", "ci"]);
    wait_until(SOON, || (!lives(&name)).then_some(())).expect("it is frozen");
    order(&scene, &["bottle", "resume", "ci"]);
    wait_until(SOON, || lives(&name).then_some(())).expect("it is resumed");
    order(&scene, &["bottle", "kill", "ci"]);
    let gone = wait_until(SOON, || {
        scene.engine.ask(|docker| {
            let name = name.clone();
            async move { docker.inspect_container(&name, None).await.is_err().then_some(()) }
        })
    });
    gone.expect("it is removed");
    let left = scene.engine.ask(|docker| async move {
        let options = bollard::query_parameters::RemoveImageOptionsBuilder::default().force(true).build();
        let images = docker
            .list_images(None::<bollard::query_parameters::ListImagesOptions>)
            .await
            .expect("they are listed");
        let own = images
            .into_iter()
            .filter(|image| image.labels.get("hudson.run").is_some_and(|run| *run == told["run"]));
        let mut count = 0;
        for image in own {
            docker.remove_image(&image.id, Some(options.clone()), None).await.expect("it goes");
            count += 1;
        }
        count
    });
    assert_eq!(left, 1, "the image of the freeze");
}
