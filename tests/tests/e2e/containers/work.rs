//! What an agent is there for works in a container, by the proxy alone.

use std::time::Instant;

use super::scene::{PROGRAMS, Scene};

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
