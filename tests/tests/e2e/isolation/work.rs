//! What an agent is there for works from inside: programs of the system, and the real clients, by the proxy alone.

use std::fs;

use hudson_tests::World;
use hudson_tests::process::{self, Background};

use super::place::{Place, copied, operators};
use crate::{cases, raw::wait_until};
use std::path::Path;

const WORK: &str = "set -e
curl -sS https://files.example.com/hello.txt
git clone -q https://git.example.com/repo.git copy
cat copy/README.md
touch ~/note /tmp/note
curl -sS -o /dev/null -w '%{http_code}\\n' https://other.example.com/
";

fn works(place: &Place, options: &[&str]) {
    let outcome = place.run(options, WORK);
    assert_eq!(
        outcome.exited(0).text(),
        "hello from the simulator\nhello from the simulator\n403\n",
        "{outcome}"
    );
    // The working directory is the operator's own, and what was made there stays.
    fs::remove_dir_all(place.at("home/project/copy")).expect("it is cloned");
    assert!(!place.at("home/note").exists());
}

#[test]
fn curl_and_git_work_by_an_embedded_proxy_and_by_a_running_up() {
    for operator in operators() {
        let place = Place::of(*operator);
        works(&place, &["--isolation", "full"]);
        let ready = place.at("home/ready.json").display().to_string();
        let ca = place.at("upstream.pem").display().to_string();
        let address = place.simulator.address();
        let [files, git] = ["files", "git"].map(|name| format!("{name}.example.com:443:{address}"));
        let mut up = place.hudson(&[
            "up",
            "--listen",
            "127.0.0.1:0",
            "--ready-file",
            &ready,
            "--upstream-ca",
            &ca,
            "--connect-to",
            &files,
            "--connect-to",
            &git,
        ]);
        let _up = Background::start(&mut up);
        wait_until(std::time::Duration::from_secs(20), || fs::exists(&ready).ok()?.then_some(()))
            .expect("it is up");
        works(&place, &["up"]);
    }
}

#[test]
fn credentials_are_asked_for_inside_too() {
    for operator in operators() {
        let place = Place::of(*operator);
        let script = "address=${HTTPS_PROXY##*@}\n\
                      curl -sS -o /dev/null -w '%{http_connect}\\n' -x http://$address https://files.example.com/";
        assert!(place.run(&[], script).text().contains("407"), "{operator:?}");
    }
}

#[test]
fn a_program_of_the_home_is_found_and_the_rest_of_the_home_is_not() {
    for operator in operators() {
        let place = Place::of(*operator);
        let folder = place.at("home/tools/bin");
        fs::create_dir_all(&folder).expect("a folder");
        copied(Path::new("/bin/ls"), &folder.join("list"));
        let mut command = place.bottle(&[], &["list", "-A", &place.at("home").display().to_string()]);
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
        let outcome = process::run(&mut command, std::time::Duration::from_secs(20));
        assert_eq!(outcome.exited(0).text(), ".bot-bottle\nproject\ntools\n");
    }
}

#[test]
fn the_python_sdk_works() {
    cases::python_anthropic("sync", "stream").works_isolated(&World::new());
}

#[test]
fn claude_code_works() {
    cases::claude_code().works_isolated(&World::new());
}

#[test]
fn codex_works() {
    cases::codex().works_isolated(&World::new());
}
