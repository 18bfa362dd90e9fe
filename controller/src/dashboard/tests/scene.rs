//! Fixed homes, and keys.

use crate::dashboard::{
    Bottle, BottleState, Effect, Event, EventRow, Limit, Origin, Refusal, Run, Snapshot, Spent, State,
    update, view,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hudson_schema::ledger::{Action, Block, BlockBudget, Enforcement, EnforcementState};
use hudson_schema::{Policy, Scope, ScopeKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// The clock of every scene: 2026-11-21T12:00:00Z.
pub(super) const NOW: i64 = 1_795_262_400_000;
const MINUTE: i64 = 60_000;

/// A dashboard that has read this.
pub(super) fn of(snapshot: Snapshot, size: (u16, u16)) -> State {
    let mut state = State::new("/home/me/.bot-bottle".to_owned(), false, size, NOW);
    assert_eq!(update(&mut state, Event::Tick(NOW)), [Effect::Read]);
    assert_eq!(update(&mut state, Event::Read { outcome: Ok(Box::new(snapshot)), took: 3 }), []);
    state
}

/// Presses keys one after the other; what the last one asks for.
pub(super) fn press(state: &mut State, keys: &[KeyCode]) -> Vec<Effect> {
    let press = |key: &KeyCode| update(state, Event::Key(KeyEvent::new(*key, KeyModifiers::NONE)));
    keys.iter().map(press).last().unwrap_or_default()
}

/// Types a text.
pub(super) fn write(state: &mut State, text: &str) -> Vec<Effect> {
    press(state, &text.chars().map(KeyCode::Char).collect::<Vec<_>>())
}

/// The screen, without the blanks at the ends of its lines.
pub(super) fn screen(state: &State) -> String {
    let mut terminal = Terminal::new(TestBackend::new(state.size.0, state.size.1)).unwrap();
    terminal.draw(|frame| view(state, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let lines = (0..state.size.1).map(|y| {
        let line: String = (0..state.size.0).map(|x| buffer[(x, y)].symbol().to_owned()).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Nothing yet.
pub(super) fn empty() -> Snapshot {
    Snapshot { now: NOW, warn_at: Some(80), ..Snapshot::default() }
}

/// Six bottles in every state, with long names and many hosts.
pub(super) fn busy() -> Snapshot {
    let bottles = vec![
        ci(),
        Bottle {
            state: BottleState::Idle,
            active_at: Some(NOW - 3 * 86_400_000),
            providers: vec![spent("codex", 12_345, 7, 0)],
            ..bottle("docs")
        },
        Bottle {
            state: BottleState::Killed,
            active_at: Some(NOW - 50 * MINUTE),
            providers: vec![spent("claude", 1_200_000, 80, 8)],
            runs: vec![Run { finished_at: Some(NOW - 50 * MINUTE), exit_code: Some(77), ..run("d", None) }],
            enforcements: vec![enforcement("killer-of-time", Action::Kill, "process group 4711 was killed")],
            ..bottle("killer-of-time")
        },
        Bottle {
            state: BottleState::Partly,
            active_at: Some(NOW - MINUTE),
            providers: vec![spent("gemini", 400_000, 40, 0), spent("claude", 20_000, 4, 4)],
            blocks: vec![Block {
                budget: Some(crossed()),
                ..block("partly-stopped", "gemini: 400,000 of 400,000 tokens are spent")
            }],
            limits: vec![limit(ScopeKind::Bottle, "partly-stopped", "gemini", 400_000, 400_000)],
            runs: vec![run("c", None)],
            ..bottle("partly-stopped")
        },
        Bottle {
            state: BottleState::CutOff,
            active_at: Some(NOW - 2 * MINUTE),
            providers: vec![spent("claude", 90_000, 9, 0)],
            blocks: vec![block("review", "an operator's order: it digs for gold")],
            runs: vec![run("b", None)],
            ..bottle("review")
        },
        Bottle {
            state: BottleState::Running,
            active_at: Some(NOW),
            rate: 52_100,
            limits: vec![Limit {
                rate: 52_100,
                ..limit(ScopeKind::Global, "", "any", 10_000_000, 4_622_345)
            }],
            runs: vec![run("e", None), run("f", None)],
            ..bottle("the-one-with-a-name-that-goes-on-and-on")
        },
    ];
    Snapshot {
        origin: Origin::Controller { role: "up".to_owned(), pid: 4711 },
        warnings: vec![
            limit(ScopeKind::Bottle, "partly-stopped", "gemini", 400_000, 400_000),
            limit(ScopeKind::Bottle, "ci", "claude", 3_000_000, 2_700_000),
        ],
        spent: spent("", 4_622_345, 1_240, 12),
        rate: 94_100,
        held: 16_384,
        events: (1..=12).map(event).collect(),
        bottles,
        ..empty()
    }
}

fn ci() -> Bottle {
    let mut own = limit(ScopeKind::Bottle, "ci", "claude", 3_000_000, 2_700_000);
    own.rate = 42_000;
    own.held = 16_384;
    own.resets_at = Some(NOW + 12 * 3_600_000);
    let global = Limit { governs: false, ..limit(ScopeKind::Global, "", "any", 10_000_000, 4_622_345) };
    Bottle {
        state: BottleState::Running,
        rate: 42_000,
        held: 16_384,
        active_at: Some(NOW - 4_000),
        providers: vec![spent("claude", 2_700_000, 1_000, 0), spent("codex", 200_000, 100, 5)],
        hosts: vec![spent("api.anthropic.com", 210_000, 31, 0), spent("api.openai.com", 1_200, 2, 1)],
        limits: vec![own, global],
        runs: vec![Run { held: 16_384, ..run("a", Some("reviewer")) }],
        refusals: vec![
            refusal("GET evil.example.com/\u{1b}[2J", 41),
            refusal("POST paste.example.com/new", 1),
        ],
        ..bottle("ci")
    }
}

pub(super) fn bottle(name: &str) -> Bottle {
    Bottle {
        name: name.parse().unwrap(),
        state: BottleState::Idle,
        providers: Vec::new(),
        hosts: Vec::new(),
        rate: 0,
        held: 0,
        active_at: None,
        limits: Vec::new(),
        runs: Vec::new(),
        blocks: Vec::new(),
        enforcements: Vec::new(),
        refusals: Vec::new(),
    }
}

fn refusal(asked: &str, times: u64) -> Refusal {
    Refusal {
        at: NOW - 2 * MINUTE,
        code: "host_not_allowed".to_owned(),
        asked: asked.to_owned(),
        reason: "the host is not on this bottle's allowlist".to_owned(),
        times,
    }
}

fn spent(of: &str, tokens: u64, requests: u64, inexact: u64) -> Spent {
    Spent { of: of.to_owned(), tokens, requests, inexact }
}

pub(super) fn run(id: &str, agent: Option<&str>) -> Run {
    Run {
        id: format!("01a1f97d-c951-77cd-a25c-f881da572ee{id}").parse().unwrap(),
        agent: agent.map(|agent| agent.parse().unwrap()),
        started_at: NOW - 72 * MINUTE,
        finished_at: None,
        exit_code: None,
        frozen: false,
        held: 0,
    }
}

pub(super) fn limit(kind: ScopeKind, key: &str, provider: &str, limit: u64, spent: u64) -> Limit {
    Limit {
        scope: Scope::new(kind, key),
        provider: provider.to_owned(),
        limit,
        spent,
        held: 0,
        resets_at: None,
        source: "settings".into(),
        governs: true,
        rate: 0,
    }
}

pub(super) fn block(bottle: &str, cause: &str) -> Block {
    Block {
        scope: Scope::new(ScopeKind::Bottle, bottle),
        policy: Policy::Cutoff,
        cause: cause.to_owned(),
        budget: None,
        since: NOW - 3 * MINUTE,
    }
}

fn crossed() -> BlockBudget {
    BlockBudget {
        provider: "gemini".parse().unwrap(),
        limit: 400_000,
        spent: 400_000,
        window_start: 0,
        window_end: None,
    }
}

fn enforcement(bottle: &str, action: Action, detail: &str) -> Enforcement {
    Enforcement {
        id: 1,
        run_id: run("d", None).id,
        bottle: bottle.parse().unwrap(),
        action,
        scope: Scope::global(),
        ordered: false,
        cause: String::new(),
        state: EnforcementState::Done,
        detail: detail.to_owned(),
        created_at: NOW - 50 * MINUTE,
        finished_at: Some(NOW - 50 * MINUTE),
    }
}

pub(super) fn event(seq: i64) -> EventRow {
    EventRow {
        seq,
        at: format!("11:59:{:02}", 40 + seq),
        bottle: "ci".to_owned(),
        text: format!("claude: {seq},234 tokens charged (exact), claude-sonnet-4-5-20250929"),
    }
}
