//! Guarantee 7: a process in a bottle decides nothing, whatever it does to look like the operator's own.

use super::*;
use hudson_tests::Invocation;

/// Runs a script in a bottle with the operator's files at hand. `HUDSON` is the command with its home, `ID` the approval.
fn inside(desk: &Desk, approval: &Approval, script: &str) -> Outcome {
    let hudson =
        format!("{} --home {}", hudson_tests::hudson::binary().display(), desk.world.home().display());
    let script = format!("HUDSON='{hudson}'\nID={}\n{script}", approval.id);
    // Another bottle than the one that asked: what that asked ends with its run.
    desk.world.launch().provider("none").option("--bottle", "dev").run(&Invocation::shell(script))
}

#[test]
fn from_inside_of_a_bottle_nothing_is_decided() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    let script = "
        for what in approve deny revoke expire; do $HUDSON approvals $what $ID; echo $what $?; done
        $HUDSON approvals grant send_email --any-target --bottle ci --for 1h; echo grant $?
        $HUDSON approvals expire --all-stale; echo stale $?
        $HUDSON approvals list; echo list $?";
    let told = inside(&desk, &approval, script);
    for what in ["approve 1", "deny 1", "revoke 1", "expire 1", "grant 1", "stale 1", "list 0"] {
        assert!(told.exited(0).text().lines().any(|line| line == what), "{what}: {told}");
    }
    assert!(told.stderr.contains("is in a bottle"), "{told}");
    assert_eq!(desk.fetch(&approval), approval);
    assert_eq!(desk.json(&["grants", "--all"]), json!([]));
}

#[test]
fn a_process_that_hides_its_marks_is_still_found() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    // Without its variables, in another session, orphaned, under another name; the last in the cgroup above where it may.
    let script = "
        env -i $HUDSON approvals approve $ID >a 2>&1; echo plain $?
        ln -s \"${HUDSON%% *}\" other-name
        env -i ./other-name ${HUDSON#* } approvals approve $ID >b 2>&1; echo named $?
        (env -i setsid sh -c \"sleep 0.3; $HUDSON approvals approve $ID >c 2>&1; echo \\$? >code\" &)
        sleep 3; echo orphan $(cat code)
        for up in $(sed -n 's/.*:\\(.*\\)\\/hudson-[^/]*$/\\1/p' /proc/self/cgroup); do
            for root in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/freezer; do
                echo $$ >$root$up/cgroup.procs; done; done 2>/dev/null
        env -i $HUDSON approvals approve $ID >d 2>&1; echo moved $?
        cat a b c d";
    let told = inside(&desk, &approval, script);
    for what in ["plain 1", "named 1", "orphan 1", "moved 1"] {
        assert!(told.exited(0).text().lines().any(|line| line == what), "{what}: {told}");
    }
    assert_eq!(told.text().matches("is in a bottle").count(), 4, "{told}");
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Pending);
}

#[test]
fn the_control_socket_answers_no_process_of_a_bottle_that_nothing_isolates() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    let _up = desk.world.up();
    let socket = desk.world.home().join("run/hudson.sock");
    let script = format!(
        "for what in approve deny; do curl -s -o answer -w '%{{http_code}}\\n' --unix-socket {0} -X POST \
         http://h/v1/approvals/$ID/$what -d '{{}}'; cat answer; echo; done
         curl -s -o answer -w '%{{http_code}}\\n' --unix-socket {0} http://h/v1/approvals",
        socket.display()
    );
    let told = inside(&desk, &approval, &script);
    assert_eq!(told.exited(0).text().lines().filter(|line| *line == "403").count(), 3, "{told}");
    assert!(told.text().contains("is in a bottle"), "{told}");
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Pending);
    // The operator is answered.
    let decide = |what: &str, body: &str| {
        let mut command = Command::new("curl");
        command.args(["-s", "-w", "\n%{http_code}", "--unix-socket"]).arg(&socket);
        let url = format!("http://h/v1/approvals/{}/{what}", approval.id);
        process::run(command.args(["-X", "POST", "-d", body]).arg(url), SOON).text()
    };
    let other = decide("approve", r#"{"fingerprint": "00"}"#);
    assert!(other.ends_with("409") && other.contains("not what was shown"), "{other}");
    let unknown = decide("approve", r#"{"approver": "me"}"#);
    assert!(unknown.ends_with("400"), "{unknown}");
    let body = json!({"fingerprint": approval.fingerprint, "reason": "ok"}).to_string();
    let approved = decide("approve", &body);
    assert!(approved.ends_with("200") && approved.contains("\"status\":\"approved\""), "{approved}");
    let found = desk.fetch(&approval);
    assert_eq!((found.decided_by, found.decided_via), (Some(own()), Some(DecidedVia::Api)));
    assert!(decide("deny", "{}").ends_with("409"));
}
