//! What enforcement does to a bottle in a container, at the engine itself: freeze, resume, kill; also begun again at every
//! point at which a process may have died.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Stdio;

use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, RenameContainerOptionsBuilder,
};
use hudson_controller::container::{Bottle, Engine, State};
use hudson_controller::place::Place;
use hudson_tests::engine::IMAGE;
use hudson_tests::process::Background;
use rustix::process::Signal;

use super::scene::{SOON, Scene};
use crate::raw::wait_until;

/// Writes on where it left off, and tells what it is told.
const AGENT: &str = "if [ -e /saved ]; then echo again with $(cat /saved) by $HTTPS_PROXY; \
else echo state > /saved; echo first; fi; touch /tmp/up; trap 'exit 9' TERM; while :; do sleep 0.05; done";

/// A run in a container, and what enforcement holds of it.
struct Run {
    scene: Scene,
    running: Background,
    container: String,
}

impl Run {
    fn start() -> Self {
        let scene = Scene::new();
        let mut command = scene.bottle(&[], &["sh", "-c", AGENT]);
        let file = |name: &str| File::create(scene.at(name)).expect("it takes files");
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let running = scene.start(&mut command);
        let container = scene.running("/tmp/up");
        Self { scene, running, container }
    }

    fn said(&self, stream: &str) -> String {
        std::fs::read_to_string(self.scene.at(stream)).expect("it is there")
    }

    #[track_caller]
    fn says(&self, stream: &str, what: &str) {
        let said = wait_until(SOON, || self.said(stream).contains(what).then_some(()));
        assert!(said.is_some(), "{what:?} is not said: {}\n{}", self.said("stdout"), self.said("stderr"));
    }

    /// Acts as enforcement does.
    #[track_caller]
    fn act<T: Send>(&self, act: impl AsyncFn(Bottle) -> anyhow::Result<T> + Send + Sync) -> T {
        let place = Place::Container {
            socket: self.scene.engine.socket(),
            id: self.container.clone(),
            network: Some(self.container.clone()),
            tied: false,
        };
        bottle_at(&self.scene, &place, act)
    }

    #[track_caller]
    fn freeze(&self) -> String {
        self.act(async |bottle| bottle.freeze(&saved(&self.container), &labels(&self.container)).await)
    }

    #[track_caller]
    fn resume(&self, proxy: &str) -> String {
        let variables = BTreeMap::from([("HTTPS_PROXY".to_owned(), proxy.to_owned())]);
        self.act(async |bottle| bottle.resume(&saved(&self.container), &variables).await)
    }

    #[track_caller]
    fn state(&self) -> State {
        self.act(async |bottle| bottle.state().await)
    }

    fn end(mut self) -> Scene {
        self.running.signal(Signal::TERM);
        assert!(self.running.wait(SOON));
        self.scene.nothing_is_left();
        self.scene
    }
}

#[track_caller]
fn bottle_at<T: Send>(
    scene: &Scene,
    place: &Place,
    act: impl AsyncFn(Bottle) -> anyhow::Result<T> + Send + Sync,
) -> T {
    scene
        .engine
        .inside(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let engine = Engine::at(&scene.engine.socket()).await.expect("the engine answers");
                act(Bottle::new(engine, place).expect("a container of the engine's")).await
            })
        })
        .expect("the engine does it")
}

/// What it is saved as: another name for every run, as tests run side by side.
fn saved(container: &str) -> String {
    format!("hudson/ci:{}", &container["hudson-".len()..])
}

fn labels(container: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("hudson.run".to_owned(), container["hudson-".len()..].to_owned()),
        ("hudson.bottle".to_owned(), "ci".to_owned()),
        ("hudson.freeze".to_owned(), format!("{container} 17")),
        ("hudson.frozen-at".to_owned(), "2026-11-29T01:02:03Z".to_owned()),
    ])
}

#[test]
fn a_bottle_is_frozen_and_resumed_and_its_run_goes_on() {
    let mut run = Run::start();
    run.says("stdout", "first");
    assert_eq!(run.state(), State::Running);
    let image = run.freeze();
    assert_eq!(run.state(), State::Stopped);
    run.says("stderr", &format!("frozen, and saved as the image {image}"));
    assert!(!run.running.ended());
    assert_eq!(run.freeze(), image);
    assert_eq!(run.scene.images().len(), 1, "{:?}", run.scene.images());

    let before = run.scene.containers()[0].id.clone().expect("an id");
    let after = run.resume("http://new@10.0.0.1:1");
    assert_ne!(before, after);
    run.says("stdout", "again with state by http://new@10.0.0.1:1");
    run.says("stderr", "resumed");
    assert_eq!(run.state(), State::Running);
    assert_eq!(run.resume("http://new@10.0.0.1:1"), after);
    assert_eq!(run.scene.containers().len(), 1);
    // The same network, closed as before, and the same name.
    let listed = run.scene.containers();
    assert_eq!(listed[0].names, Some(vec![format!("/{}", run.container)]));
    let networks = listed[0].network_settings.clone().and_then(|of| of.networks).expect("it is in one");
    assert_eq!(networks.keys().collect::<Vec<_>>(), [&run.container]);
    let scene = run.end();
    assert_eq!(scene.images().len(), 1, "the saved image is gone");
}

#[test]
fn an_operator_leaves_a_frozen_bottle_and_its_image_stays() {
    let mut run = Run::start();
    let image = run.freeze();
    run.says("stderr", "frozen");
    run.running.signal(Signal::TERM);
    assert!(run.running.wait(SOON));
    assert_eq!(run.running.code(), Some(143));
    let scene = run.end();
    assert_eq!(scene.images(), [image]);
}

#[test]
fn a_kill_leaves_nothing_however_often_and_in_whatever_state() {
    for frozen in [false, true] {
        let mut run = Run::start();
        if frozen {
            run.freeze();
            run.says("stderr", "frozen");
        }
        for _ in 0..2 {
            run.act(async |bottle| bottle.kill().await);
            assert_eq!(run.state(), State::Gone);
        }
        assert!(run.running.wait(SOON));
        assert_eq!(run.running.code(), Some(137), "{}", run.said("stderr"));
        let table = run.container["hudson-".len()..].replace('-', "");
        assert!(!run.scene.tables().contains(&table));
        run.end();
    }
}

#[test]
fn a_freeze_that_was_interrupted_is_ended_without_a_second_image() {
    for died_after in ["pause", "commit", "commit without a name", "kill"] {
        let run = Run::start();
        let id = run.scene.containers()[0].id.clone().expect("an id");
        let mut labels = labels(&run.container);
        labels.insert("hudson.frozen-from".to_owned(), id.clone());
        let container = run.container.clone();
        run.scene.engine.ask(|docker| async move {
            docker.pause_container(&id).await.expect("it is paused");
            if died_after == "pause" {
                return;
            }
            let changes: Vec<String> =
                labels.iter().map(|(name, value)| format!("LABEL {name}=\"{value}\"")).collect();
            let options = CommitContainerOptionsBuilder::default()
                .container(&id)
                .changes(&changes.join("\n"))
                .pause(false);
            let saved = saved(&container);
            let (_, tag) = saved.split_once(':').expect("a tag");
            let options = match died_after {
                "commit without a name" => options,
                _ => options.repo("hudson/ci").tag(tag),
            };
            docker.commit_container(options.build(), ContainerConfig::default()).await.expect("it is saved");
            if died_after == "kill" {
                docker.kill_container(&id, None).await.expect("it is killed");
            }
        });
        let image = run.freeze();
        assert_eq!(run.state(), State::Stopped, "{died_after}");
        assert_eq!(run.scene.images(), [image], "{died_after}");
        run.says("stderr", "frozen");
        run.end();
    }
}

#[test]
fn a_resume_that_was_interrupted_is_ended_with_one_container() {
    let proxy = "http://third@10.0.0.1:1";
    for died_after in ["create", "first rename", "second rename", "start"] {
        let run = Run::start();
        run.freeze();
        run.says("stderr", "frozen");
        let name = run.container.clone();
        let (next, last) = (format!("{name}.resumed"), format!("{name}.frozen"));
        match died_after {
            "start" => drop(run.resume(proxy)),
            _ => run.scene.engine.ask(|docker| async move {
                let created = CreateContainerOptionsBuilder::default().name(&next).build();
                // With credentials that an earlier attempt has made up.
                let proxy = if died_after == "second rename" { proxy } else { "http://second@10.0.0.1:1" };
                let body = ContainerCreateBody {
                    image: Some(saved(&name)),
                    env: Some(vec![format!("HTTPS_PROXY={proxy}")]),
                    host_config: Some(HostConfig {
                        network_mode: Some(name.clone()),
                        ..HostConfig::default()
                    }),
                    ..ContainerCreateBody::default()
                };
                docker.create_container(Some(created), body).await.expect("it is made");
                let renamed = |to: &str| RenameContainerOptionsBuilder::default().name(to).build();
                if died_after != "create" {
                    docker.rename_container(&name, renamed(&last)).await.expect("it is renamed");
                }
                if died_after == "second rename" {
                    docker.rename_container(&next, renamed(&name)).await.expect("it is renamed");
                }
            }),
        }
        let id = run.resume(proxy);
        assert_eq!(run.state(), State::Running, "{died_after}");
        run.says("stdout", &format!("again with state by {proxy}"));
        run.says("stderr", "resumed");
        let listed = run.scene.containers();
        assert_eq!(listed.len(), 1, "{died_after}: {listed:?}");
        assert_eq!(listed[0].id.as_deref(), Some(id.as_str()), "{died_after}");
        run.end();
    }
}

#[test]
fn a_container_started_elsewhere_is_frozen_resumed_and_killed_too() {
    let scene = Scene::new();
    for vanishes in [false, true] {
        let name = format!("tied-{}-{vanishes}", std::process::id());
        scene.engine.ask(|docker| {
            let name = name.clone();
            async move {
                let body = ContainerCreateBody {
                    image: Some(IMAGE.to_owned()),
                    cmd: Some(vec!["sh".to_owned(), "-c".to_owned(), AGENT.to_owned()]),
                    env: Some(vec!["HTTPS_PROXY=old".to_owned()]),
                    host_config: Some(HostConfig { auto_remove: Some(vanishes), ..HostConfig::default() }),
                    ..ContainerCreateBody::default()
                };
                let options = CreateContainerOptionsBuilder::default().name(&name).build();
                docker.create_container(Some(options), body).await.expect("it is made");
                docker.start_container(&name, None).await.expect("it starts");
            }
        });
        wait_until(SOON, || scene.inside(&name, &["test", "-e", "/tmp/up"]).then_some(())).expect("it runs");
        let place =
            Place::Container { socket: scene.engine.socket(), id: name.clone(), network: None, tied: true };
        let image = format!("hudson/tied:{vanishes}");
        let labels = BTreeMap::from([
            ("hudson.freeze".to_owned(), name.clone()),
            ("hudson.home".to_owned(), scene.at("home/.bot-bottle").display().to_string()),
        ]);
        for _ in 0..2 {
            bottle_at(&scene, &place, async |bottle| bottle.freeze(&image, &labels).await);
        }
        // One that its engine would take away stands still; the other is stopped.
        let expected = if vanishes { State::Paused } else { State::Stopped };
        assert_eq!(bottle_at(&scene, &place, async |bottle| bottle.state().await), expected);
        assert_eq!(scene.images().iter().filter(|name| **name == image).count(), 1);
        let variables = BTreeMap::from([("HTTPS_PROXY".to_owned(), "new".to_owned())]);
        for _ in 0..2 {
            bottle_at(&scene, &place, async |bottle| bottle.resume(&image, &variables).await);
        }
        assert_eq!(bottle_at(&scene, &place, async |bottle| bottle.state().await), State::Running);
        assert!(scene.inside(
            &name,
            &[
                "sh",
                "-c",
                "grep -q state /saved && tr '\\0' '\\n' < /proc/1/environ | grep -qx HTTPS_PROXY=new"
            ]
        ));
        for _ in 0..2 {
            bottle_at(&scene, &place, async |bottle| bottle.kill().await);
            assert_eq!(bottle_at(&scene, &place, async |bottle| bottle.state().await), State::Gone);
        }
    }
}
