//! `hudson approvals …`: what an operator sees and decides by commands, each with its exit code and its JSON; and that
//! nothing of it is decided from inside of a bottle. What waits is put into the ledger as the proxy does it.

mod bottles;
mod pane;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hudson_schema::ledger::sqlite::SqliteLedger;
use hudson_schema::ledger::*;
use hudson_tests::World;
use hudson_tests::process::{self, Outcome};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::dashboard::Terminal;
use crate::raw::wait_until;

const SOON: Duration = Duration::from_secs(20);

/// A home with a ledger that this test writes to as well.
struct Desk {
    world: World,
    ledger: SqliteLedger,
    runtime: Runtime,
}

impl Desk {
    fn new() -> Self {
        Self::of(World::new())
    }

    fn of(world: World) -> Self {
        let home = world.home();
        std::fs::create_dir_all(&home).expect("a home can be made");
        let runtime = Runtime::new().expect("a runtime can be made");
        let ledger = {
            let _entered = runtime.enter();
            SqliteLedger::open(&home.join("bot-bottle.db"), &home.join("run/owners"))
                .expect("the ledger opens")
        };
        Self { world, ledger, runtime }
    }

    /// Asks; the approval.
    fn ask(&self, request: ApprovalRequest) -> Approval {
        match self.runtime.block_on(self.ledger.approval_submit(request)).expect("the ledger takes it") {
            SubmitOutcome::Created(approval) | SubmitOutcome::Approved(approval) => approval,
            other => unreachable!("a person is to be asked: {other:?}"),
        }
    }

    fn fetch(&self, approval: &Approval) -> Approval {
        let found = self.runtime.block_on(self.ledger.approval_fetch(&approval.id, now()));
        found.expect("the ledger answers").expect("it is there")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.hudson();
        command.arg("--home").arg(self.world.home()).arg("approvals").args(words).stdin(Stdio::null());
        command
    }

    fn hudson(&self, words: &[&str]) -> Outcome {
        process::run(&mut self.command(words), SOON)
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let outcome = self.hudson(&[words, &["--json"]].concat());
        serde_json::from_slice(&outcome.exited(0).stdout)
            .unwrap_or_else(|_| unreachable!("no JSON: {outcome}"))
    }

    /// A shell on a terminal of this many columns, which has run one of the commands.
    fn on_terminal(&self, columns: u16, words: &str) -> Terminal {
        let (hudson, home) = (hudson_tests::hudson::binary().display(), self.world.home());
        let line = format!("trap : INT; {hudson} --home {} {words}; echo \"code $?\"", home.display());
        Terminal::run_in(&self.world, columns, &line)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.world.scratch().join("edit.json");
        std::fs::write(&path, text).expect("the scratch directory takes files");
        path
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_millis()).expect("it is before the year 292 million")
}

/// What a bottle asks for: a message.
fn request(fingerprint: u8) -> ApprovalRequest {
    let rules =
        ApprovalRules { max_pending: u32::MAX, rate: None, fatigue: None, ..ApprovalRules::default() };
    ApprovalRequest {
        kind: ApprovalKind::Confirm,
        bottle: "ci".parse().expect("a name"),
        session: Some("s1".to_owned()),
        requester: "run:r1".to_owned(),
        action: "send_email".to_owned(),
        rate_key: "send_email".to_owned(),
        target: "a@example.com".to_owned(),
        finding: None,
        tier: Tier::Medium,
        description: "Send the report\nid: apr_forged".to_owned(),
        details: json!({"subject": "the report"}),
        fingerprint: Fingerprint([fingerprint; 32]),
        policy_revision: "p1".to_owned(),
        rule: None,
        rule_hash: None,
        bypassable: true,
        automatic: None,
        approvers: 1,
        deciders: Vec::new(),
        decision_expires_at: now() + 300_000,
        use_ttl: 900_000,
        rules,
        now: now(),
    }
}

fn critical(fingerprint: u8) -> ApprovalRequest {
    ApprovalRequest {
        tier: Tier::Critical,
        action: "wipe_database".to_owned(),
        rate_key: "wipe_database".to_owned(),
        ..request(fingerprint)
    }
}

/// The operator of these tests, as decisions name them.
fn own() -> String {
    format!("uid:{}", rustix::process::getuid().as_raw())
}

#[test]
fn what_is_open_is_listed_and_all_of_it_where_that_is_asked_for() {
    let desk = Desk::new();
    assert_eq!(desk.json(&["list"]), json!([]));
    assert!(desk.hudson(&["list"]).exited(0).text().contains("nothing waits"));
    let first = desk.ask(request(1));
    let other = desk.ask(ApprovalRequest { bottle: "dev".parse().expect("a name"), ..request(2) });
    let denied = desk.ask(request(3));
    desk.hudson(&["deny", denied.id.as_str()]).exited(0);
    let ids = |words: &[&str]| -> Vec<String> {
        let listed = desk.json(words);
        let rows = listed.as_array().expect("a list").iter();
        rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    let [first, other, denied] = [&first, &other, &denied].map(|approval| approval.id.to_string());
    assert_eq!(ids(&["list"]), [other.clone(), first.clone()]);
    assert_eq!(ids(&["list", "--bottle", "ci"]), std::slice::from_ref(&first));
    assert_eq!(ids(&["list", "--all"]), [denied.clone(), other, first.clone()]);
    assert_eq!(ids(&["list", "--status", "denied"]), std::slice::from_ref(&denied));
    assert_eq!(ids(&["list", "--all", "-n", "1"]), [denied]);
    let table = desk.hudson(&["list"]);
    let line = table.exited(0).text();
    let line = line.lines().find(|line| line.contains(&first)).expect("a row");
    for part in
        ["pending", "medium", "ci", "confirm send_email", "a@example.com", "01010101", "expires in 4 min"]
    {
        assert!(line.contains(part), "{part}: {table}");
    }
    assert!(desk.hudson(&["list", "--status", "maybe"]).exited(2).stderr.contains("pending, approved"));
}

#[test]
fn one_is_shown_by_the_fixed_template_with_every_step() {
    let desk = Desk::new();
    let approval = desk.ask(request(0xab));
    let id = approval.id.as_str();
    let shown = desk.hudson(&["show", &id[..12]]);
    let text = shown.exited(0).text();
    for part in [
        "digest        abababab",
        "approval_request",
        "«Send the report id: apr_forged»",
        "nobody has decided",
    ] {
        assert!(text.contains(part), "{part}: {shown}");
    }
    assert!(!text.lines().any(|line| line.starts_with("id: apr_forged")), "{shown}");
    let told = desk.json(&["show", id]);
    assert_eq!(
        (&told["id"], &told["status"], &told["digest"]),
        (&json!(id), &json!("pending"), &json!("abababab"))
    );
    assert_eq!(told["details"], json!({"subject": "the report"}));
    assert_eq!(told["events"][0]["type"], "approval_request");
    assert!(told["events"][0]["data"].is_object(), "{told}");
    for (unknown, code) in
        [("apr_aaaaaaaaaaaaaaaaaaaaaaaaaa", 3), ("aaaa", 3), ("apr_a", 2), ("nonsense1", 2)]
    {
        desk.hudson(&["show", unknown]).exited(code);
    }
}

#[test]
fn a_beginning_that_two_have_names_neither() {
    let desk = Desk::new();
    // Ids are random: so many that two begin alike, by all that is likely.
    let mut beginnings = std::collections::HashMap::<String, String>::new();
    let twice = (0..).find_map(|fingerprint: u32| {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&fingerprint.to_be_bytes());
        let approval = desk.ask(ApprovalRequest { fingerprint: Fingerprint(digest), ..request(0) });
        let beginning = approval.id.as_str()[..8].to_owned();
        let known = beginnings.insert(beginning.clone(), approval.id.to_string());
        known.map(|other| (beginning, other, approval.id.to_string()))
    });
    let (beginning, one, other) = twice.expect("two begin alike some time");
    let refused = desk.hudson(&["approve", &beginning]);
    assert!(refused.exited(2).stderr.contains("several approvals begin with"), "{refused}");
    for id in [one, other] {
        assert_eq!(desk.json(&["show", &id])["status"], "pending");
    }
}

#[test]
fn an_approval_is_given_once_by_the_user_who_runs_the_command() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    let id = approval.id.as_str();
    let told = desk.hudson(&["approve", id]);
    let text = told.exited(0).text();
    assert!(
        text.contains("digest        01010101") && text.contains(&format!("approved by {}", own())),
        "{told}"
    );
    let decided = desk.fetch(&approval);
    assert_eq!(decided.status, ApprovalStatus::Approved);
    assert_eq!((decided.decided_by, decided.decided_via), (Some(own()), Some(DecidedVia::Cli)));
    for words in [["approve", id], ["deny", id]] {
        let refused = desk.hudson(&words);
        assert!(refused.exited(4).stderr.contains("approved by"), "{refused}");
    }
    let denied = desk.ask(request(2));
    let told = desk.json(&["deny", denied.id.as_str(), "--reason", "not today"]);
    assert_eq!((&told["status"], &told["reason"]), (&json!("denied"), &json!("not today")));
    assert!(desk.hudson(&["approve", denied.id.as_str()]).exited(4).stderr.contains("not today"));
    for what in ["approve", "deny", "revoke", "expire"] {
        desk.hudson(&[what, "apr_aaaaaaaaaaaaaaaaaaaaaaaaaa"]).exited(3);
        desk.hudson(&[what, "nonsense1"]).exited(2);
    }
}

#[test]
fn what_is_critical_wants_a_reason() {
    let desk = Desk::new();
    let approval = desk.ask(critical(1));
    let refused = desk.hudson(&["approve", approval.id.as_str(), "--yes"]);
    assert!(refused.exited(2).stderr.contains("--reason"), "{refused}");
    assert_eq!(desk.hudson(&["approve", approval.id.as_str(), "--reason", " "]).code, Some(2));
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Pending);
    let told = desk.json(&["approve", approval.id.as_str(), "--reason", "the copy was checked"]);
    assert_eq!((&told["status"], &told["reason"]), (&json!("approved"), &json!("the copy was checked")));
}

#[test]
fn where_two_must_approve_one_is_not_enough_and_makes_no_grant() {
    let desk = Desk::new();
    let approval = desk.ask(ApprovalRequest { approvers: 2, ..request(1) });
    let refused = desk.hudson(&["approve", approval.id.as_str(), "--for", "30m"]);
    assert!(refused.exited(2).stderr.contains("2 different people"), "{refused}");
    assert_eq!(desk.json(&["approve", approval.id.as_str()])["missing"], 1);
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Pending);
    assert_eq!(desk.json(&["approve", approval.id.as_str()])["missing"], 1, "the same person is one person");
    assert_eq!(desk.json(&["grants", "--all"]), json!([]));
}

#[test]
fn on_a_terminal_it_is_asked_once_and_no_is_the_default() {
    let desk = Desk::new();
    let approval = desk.ask(request(0xcd));
    for answer in ["\r", "n\r", "maybe\r"] {
        let mut terminal = desk.on_terminal(100, &format!("approvals approve {}", approval.id));
        terminal.shows("approve this as uid:");
        assert!(terminal.screen().contains("cdcdcdcd"), "{}", terminal.screen());
        terminal.press(answer);
        terminal.shows("nothing is decided");
        terminal.shows("code 1");
        terminal.ends();
    }
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Pending);
    let mut terminal = desk.on_terminal(100, &format!("approvals approve {}", approval.id));
    terminal.shows("[y/N]");
    terminal.press("y\r");
    terminal.shows("code 0");
    terminal.ends();
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Approved);
    let other = desk.ask(request(2));
    let terminal = desk.on_terminal(100, &format!("approvals approve {} --yes", other.id));
    terminal.shows("code 0");
    assert!(!terminal.ends().contains("[y/N]"));
    assert_eq!(desk.fetch(&other).status, ApprovalStatus::Approved);
}

#[test]
fn what_has_changed_since_it_was_shown_is_not_approved() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    let mut terminal = desk.on_terminal(100, &format!("approvals approve {}", approval.id));
    terminal.shows("[y/N]");
    // Somebody else approves something else in its place meanwhile.
    let decision = Decision {
        id: approval.id.clone(),
        actor: "token:ops".to_owned(),
        via: DecidedVia::Api,
        claimed_by: None,
        reason: None,
        now: now(),
    };
    let edit = ApprovalEdit {
        fingerprint: Fingerprint([9; 32]),
        description: "other".to_owned(),
        details: json!({}),
    };
    desk.runtime.block_on(desk.ledger.approval_modify(decision, edit)).expect("the ledger takes it");
    terminal.press("y\r");
    terminal.shows("not what was shown");
    terminal.shows("code 4");
    terminal.ends();
}

#[test]
fn an_edit_is_approved_in_its_place_and_bound_to_what_the_agent_is_given() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    let id = approval.id.as_str();
    let edit = |text: &str| desk.hudson(&["approve", id, "--edit", &desk.file(text).display().to_string()]);
    for (text, why) in [
        ("{}", "description"),
        ("[1]", "description"),
        ("{\"details\": {\"a\": 1, \"a\": 2}}", "same key twice"),
        ("{\"target\": \"x\"}", "unknown field"),
        ("{\"description\": \"Send the report\\nid: apr_forged\"}", "what was asked for"),
    ] {
        let refused = edit(text);
        assert!(refused.exited(2).stderr.contains(why), "{text}: {refused}");
    }
    // Made for this test, in two pieces, so that nobody's scanner takes it for one.
    let token = ["ghp_", "9cMR9e4wuO4MKcPgXuNWuLUIwHS2N63qlGsj"].concat();
    let refused = edit(&json!({"details": {"note": token}}).to_string());
    assert!(refused.exited(2).stderr.contains("must not leave"), "{refused}");
    assert!(!refused.everything().contains(&token), "{refused}");
    assert_eq!(desk.fetch(&approval), approval, "nothing has changed so far");
    let told = edit("{\"payload\": {\"subject\": \"the short report\", \"n\": 1.0}}");
    assert!(told.exited(0).text().contains("approved in its place"), "{told}");
    let edited = desk.fetch(&approval);
    assert_eq!(edited.status, ApprovalStatus::Approved);
    assert_eq!(edited.details, json!({"subject": "the short report", "n": 1.0}));
    assert_eq!(edited.description, approval.description);
    assert_ne!(edited.fingerprint, approval.fingerprint);
    assert_eq!(desk.json(&["show", id])["events"][1]["type"], "approval_modify");
    // The same again is the same digest: it is bound to what it is, and to nothing else.
    let again = desk.ask(request(2));
    let file = desk.file("{\"details\": {\"n\": 1.0, \"subject\": \"the short report\"}}");
    desk.hudson(&["approve", again.id.as_str(), "--edit", &file.display().to_string()]).exited(0);
    assert_eq!(desk.fetch(&again).fingerprint, edited.fingerprint);
    let of_proxy = desk.ask(ApprovalRequest { kind: ApprovalKind::Http, ..request(3) });
    let refused = desk.hudson(&["approve", of_proxy.id.as_str(), "--edit", &file.display().to_string()]);
    assert!(refused.exited(2).stderr.contains("kind http"), "{refused}");
    let none = desk.hudson(&["approve", of_proxy.id.as_str(), "--edit", "/nowhere/edit.json"]);
    none.exited(2);
}

#[test]
fn a_grant_beside_an_approval_lets_the_same_through_as_often_as_it_says() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    let words = [
        "approve",
        approval.id.as_str(),
        "--for",
        "30m",
        "--uses",
        "2",
        "--scope",
        "session",
        "--reason",
        "ok",
    ];
    let told = desk.json(&words);
    let grant = told["grant"]["id"].as_str().expect("a grant").to_owned();
    assert_eq!(told["grant"]["scope"], json!({"kind": "session", "bottle": "ci", "session": "s1"}));
    assert_eq!((&told["grant"]["target"], &told["grant"]["max_uses"]), (&json!("a@example.com"), &json!(2)));
    for fingerprint in [2, 3] {
        assert_eq!(desk.ask(request(fingerprint)).status, ApprovalStatus::AutoApproved);
    }
    assert_eq!(desk.ask(request(4)).status, ApprovalStatus::Pending, "it is used up");
    let other = ApprovalRequest { target: "b@example.com".to_owned(), ..request(5) };
    assert_eq!(desk.ask(other).status, ApprovalStatus::Pending);
    assert_eq!(desk.json(&["grants"]), json!([]));
    assert_eq!(desk.json(&["grants", "--all"])[0]["uses"], 2);
    assert!(desk.hudson(&["grants", "--all"]).exited(0).text().contains("used up"));
    desk.hudson(&["revoke", &grant]).exited(0);
    desk.hudson(&["revoke", &grant]).exited(4);
    let waiting = desk.ask(request(6));
    for (words, why) in [
        (vec!["--for", "30s"], "one minute to 24 hours"),
        (vec!["--for", "25h"], "one minute to 24 hours"),
        (vec!["--for", "30m", "--uses", "0"], "0"),
        (vec!["--uses", "2"], "--for"),
    ] {
        let refused = desk.hudson(&[vec!["approve", waiting.id.as_str()], words].concat());
        assert!(refused.exited(2).stderr.contains(why), "{why}: {refused}");
    }
    let critical = desk.ask(critical(7));
    let refused = desk.hudson(&["approve", critical.id.as_str(), "--reason", "x", "--for", "30m"]);
    assert!(refused.exited(2).stderr.contains("no grant lets"), "{refused}");
    for pending in [&waiting, &critical] {
        assert_eq!(desk.fetch(pending).status, ApprovalStatus::Pending, "nothing is decided by halves");
    }
}

#[test]
fn a_grant_is_made_by_hand_listed_and_taken_back() {
    let desk = Desk::new();
    let grant =
        ["grant", "send_email", "--target", "a@example.com", "--bottle", "ci", "--for", "1h", "--uses", "3"];
    let made = desk.json(&grant);
    let id = made["id"].as_str().expect("an id").to_owned();
    assert_eq!((&made["created_by"], &made["scope"]["kind"]), (&json!(own()), &json!("bottle")));
    assert_eq!(desk.ask(request(1)).status, ApprovalStatus::AutoApproved);
    let table = desk.hudson(&["grants"]);
    for part in [id.as_str(), "bottle ci", "confirm send_email", "1 of 3", "expires in 59 min"] {
        assert!(table.exited(0).text().contains(part), "{part}: {table}");
    }
    assert_eq!(desk.json(&["grants", "--bottle", "dev"]), json!([]));
    let revoked = desk.json(&["revoke", &id[..14]]);
    assert_eq!(revoked["revoked_by"], json!(own()));
    assert_eq!(desk.ask(request(2)).status, ApprovalStatus::Pending);
    for (words, why) in [
        (vec!["grant", "x", "--for", "1h", "--bottle", "ci"], "--target"),
        (vec!["grant", "x", "--for", "1h", "--target", "y"], "--bottle"),
        (vec!["grant", "x", "--target", "y", "--global"], "--for"),
        (vec!["grant", "x", "--target", "y", "--global", "--for", "2d"], "one minute to 24 hours"),
        (vec!["grant", "deploy_production", "--any-target", "--global", "--for", "1h"], "of high risk"),
        (vec!["grant", "x", "--any-target", "--global", "--for", "1h", "--finding", "f"], "one target"),
    ] {
        let refused = desk.hudson(&words);
        assert!(refused.exited(2).stderr.contains(why), "{words:?}: {refused}");
    }
    desk.hudson(&["revoke", "grt_aaaaaaaaaaaaaaaaaaaaaaaaaa"]).exited(3);
}

#[test]
fn what_was_approved_is_taken_back_before_it_is_used() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    let id = approval.id.as_str();
    let refused = desk.hudson(&["revoke", id]);
    assert!(refused.exited(4).stderr.contains("nothing to revoke"), "{refused}");
    desk.hudson(&["approve", id]).exited(0);
    assert_eq!(desk.json(&["revoke", id, "--reason", "a mistake"])["status"], "revoked");
    desk.hudson(&["revoke", id]).exited(4);
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Revoked);
}

#[test]
fn time_that_is_over_decides_nothing_and_is_no_denial() {
    let desk = Desk::new();
    let over = desk.ask(ApprovalRequest { decision_expires_at: now() + 1, ..request(1) });
    std::thread::sleep(Duration::from_millis(20));
    for what in ["approve", "deny"] {
        let refused = desk.hudson(&[what, over.id.as_str()]);
        assert!(refused.exited(4).stderr.contains("not a denial"), "{refused}");
    }
    desk.hudson(&["expire"]).exited(2);
    assert_eq!(
        desk.json(&["expire", "--all-stale"]),
        json!({"expired": 0}),
        "the refusals have written it down"
    );
    let stale = desk.ask(ApprovalRequest { decision_expires_at: now() + 1, ..request(2) });
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(desk.json(&["expire", "--all-stale"]), json!({"expired": 1}));
    assert_eq!(desk.json(&["expire", stale.id.as_str()])["status"], "expired");
    let early = desk.ask(request(3));
    assert_eq!(desk.json(&["expire", early.id.as_str()])["status"], "cancelled");
    assert_eq!(desk.fetch(&early).decided_by, None, "nobody has decided");
    let approved = desk.ask(request(4));
    desk.hudson(&["approve", approved.id.as_str()]).exited(0);
    desk.hudson(&["expire", approved.id.as_str()]).exited(4);
}

#[test]
fn a_decision_that_races_with_the_end_of_time_has_one_outcome() {
    let desk = Desk::new();
    let outcomes = (0..12).map(|round: u8| {
        let ends = now() + 60 + i64::from(round) * 15;
        let approval = desk.ask(ApprovalRequest { decision_expires_at: ends, ..request(round) });
        let told = desk.hudson(&["approve", approval.id.as_str()]);
        let found = desk.fetch(&approval);
        match told.code {
            Some(0) => {
                assert_eq!(found.status, ApprovalStatus::Approved, "{told}");
                assert!(found.decided_at.is_some_and(|at| at < ends), "{found:?}");
            }
            _ => {
                told.exited(4);
                assert_eq!((found.status, found.decided_by), (ApprovalStatus::Expired, None), "{told}");
            }
        }
        told.code
    });
    report!("approve at its end: {:?}", outcomes.collect::<Vec<_>>());
}

#[test]
fn of_two_who_decide_at_once_one_does() {
    let desk = Desk::new();
    for round in 0..4 {
        let approval = desk.ask(request(round));
        let mut children = ["approve", "deny", "approve", "deny"].map(|what| -> Child {
            let mut command = desk.command(&[what, approval.id.as_str()]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hudson can be started")
        });
        let codes: Vec<_> = children.iter_mut().map(|child| child.wait().expect("it ends").code()).collect();
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| **code == Some(4)).count(), 3, "{codes:?}");
        let events = desk.json(&["show", approval.id.as_str()])["events"].as_array().map(Vec::len);
        assert_eq!(events, Some(2), "asked for, and decided once");
    }
}

#[test]
fn whoever_watches_sees_what_comes_and_how_it_ends() {
    let desk = Desk::new();
    let before = desk.ask(request(1));
    let mut child =
        desk.command(&["watch", "--json"]).stdout(Stdio::piped()).spawn().expect("hudson can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut next = || -> (String, String) {
        let line = lines.next().expect("there is another line").expect("it can be read");
        let told: Value = serde_json::from_str(&line).expect("a line is JSON");
        let text = |key: &str| told[key].as_str().expect("a text").to_owned();
        (text("id"), text("status"))
    };
    assert_eq!(next(), (before.id.to_string(), "pending".to_owned()));
    let later = desk.ask(request(2));
    assert_eq!(next(), (later.id.to_string(), "pending".to_owned()));
    desk.hudson(&["deny", before.id.as_str()]).exited(0);
    assert_eq!(next(), (before.id.to_string(), "denied".to_owned()));
    let brief = desk.ask(ApprovalRequest { decision_expires_at: now() + 1_500, ..request(3) });
    assert_eq!(next(), (brief.id.to_string(), "pending".to_owned()));
    assert_eq!(
        next(),
        (brief.id.to_string(), "expired".to_owned()),
        "time ends it, and nobody has written that"
    );
    drop(lines);
    // Who reads no more ends it.
    let ended = wait_until(SOON, || child.try_wait().expect("it is our child"));
    if ended.is_none() {
        child.kill().ok();
    }
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
    let mut terminal = desk.on_terminal(160, "approvals watch");
    terminal.shows("bottle ci: confirm «send_email» on «a@example.com», digest 02020202");
    terminal.press("\u{3}");
    terminal.shows("code 0");
    terminal.ends();
}

#[test]
fn an_action_is_judged_without_being_asked_for() {
    let desk = Desk::new();
    let judged = |words: &[&str]| desk.json(&[&["classify"], words].concat());
    let told = judged(&["terminal", "--command", "sudo rm -fr /"]);
    assert_eq!(
        (&told["tier"], &told["approver"], &told["bypassable"]),
        (&json!(4), &json!("person"), &json!(false))
    );
    assert!(told["patterns"].as_array().is_some_and(|patterns| patterns.len() >= 2), "{told}");
    let told = judged(&["something_new"]);
    assert_eq!((&told["tier_name"], &told["known"]), (&json!("medium"), &json!(false)));
    assert_eq!(judged(&["something_new", "--tier", "low"])["tier_name"], "medium", "the caller only raises");
    assert_eq!(judged(&["something_new", "--tier", "3"])["tier_name"], "high");
    let text = desk.hudson(&["classify", "terminal", "--command", "sudo rm -fr /"]);
    for part in ["critical, 4 of 4", "a person", "never lets it through", "300 s", "a reason"] {
        let part = if part == "300 s" { "5 min" } else { part };
        assert!(text.exited(0).text().contains(part), "{part}: {text}");
    }
    desk.hudson(&["classify", "x", "--tier", "9"]).exited(2);
    desk.world.configure(
        "settings.yml",
        "approvals: {profile: realtime_tiers, require_distinct_approvers: {critical: 2}}\n",
    );
    let told = judged(&["terminal", "--command", "sudo rm -fr /"]);
    assert_eq!((&told["decision_seconds"], &told["approvers"]), (&json!(10), &json!(2)));
    assert_eq!(desk.json(&["list", "--all"]), json!([]));
}

#[test]
fn the_audit_tells_of_approvals_and_grants_and_is_verified() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    desk.hudson(&["approve", approval.id.as_str(), "--for", "1h"]).exited(0);
    let outcome = desk.hudson(&["audit", "--json"]);
    let rows: Vec<Value> = outcome
        .exited(0)
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    let kinds: Vec<&str> = rows.iter().filter_map(|row| row["kind"].as_str()).collect();
    assert_eq!(kinds, ["approval_request", "approval_approve", "grant_insert"]);
    assert_eq!(rows[1]["actor"], json!(own()));
    assert_eq!(desk.hudson(&["audit", "-n", "1", "--json"]).text().lines().count(), 1);
    assert!(desk.hudson(&["audit"]).exited(0).text().contains("approval_approve"));
    assert_eq!(desk.json(&["audit", "--verify"])["sound"], true);
}

#[test]
fn who_is_not_named_does_not_decide() {
    let desk = Desk::new();
    let approval = desk.ask(request(1));
    desk.world.configure("settings.yml", "approvals: {approvers: {unix_uid: [4242]}}\n");
    for what in ["approve", "deny", "revoke", "expire"] {
        let refused = desk.hudson(&[what, approval.id.as_str()]);
        assert!(refused.exited(1).stderr.contains("unix_uid names 4242"), "{refused}");
    }
    let refused = desk.hudson(&["grant", "x", "--any-target", "--global", "--for", "1h"]);
    refused.exited(1);
    assert_eq!(desk.fetch(&approval).status, ApprovalStatus::Pending);
    desk.world.configure("settings.yml", "approvals: {on_timeout: allow}\n");
    desk.hudson(&["approve", approval.id.as_str()]).exited(2);
    let uid = rustix::process::getuid().as_raw();
    desk.world.configure("settings.yml", &format!("approvals: {{approvers: {{unix_uid: [4242, {uid}]}}}}\n"));
    desk.hudson(&["approve", approval.id.as_str()]).exited(0);
}

#[test]
fn status_and_doctor_say_what_waits_and_who_can_be_asked() {
    let desk = Desk::new();
    let status = || {
        let mut command = desk.world.hudson();
        process::run(command.arg("--home").arg(desk.world.home()).arg("status"), SOON)
    };
    assert!(!status().exited(0).text().contains("approvals"), "nothing waits");
    desk.ask(request(1));
    desk.ask(ApprovalRequest { now: now() - 180_000, ..request(2) });
    let told = status();
    assert!(told.exited(0).text().contains("2 wait for a decision, the oldest for"), "{told}");
}
