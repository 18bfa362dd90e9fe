//! The commands that show how things are, on real terminals: their tables fit, `--watch` redraws in place, and Ctrl-C
//! leaves the terminal as it was.

use crate::cases::ANTHROPIC;
use crate::dashboard::Terminal;
use crate::raw::{self, Stage};

const ROUTES: &str = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";
const MESSAGE: &str =
    r#"{"model":"sim-950-100","max_tokens":100,"messages":[{"role":"user","content":"x"}]}"#;

fn stage() -> Stage {
    let stage = raw::routes(ROUTES).settings("budget: {claude: 10k}\n").env("THE_KEY", ANTHROPIC.value);
    stage.start()
}

fn on(stage: &Stage, columns: u16, arguments: &str) -> Terminal {
    let (hudson, home) = (hudson_tests::hudson::binary().display(), stage.world.home());
    let line = format!(
        "trap : INT; before=$(stty -g); {hudson} {arguments} --home {}; echo \"code $?\"; \
         test \"$before\" = \"$(stty -g)\" && echo as it was",
        home.display()
    );
    Terminal::run_on(stage, columns, &line)
}

#[test]
fn a_watched_table_is_redrawn_in_place_until_ctrl_c() {
    let stage = stage();
    let agent = stage.agent();
    let mut terminal = on(&stage, 80, "usage --watch 0.2");
    terminal.shows("Ctrl-C ends");
    assert_eq!(agent.post("api.anthropic.com", "/v1/messages", MESSAGE).status, 200);
    terminal.shows("1,050");
    assert_eq!(agent.post("api.anthropic.com", "/v1/messages", MESSAGE).status, 200);
    terminal.shows("2,100");
    assert!(!terminal.screen().contains("1,050"), "the old state is gone:\n{}", terminal.screen());
    terminal.press("\u{3}");
    let left = terminal.ends();
    assert!(left.contains("2,100") && left.contains("code 0") && left.contains("as it was"), "{left}");
}

#[test]
fn tables_fit_the_terminal() {
    let stage = stage();
    assert_eq!(stage.agent().post("api.anthropic.com", "/v1/messages", MESSAGE).status, 200);
    stage.hudson(&["bottle", "cutoff", "ci", "--reason", &"many words ".repeat(20)]).exited(0);
    for arguments in ["status", "usage", "usage --rows", "bottle list", "budget show"] {
        for columns in [40, 80, 200] {
            let terminal = on(&stage, columns, arguments);
            terminal.shows("as it was");
            let drawn = terminal.written();
            assert!(terminal.ends().contains("code 0"), "{arguments}: {drawn}");
            let wide = drawn.lines().filter(|line| line.trim_end().chars().count() > usize::from(columns));
            // Ids and paths stay whole, for they are copied; nothing else stands in their line but the heading.
            let whole = |line: &str| line.split_whitespace().next_back().is_some_and(|word| word.len() > 28);
            let broken: Vec<&str> = wide.filter(|line| !whole(line)).collect();
            assert!(broken.is_empty(), "{arguments} on {columns} columns: {broken:#?}\n{drawn}");
        }
    }
}
