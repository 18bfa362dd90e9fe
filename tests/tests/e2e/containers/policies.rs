//! Cutoff, freeze and kill of bottles in containers: by order and by budget, and whoever dies in the middle of it.

use std::fs;
use std::time::{Duration, Instant};

use hudson_tests::process::Background;
use serde_json::Value;

use super::scene::{PROGRAMS, SOON, Scene};
use crate::raw::wait_until;

/// Writes a file the first time; the second time shows it, an environment and its proxy, and ends.
const TWICE: &str = "echo proxy $HTTPS_PROXY
if [ -e /work/file ]; then echo back with $(cat /work/file) and $MARK; exit 6; fi
echo kept > /work/file
echo first
while :; do date >> /share/beat; sleep 0.02; done
";

/// A bottle that runs in the background, with a folder that it shares with its operator.
struct Running<'s> {
    scene: &'s Scene,
    process: Background,
    output: std::path::PathBuf,
}

impl<'s> Running<'s> {
    fn start(scene: &'s Scene, options: &[&str], script: &str) -> Self {
        let (share, output) = (scene.at("home/share"), scene.at("home/output"));
        fs::create_dir_all(&share).expect("a folder");
        let volume = format!("{}:/share", share.display());
        let mut all = vec!["--volume", &volume, "--env", "MARK=environment-kept"];
        all.extend(options);
        let mut command = scene.bottle(&all, &["sh", "-c", script]);
        let file = fs::File::create(&output).expect("it takes files");
        command.stdout(file.try_clone().expect("a file")).stderr(file).stdin(std::process::Stdio::null());
        let process = scene.start(&mut command);
        let running = Self { scene, process, output };
        let started = wait_until(SOON, || running.lives().then_some(()));
        assert!(started.is_some(), "it does not start:\n{}", running.said());
        running
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    fn length(&self) -> u64 {
        fs::metadata(self.scene.at("home/share/beat")).map_or(0, |found| found.len())
    }

    fn lives(&self) -> bool {
        let before = self.length();
        std::thread::sleep(Duration::from_millis(200));
        self.length() != before
    }

    #[track_caller]
    fn ends_with(&mut self, code: i32) {
        assert!(self.process.wait(SOON), "it goes on:\n{}", self.said());
        assert_eq!(self.process.code(), Some(code), "{}", self.said());
    }
}

fn order(scene: &Scene, words: &[&str]) -> hudson_tests::Outcome {
    scene.finish(&mut scene.hudson(words))
}

fn rows(scene: &Scene) -> Vec<Value> {
    scene.status()["enforcements"].as_array().cloned().unwrap_or_default()
}

/// The proxy URLs that a bottle has told, in their order.
fn proxies(said: &str) -> Vec<String> {
    said.lines().filter_map(|line| line.strip_prefix("proxy ")).map(str::to_owned).collect()
}

/// An image that was saved stays until somebody removes it.
fn remove_images(scene: &Scene) {
    for image in scene.images() {
        scene.engine.ask(|docker| async move {
            docker
                .remove_image(&image, None::<bollard::query_parameters::RemoveImageOptions>, None)
                .await
                .expect("the image goes");
        });
    }
}

#[test]
fn a_frozen_container_is_saved_and_comes_back_with_other_credentials() {
    let scene = Scene::new();
    let mut running = Running::start(&scene, &[], TWICE);
    let began = Instant::now();
    let told = order(&scene, &["bottle", "freeze", "ci", "--reason", "a look"]);
    report!("a container is frozen after {:.0?}", began.elapsed());
    assert!(told.exited(0).text().contains("saved as the image hudson/ci:"), "{told}");
    assert!(!running.lives(), "it runs on");
    let saved = scene.images();
    assert!(saved.len() == 1 && saved[0].starts_with("hudson/ci:"), "{saved:?}");
    let began = Instant::now();
    order(&scene, &["bottle", "resume", "ci"]).exited(0);
    report!("a container is brought back after {:.0?}", began.elapsed());
    running.ends_with(6);
    let said = running.said();
    assert!(said.contains("back with kept and environment-kept"), "{said}");
    assert!(said.contains("hudson: frozen") && said.contains("hudson: resumed"), "{said}");
    let proxies = proxies(&said);
    assert_eq!(proxies.len(), 2, "{said}");
    assert_ne!(proxies[0], proxies[1], "the credentials are the same");
    remove_images(&scene);
    scene.nothing_is_left();
}

#[test]
fn credentials_of_before_a_freeze_are_worth_nothing_after_it() {
    let scene = Scene::new();
    let script = "echo proxy $HTTPS_PROXY; while :; do date >> /share/beat; sleep 0.02; done";
    let mut running = Running::start(&scene, &[], script);
    order(&scene, &["bottle", "freeze", "ci"]).exited(0);
    order(&scene, &["bottle", "resume", "ci"]).exited(0);
    wait_until(SOON, || (proxies(&running.said()).len() == 2).then_some(())).expect("it comes back");
    let proxies = proxies(&running.said());
    let network = scene.networks()[0].name.clone().expect("it has a name");
    for (proxy, expected) in proxies.iter().zip(["407", "200"]) {
        let curl = "curl -sk -o /dev/null -w %{http_connect} --proxy";
        let script = format!("[ \"$({curl} {proxy} https://files.example.com/hello.txt)\" = {expected} ]");
        assert_eq!(scene.plain(&network, &script), 0, "{expected} was expected");
    }
    order(&scene, &["bottle", "kill", "ci"]).exited(0);
    running.ends_with(137);
    remove_images(&scene);
}

#[test]
fn a_spent_budget_freezes_a_container_until_it_is_raised_and_resumed() {
    let scene = Scene::new();
    let spend = crate::cases::python_anthropic("sync", "whole").spend;
    let script = format!("cd /work; [ -e file ] || {{ {spend}\n}}\n{TWICE}");
    let mut options = PROGRAMS.to_vec();
    options.extend(["--provider", "claude", "--budget", "claude=1000", "--on-exhausted", "freeze"]);
    let (share, output) = (scene.at("home/share"), scene.at("home/output"));
    fs::create_dir_all(&share).expect("a folder");
    let volume = format!("{}:/share", share.display());
    options.extend(["--volume", &volume, "--env", "MARK=m"]);
    let mut command = scene.bottle(&options, &["sh", "-c", &script]);
    command.env("ANTHROPIC_API_KEY", crate::cases::ANTHROPIC.value);
    let file = fs::File::create(&output).expect("it takes files");
    command.stdout(file.try_clone().expect("a file")).stderr(file).stdin(std::process::Stdio::null());
    let mut running = Running { scene: &scene, process: scene.start(&mut command), output };
    let row = wait_until(SOON, || {
        rows(&scene).into_iter().find(|row| row["policy"] == "freeze" && row["state"] == "done")
    });
    let row = row.unwrap_or_else(|| panic!("it is not frozen:\n{}", running.said()));
    assert!(!running.lives());
    let refused = order(&scene, &["bottle", "resume", "ci"]);
    assert!(refused.exited(4).everything().contains("hudson budget set"), "{refused}");
    let run = row["run_id"].as_str().expect("a run").to_owned();
    order(&scene, &["budget", "set", "--run", &run, "claude=1M"]).exited(0);
    wait_until(SOON, || scene.status()["blocks"].as_array().is_some_and(Vec::is_empty).then_some(()))
        .expect("the block is lifted");
    order(&scene, &["bottle", "resume", "ci"]).exited(0);
    // What froze it may have come before the file was written: then it is written now, and the work goes on.
    let back =
        wait_until(SOON, || (running.said().contains("back with kept") || running.lives()).then_some(()));
    assert!(back.is_some(), "it does not come back:\n{}", running.said());
    if !running.said().contains("back with kept") {
        order(&scene, &["bottle", "kill", "ci"]).exited(0);
    }
    assert!(running.process.wait(SOON), "it goes on:\n{}", running.said());
    remove_images(&scene);
    scene.nothing_is_left();
}

#[test]
fn a_kill_removes_the_container_its_network_and_its_filter() {
    let scene = Scene::new();
    for frozen in [false, true] {
        let mut running = Running::start(&scene, &[], TWICE);
        if frozen {
            order(&scene, &["bottle", "freeze", "ci"]).exited(0);
        }
        let began = Instant::now();
        order(&scene, &["bottle", "kill", "ci"]).exited(0);
        report!("a container (frozen: {frozen}) is killed after {:.0?}", began.elapsed());
        running.ends_with(137);
        assert!(!running.lives());
        scene.nothing_is_left();
        order(&scene, &["bottle", "resume", "ci"]);
    }
}

#[test]
fn a_spent_budget_kills_a_container_and_the_exit_code_says_so() {
    let scene = Scene::new();
    let spend = crate::cases::python_anthropic("sync", "whole").spend;
    let mut options = PROGRAMS.to_vec();
    options.extend(["--provider", "claude", "--budget", "claude=1000", "--on-exhausted", "kill"]);
    let mut command = scene.bottle(&options, &["sh", "-c", &format!("cd /work; {spend}\nsleep 60; echo on")]);
    command.env("ANTHROPIC_API_KEY", crate::cases::ANTHROPIC.value);
    let outcome = scene.finish(&mut command);
    assert!(!outcome.exited(77).text().contains("on"), "{outcome}");
    scene.nothing_is_left();
}

#[test]
fn what_a_killed_hudson_run_leaves_is_removed_by_the_controller() {
    let scene = Scene::new();
    let ready = scene.at("home/ready.json").display().to_string();
    let mut up = scene.hudson(&["up", "--listen", "127.0.0.1:0", "--ready-file", &ready]);
    let _up = scene.start(up.args(hudson_tests::hudson::redirection(&scene.simulator)));
    wait_until(SOON, || std::path::Path::new(&ready).exists().then_some(())).expect("it is up");
    for frozen in [false, true] {
        let mut running = Running::start(&scene, &["up"], TWICE);
        if frozen {
            order(&scene, &["bottle", "freeze", "ci"]).exited(0);
        }
        running.process.kill_now();
        wait_until(SOON, || {
            (scene.containers().is_empty()
                && scene.networks().is_empty()
                && scene.status()["runs"] == serde_json::json!([]))
            .then_some(())
        })
        .expect("it is removed");
        order(&scene, &["bottle", "resume", "ci"]);
        if frozen {
            remove_images(&scene);
        }
    }
}
