//! `hudson report` in a real browser: the page says what the ledger says, asks for nothing, and runs nothing, whatever
//! agents and operators have written into it.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hudson_tests::{clients, process};

use crate::cases::ANTHROPIC;
use crate::raw::{self, Stage};

const ROUTES: &str = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
const MESSAGE: &str =
    r#"{"model":"sim-950-100","max_tokens":100,"messages":[{"role":"user","content":"x"}]}"#;

/// A server that counts who comes and who says something, and answers nothing.
struct Trap {
    url: String,
    came: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let url = format!("http://{}/leak", listener.local_addr().expect("it listens"));
        let trap = Self { url, came: Arc::default(), asked: Arc::default() };
        let (came, asked) = (trap.came.clone(), trap.asked.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                came.fetch_add(1, Ordering::SeqCst);
                let asked = asked.clone();
                std::thread::spawn(move || {
                    if matches!(stream.read(&mut [0; 64]), Ok(1..)) {
                        asked.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        trap
    }
}

/// What the page has become once the browser has loaded it.
fn dom(stage: &Stage, page: &Path) -> String {
    let profile = stage.world.scratch().join("chromium");
    let mut command = clients::clean("chromium");
    command.env("HOME", stage.world.operator_home()).args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--virtual-time-budget=2000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display())).arg(format!("file://{}", page.display()));
    let outcome = process::run(&mut command, Duration::from_secs(60));
    outcome.exited(0);
    String::from_utf8(outcome.stdout).expect("a page is UTF-8")
}

#[test]
fn the_page_tells_what_was_used_and_asks_for_nothing() {
    let stage =
        raw::routes(ROUTES).settings("budget: {claude: 10k}\n").env("THE_KEY", ANTHROPIC.value).start();
    let trap = Trap::new();
    let agent = stage.agent();
    for _ in 0..3 {
        assert_eq!(agent.post("api.anthropic.com", "/v1/messages", MESSAGE).status, 200);
    }
    let evil = format!(
        "<img src={0}><script>document.title='owned'</script><iframe src={0}></iframe><style>@import '{0}'</style>",
        trap.url
    );
    stage.hudson(&["bottle", "cutoff", "ci", "--reason", &evil]).exited(0);
    let page = stage.world.scratch().join("report.html");
    let file = page.display().to_string();
    let told = stage.hudson(&["report", "--output", &file]);
    assert_eq!(String::from_utf8_lossy(&told.exited(0).stdout).trim(), file);

    let shown = dom(&stage, &page);
    for text in [
        "3,150",
        "api.anthropic.com",
        "sim-950-100",
        "the whole host",
        "31 %",
        "cutoff of bottle ci by operator",
    ] {
        assert!(shown.contains(text), "{text}:\n{shown}");
    }
    assert!(shown.contains("&lt;img src=http") && shown.contains("<title>Hudson report,"), "{shown}");
    assert_eq!(trap.came.load(Ordering::SeqCst), 0, "the page has asked for something");

    // What would get past the escaping still meets the policy; without it the trap is asked. (For an iframe that it will
    // not load the browser connects all the same, and says nothing.)
    let html = std::fs::read_to_string(&page).expect("it was written");
    let policy = html.find("<meta http-equiv").expect("it has a policy");
    let end = policy + html[policy..].find('>').expect("it ends");
    for (protected, html) in
        [(true, html.clone()), (false, format!("{}{}", &html[..policy], &html[end + 1..]))]
    {
        let page = stage.world.scratch().join("poisoned.html");
        std::fs::write(&page, html.replace("<main>", &format!("<main>{evil}"))).expect("a scratch file");
        let shown = dom(&stage, &page);
        assert_eq!(shown.contains("<title>owned"), !protected, "{shown}");
        assert_eq!(trap.asked.load(Ordering::SeqCst) == 0, protected, "protected: {protected}");
    }
}

#[test]
fn what_cannot_be_reported_is_an_error_and_leaves_the_old_page() {
    let stage = raw::routes(ROUTES).env("THE_KEY", ANTHROPIC.value).start();
    let page = stage.world.scratch().join("old.html");
    std::fs::write(&page, "old").expect("a scratch file");
    let file = page.display().to_string();
    let report = |more: &[&str]| stage.hudson(&[&["report", "--output", &file], more].concat());
    assert!(report(&["--bottle", "nope"]).exited(3).stderr.contains("there is no bottle nope"));
    report(&["--since", "2026-11-02", "--until", "2026-11-01"]).exited(2);
    assert_eq!(std::fs::read_to_string(&page).expect("it stays"), "old");
    let nowhere = stage.hudson(&["report", "--output", "/nowhere/report.html"]);
    assert!(nowhere.exited(1).stderr.contains("cannot write /nowhere/report.html"), "{nowhere}");
    report(&["--since", "2020-01-01"]).exited(0);
    let html = std::fs::read_to_string(&page).expect("it was written");
    assert!(html.contains("Nothing was used in this time."), "{html}");
    let piped = stage.hudson(&["report", "--output", "-"]);
    assert!(piped.exited(0).stdout.starts_with(b"<!DOCTYPE html>"));
}
