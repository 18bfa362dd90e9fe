//! Ways out. Each is a line for the shell that succeeds where there is one; most are tried without isolation first, so
//! that a line which could never succeed is noticed.

use std::collections::BTreeMap;
use std::fs;

use super::place::{Operator, Place, Services, operators};

struct Try {
    name: &'static str,
    /// Whether it is a way out where nothing isolates; tried there as well, so that it may do no harm to the host.
    open: bool,
    script: String,
}

fn open(name: &'static str, script: impl Into<String>) -> Try {
    Try { name, open: true, script: script.into() }
}

fn never(name: &'static str, script: impl Into<String>) -> Try {
    Try { name, open: false, script: script.into() }
}

/// What came of each, by its name.
fn outcomes(place: &Place, isolation: &str, tries: &[&Try]) -> BTreeMap<String, bool> {
    let lines: Vec<String> = tries
        .iter()
        .map(|one| {
            let Try { name, script, .. } = one;
            format!(
                "if (\n{script}\n) >/dev/null 2>&1; then echo \"{name}: out\"; else echo \"{name}: held\"; fi"
            )
        })
        .collect();
    let outcome = place.run(&["--isolation", isolation], &lines.join("\n"));
    let text = outcome.exited(0).text();
    let told: BTreeMap<String, bool> = text
        .lines()
        .filter_map(|line| line.rsplit_once(": "))
        .map(|(name, how)| (name.to_owned(), how == "out"))
        .collect();
    assert_eq!(told.len(), tries.len(), "not everything was tried: {outcome}");
    told
}

/// None of them is a way out of an isolated bottle; those that are open without are.
fn held(tries: &dyn Fn(&Place) -> Vec<Try>) {
    for operator in operators() {
        let place = Place::of(*operator);
        let tries = tries(&place);
        let inside = outcomes(&place, "full", &tries.iter().collect::<Vec<_>>());
        // The others are never tried out here: root might do to this host what the line says.
        let outside = outcomes(&place, "none", &tries.iter().filter(|one| one.open).collect::<Vec<_>>());
        for one in &tries {
            assert!(!inside[one.name], "as {operator:?}: {} is a way out: {}", one.name, one.script);
            assert!(
                !one.open || outside[one.name],
                "as {operator:?}: {} proves nothing: {}",
                one.name,
                one.script
            );
        }
    }
}

#[test]
fn nothing_but_the_proxy_answers() {
    held(&|place| {
        let Services { tcp, tcp6, path, name } = Services::of(place);
        let get = "curl -sS --max-time 5 --noproxy '*'";
        let simulator = place.simulator.address();
        vec![
            open("a service on loopback", format!("{get} http://{tcp}/ | grep 'the host'")),
            open("the provider itself", format!("{get} -k https://{simulator}/ -o /dev/null")),
            open("a service on IPv6", format!("{get} http://{tcp6}/ | grep 'the host'")),
            open(
                "a socket at a path",
                format!("{get} --unix-socket {} http://x/ | grep 'the host'", path.display()),
            ),
            open(
                "an abstract socket",
                format!("{get} --abstract-unix-socket {name} http://x/ | grep 'the host'"),
            ),
            never("an address elsewhere", format!("{get} http://192.0.2.1/; [ $? != 7 ]")),
            never("an address elsewhere, IPv6", format!("{get} 'http://[2001:db8::1]/'; [ $? != 7 ]")),
            never("a name", "getent ahosts example.com"),
            never("a raw socket", "perl -e 'socket(S, 2, 3, 1) or exit 1'"),
            never("a packet socket", "perl -e 'socket(S, 17, 3, 768) or exit 1'"),
            // To the host of a virtual machine, where this is one: no network namespace parts it.
            never("vsock", "perl -e 'socket(S, 40, 1, 0) or exit 1'"),
            never("a route", "grep -v ^Iface /proc/net/route"),
            never("another interface", "ls /sys/class/net | grep -v '^lo$'"),
        ]
    });
}

#[test]
fn the_operators_files_and_hudsons_are_not_there() {
    held(&|place| {
        let hudson = place.at("home/.bot-bottle");
        let hudson = hudson.display();
        let elsewhere = place.at("elsewhere/file");
        let mut tries = vec![
            open("a file of the home", "grep operator ~/secret"),
            open("a file elsewhere", format!("cat {}", elsewhere.display())),
            open("hudson's settings", format!("cat {hudson}/settings.yml")),
            open("a bottle's routes", format!("cat {hudson}/bottles/ci/routes.yaml")),
            open("the ledger", format!("cat {hudson}/bot-bottle.db")),
            open("the CA's key", format!("cat {hudson}/ca/ca.key")),
            open("hudson's sockets and locks", format!("ls {hudson}/run")),
            open("the home by the root of another process", "ls /proc/*/root/ | grep home"),
            never("a session's sockets", "ls -A /run /var/run/ | grep -v : | grep ."),
            never(
                "an engine's socket",
                "ls /var/run/docker.sock /run/podman /run/containerd /var/lib/docker",
            ),
            never("a disk", "ls /dev/vda /dev/sda /dev/nvme0 /dev/mem /dev/kmsg | grep dev"),
        ];
        tries.retain(|one| one.name != "the home by the root of another process" || is_root_of(place));
        tries
    });
}

/// Whether the operator of a place is root, who sees into every process.
fn is_root_of(place: &Place) -> bool {
    let id = place.run(&["--isolation", "none"], "id -u");
    id.text().trim() == "0"
}

#[test]
fn the_certificates_that_the_environment_names_are_there() {
    for operator in operators() {
        let place = Place::of(*operator);
        let script = "grep -c CERTIFICATE $SSL_CERT_FILE && ! (echo x >> $SSL_CERT_FILE) 2>/dev/null";
        place.run(&["--isolation", "full"], script).exited(0);
    }
}

#[test]
fn other_processes_are_out_of_sight_and_reach() {
    held(&|place| {
        let tester = std::process::id();
        let mut tries = vec![
            open("this process", format!("grep -z . /proc/{tester}/cmdline | grep -a e2e")),
            open("hudson itself", "cat /proc/[0-9]*/comm | grep -x hudson"),
            never("the first process's memory", "cat /proc/1/environ /proc/1/maps"),
            never("the first process's files", "ls /proc/1/fd /proc/1/root/"),
            never("the first process's end", "kill -9 1; sleep 0.2; exit 1"),
        ];
        if is_root_of(place) {
            tries.push(open("a signal to this process", format!("kill -0 {tester}")));
            tries.push(open("this process's environment", format!("cat /proc/{tester}/environ")));
            // Open for root without isolation, which would say nothing of the init inside.
        }
        tries
    });
}

#[test]
fn what_is_mounted_stays() {
    held(&|place| {
        let work = place.at("home/project");
        let root = is_root_of(place);
        let could = |name, script: &str| if root { open(name, script) } else { never(name, script) };
        vec![
            could("a mount", "mkdir -p m && unshare -m mount -t tmpfs none m"),
            could("another root", "chroot / true"),
            could("a namespace of mounts", "unshare -m true"),
            open("a user namespace", "unshare -U true"),
            open("a user namespace with everything", "unshare -Urm true"),
            never("the namespaces of the first process", "nsenter -t 1 -m true || nsenter -t 1 -U true"),
            never("taking off what covers the home", "umount ~ || umount -l ~"),
            never("taking off what covers hudson's home", "umount ~/.bot-bottle || umount -l ~/.bot-bottle"),
            never("taking off /proc, /tmp or /run", "umount -l /proc || umount -l /tmp || umount -l /run"),
            never("making /usr writable", "mount -o remount,rw,bind /usr || mount -o remount,rw /"),
            never("a device", "mknod disk b 254 0"),
            never("capabilities", "grep -E 'Cap(Prm|Eff|Bnd|Amb).*[1-9a-f]' /proc/self/status"),
            never("the working directory from above", format!("ls {}/../../elsewhere", work.display())),
            open("keyrings", "perl -e 'syscall(250, 0, -3, 1) > 0 or exit 1'"),
        ]
    });
}

#[test]
fn nothing_outside_the_working_directory_is_written() {
    for operator in operators() {
        let place = Place::of(*operator);
        let mark = format!("hudson-isolation-{}-{operator:?}", std::process::id());
        let folders = [
            "/",
            "/usr",
            "/etc",
            "/opt",
            "/var",
            "/usr/local/bin",
            "/proc/sys/kernel",
            "/sys",
            "/dev",
            "/tmp",
            "/var/tmp",
            "/run",
        ];
        let mut script: String = folders.iter().map(|folder| format!("touch {folder}/{mark}; ")).collect();
        let elsewhere = place.at("elsewhere").display().to_string();
        script += &format!("touch ~/{mark}; echo changed > {elsewhere}/file; touch {elsewhere}/{mark}; ");
        script += "for file in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches; do \
                   (: >> $file) 2>/dev/null && echo $file; done; ";
        script += "echo mine > here; echo $? > told";
        let outcome = place.run(&["--isolation", "full", "--show", &elsewhere], &script);
        assert_eq!(outcome.exited(0).text(), "", "{outcome}");
        assert_eq!(fs::read_to_string(place.at("home/project/here")).expect("it is written"), "mine\n");
        let own = [place.at("home"), place.at("elsewhere")];
        let mut written: Vec<_> = folders.iter().map(std::path::PathBuf::from).chain(own).collect();
        // Removed where one is there: this is the host's own /etc.
        written.retain(|folder| fs::remove_file(folder.join(&mark)).is_ok());
        assert!(written.is_empty(), "as {operator:?}: {written:?} were written to");
        assert_eq!(fs::read_to_string(place.at("elsewhere/file")).expect("it is there"), "nobody's business");
    }
}

#[test]
fn orders_from_inside_change_nothing_outside() {
    for operator in operators() {
        let place = Place::of(*operator);
        let program = place.at("bin").display().to_string();
        let order = |words: &str| format!("{program}/hudson {words}; ");
        let script = [
            "bottle cutoff ci",
            "bottle resume ci",
            "budget set --bottle ci claude=1G",
            "budget set claude=1G",
            "run --isolation none -- true",
        ]
        .map(order)
        .concat();
        let options = ["--isolation", "full", "--show", &program];
        let before = fs::read(place.at("home/.bot-bottle/settings.yml")).expect("it is there");
        let outcome = place.run(&options, &script);
        // That they could be given at all is shown by the same without isolation.
        assert!(!outcome.everything().contains("hudson: not found"), "{outcome}");
        let status = place.status();
        assert_eq!(status["blocks"], serde_json::json!([]), "{outcome}");
        assert_eq!(budget(&place), 1000, "{outcome}");
        assert_eq!(fs::read(place.at("home/.bot-bottle/settings.yml")).expect("it is there"), before);
        // Where nothing isolates it the order is refused for where it comes from; given outside it is carried out.
        let refused = place.run(&["--isolation", "none"], &order("budget set claude=7k"));
        assert!(refused.exited(1).everything().contains("is in a bottle"), "{refused}");
        assert_eq!(budget(&place), 1000);
        let mut outside = place.hudson(&["budget", "set", "claude=7k"]);
        hudson_tests::process::run(&mut outside, std::time::Duration::from_secs(20)).exited(0);
        assert_eq!(budget(&place), 7000);
    }
}

fn budget(place: &Place) -> u64 {
    let mut command = place.hudson(&["budget", "show", "--json"]);
    let outcome = hudson_tests::process::run(&mut command, std::time::Duration::from_secs(20));
    let told: serde_json::Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
    let rows = told.as_array().cloned().or_else(|| told["budgets"].as_array().cloned()).expect("rows");
    rows.iter().find_map(|row| row["limit"].as_u64()).expect("a limit")
}

#[test]
fn a_folder_that_is_open_is_no_way_out() {
    let place = Place::of(Operator::Tester);
    let elsewhere = place.at("elsewhere");
    for (isolation, number, code) in [("none", 7, 0), ("full", 7, 3), ("none", 0, 0), ("full", 0, 2)] {
        let look = format!("ls /proc/self/fd/{number}/ || exit 3");
        let command = place.bottle(&["--isolation", isolation], &["sh", "-c", &look]);
        let mut shell = hudson_tests::clients::clean("sh");
        let script = format!("exec {number}<'{}'; exec \"$@\"", elsewhere.display());
        shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
        shell.env("HOME", place.at("home")).current_dir(place.at("home/project"));
        hudson_tests::process::run(&mut shell, std::time::Duration::from_secs(20)).exited(code);
    }
}
