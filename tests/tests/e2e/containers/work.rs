//! What an agent is there for works in a container, by the proxy alone.

use std::time::Instant;

use hudson_tests::World;
use hudson_tests::engine::Engine;

use super::scene::{PROGRAMS, SOON, Scene, contained};

#[test]
fn the_exit_code_and_both_streams_come_back() {
    let scene = Scene::new();
    let outcome =
        scene.run(&[], "echo out; echo err >&2; cat /etc/hudson/bundle.pem | grep -c BEGIN >&2; exit 5");
    assert_eq!(outcome.exited(5).text(), "out\n", "{outcome}");
    assert!(outcome.stderr.contains("err\n"), "{outcome}");
    scene.nothing_is_left();
}

#[test]
fn curl_and_git_work() {
    let scene = Scene::new();
    let script = "set -e
cd /tmp
curl -sS https://files.example.com/hello.txt
git clone -q https://git.example.com/repo.git copy
cat copy/README.md
curl -sS -o /dev/null -w '%{http_code}\\n' https://other.example.com/
";
    let outcome = scene.run(&[&PROGRAMS[..], &["--env", "HOME=/tmp"]].concat(), script);
    assert_eq!(
        outcome.exited(0).text(),
        "hello from the simulator\nhello from the simulator\n403\n",
        "{outcome}"
    );
}

#[test]
fn a_running_up_serves_a_container_too() {
    let scene = Scene::new();
    let ready = scene.at("home/ready.json").display().to_string();
    let mut up = scene.hudson(&["up", "--listen", "127.0.0.1:0", "--ready-file", &ready]);
    let _up = scene.start(up.args(hudson_tests::hudson::redirection(&scene.simulator)));
    crate::raw::wait_until(SOON, || std::path::Path::new(&ready).exists().then_some(())).expect("it is up");
    let script = "curl -sS https://files.example.com/hello.txt";
    let outcome = scene.run(&[&PROGRAMS[..], &["up"]].concat(), script);
    assert_eq!(outcome.exited(0).text(), "hello from the simulator\n", "{outcome}");
}

#[test]
fn its_environment_is_what_was_named_and_what_leads_to_the_proxy() {
    let scene = Scene::new();
    let mut command = scene.bottle(
        &["--env", "NAMED", "--env", "SET=to=this", "--user", "65534", "--workdir", "/work"],
        &["sh", "-c", "env; id -u; pwd; grep -c CERTIFICATE /etc/hudson/bundle.pem /etc/hudson/ca.pem"],
    );
    command.env("NAMED", "by name").env("ELSE", "nothing of the container's");
    let outcome = scene.finish(&mut command);
    let text = outcome.exited(0).text();
    for line in [
        "NAMED=by name",
        "SET=to=this",
        "SSL_CERT_FILE=/etc/hudson/bundle.pem",
        "NO_PROXY=",
        "65534",
        "/work",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}: {outcome}");
    }
    assert!(
        text.lines().any(|line| line.starts_with("HTTPS_PROXY=http://") && line.contains("@10.213.")),
        "{outcome}"
    );
    assert!(!text.contains("ELSE"), "{outcome}");
    let mut command = scene.bottle(&["--provider", "claude", "--env", "ANTHROPIC_API_KEY"], &["env"]);
    let outcome = scene.finish(command.env("ANTHROPIC_API_KEY", crate::cases::ANTHROPIC.value));
    assert!(outcome.exited(2).stderr.contains("holds a credential"), "{outcome}");
    let outcome = scene.finish(&mut scene.bottle(&["--env", "NOT_SET"], &["env"]));
    assert!(outcome.exited(2).stderr.contains("NOT_SET"), "{outcome}");
    scene.nothing_is_left();
}

#[test]
fn standard_input_is_passed_to_its_end() {
    let scene = Scene::new();
    let command = scene.bottle(&[], &["cat"]);
    let mut shell = hudson_tests::clients::clean("sh");
    shell.args(["-c", "seq 1 20000 | \"$@\" | md5sum; seq 1 20000 | md5sum", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).current_dir(scene.at("home/project"));
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let outcome = scene.finish(&mut shell);
    let text = outcome.exited(0).text();
    let sums: Vec<_> = text.lines().collect();
    assert_eq!(sums.len(), 2, "{outcome}");
    assert_eq!(sums[0], sums[1], "{outcome}");
}

#[test]
fn the_python_sdk_works_and_stops_when_the_budget_is_spent() {
    let case = crate::cases::python_anthropic("sync", "stream");
    Engine::docker().inside(|| {
        case.works(&World::new(), &|launch| contained(Engine::docker(), launch));
        case.stops(&World::new(), &|launch| contained(Engine::docker(), launch));
    });
}

#[test]
fn claude_code_works() {
    Engine::docker().inside(|| {
        crate::cases::claude_code().works(&World::new(), &|launch| contained(Engine::docker(), launch))
    });
}

#[test]
fn codex_works() {
    Engine::docker()
        .inside(|| crate::cases::codex().works(&World::new(), &|launch| contained(Engine::docker(), launch)));
}

#[test]
fn what_it_costs_to_start() {
    let scene = Scene::new();
    let mut took: Vec<_> = (0..5)
        .map(|_| {
            let started = Instant::now();
            scene.run(&[], "true").exited(0);
            started.elapsed()
        })
        .collect();
    took.sort_unstable();
    report!("`hudson run --container … -- true`, median of 5: {:.0?}", took[2]);
}
