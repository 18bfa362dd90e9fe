//! Who may reach the control socket: nobody in another namespace or with another root, also when the socket was mounted
//! there.

use hudson_tests::{clients, process};
use serde_json::Value;

use super::{KEY, ROUTES, SOON};
use crate::raw;

#[test]
fn a_process_in_a_container_is_refused_with_the_socket_in_its_hands() {
    if !rustix::process::geteuid().is_root() {
        report!("skipped: only root can make a container out of nothing");
        return;
    }
    let stage = raw::routes(ROUTES).env("THE_KEY", KEY).start();
    let socket = stage.world.home().join("run/hudson.sock");
    let root = stage.world.scratch().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let ask = |socket: &str| format!("curl -sS --max-time 5 --unix-socket {socket} http://hudson/v1/version");
    let here = ask(&socket.display().to_string());
    // The host's processes, users and network, and files of its own, as a container that is given all of those has them.
    let chroot = format!(
        "mount -t tmpfs none {root}; cd {root}; mkdir usr etc run proc; mount --rbind /usr usr; mount --bind {run} run; \
         for link in bin lib lib64; do [ -e /$link ] && ln -s usr/$link $link; done; exec chroot . {ask}",
        root = root.display(),
        run = stage.world.home().join("run").display(),
        ask = ask("/run/hudson.sock"),
    );
    for (namespaces, script, why) in [
        ("-n", here.as_str(), "net namespace"),
        ("-Ur", &here, "user namespace"),
        ("-m", &chroot, "another root"),
    ] {
        let mut command = clients::clean("unshare");
        command.args([namespaces, "sh", "-c", script]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let outcome = process::run(&mut command, SOON);
        let told: Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
        assert_eq!(told["error"]["code"], "forbidden", "{outcome}");
        let message = told["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(why), "{message}");
    }
    stage.event("control_refused");
    // A mount namespace alone is what a service manager gives a hardened controller.
    let mut command = clients::clean("unshare");
    command.args(["--mount", "sh", "-c", &here]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let outcome = process::run(&mut command, SOON);
    let told: Value = serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON");
    assert_eq!(told["pid"], stage.process(), "{outcome}");
}
