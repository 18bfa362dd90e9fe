//! What stands in front of the panes: help, orders that wait for a yes, the field of a limit.
//!
//! Invariant: an order's dialog names the bottle and what will happen to what runs in it.

use super::format::{clean, exact_tokens, fit, left, wrap};
use super::paint::Paint;
use crate::dashboard::keys::parse;
use crate::dashboard::state::{Decision, Draft, Mode, State};
use crate::dashboard::{Bottle, Order};
use hudson_schema::{BottleName, Scope, ScopeKind};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

/// The widest that a dialog is, its border included.
const WIDEST: u16 = 72;

const HELP: [(&str, &str); 14] = [
    ("↑ ↓  j k", "select a bottle, or scroll the marked pane"),
    ("Home End PgUp PgDn", "the same in greater steps; g and G, too"),
    ("Tab", "mark the next pane"),
    ("s  /", "sort; filter by name, state, agent, host"),
    ("a", "what waits for approval: y approves, d denies"),
    ("c", "cut the bottle off: nothing gets out of it"),
    ("f", "freeze: save what runs in it and stop it"),
    ("r", "resume: lift what operators ordered, bring back"),
    ("K", "kill what runs in the bottle"),
    ("b", "change a budget"),
    ("Esc", "put a message or the filter away"),
    ("q  Ctrl-C", "quit; what was ordered stays"),
    ("! ▸", "a limit past its warning; one that governs"),
    ("TPM  EMPTY", "tokens a minute of the last 5; spent in that time"),
];

/// Draws the dialog that is open, if one is.
pub(super) fn draw(state: &State, paint: Paint, frame: &mut Frame<'_>) {
    let room = usize::from(WIDEST.min(state.size.0.saturating_sub(4)).saturating_sub(4));
    let (title, lines) = match &state.mode {
        Mode::Browse | Mode::Filter(_) => return,
        Mode::Help => {
            let line = |(key, does): &(&str, &str)| format!("{}{does}", left(key, 20));
            (" Keys ", HELP.iter().map(|entry| fit(&line(entry), room)).collect())
        }
        Mode::Confirm(order) => confirm(state, order, room),
        Mode::Budget(draft) => budget(state, draft, room),
        Mode::Decide(decision) => decide(state, decision, room),
    };
    let width = u16::try_from(room).unwrap_or_default() + 4;
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(state.size.1);
    let (x, y) = ((state.size.0 - width) / 2, (state.size.1 - height) / 2);
    let area = Rect::new(x, y, width, height);
    let block = Block::bordered().border_type(BorderType::Double).border_style(paint.chosen()).title(title);
    let inner = block.inner(area);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    // The rows beside it are cleared, too: halves of words say nothing.
    frame.render_widget(Clear, Rect { x: 0, width: state.size.0, ..area });
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines.into_iter().map(Line::from).collect::<Vec<_>>()), inner);
}

fn confirm(state: &State, order: &Order, room: usize) -> (&'static str, Vec<String>) {
    let (title, text) = match order {
        Order::Cutoff(name) => (" Cut off ", cutoff(name, bottle(state, name))),
        Order::Freeze(name) => (" Freeze ", freeze(name, bottle(state, name))),
        Order::Resume(name) => (" Resume ", resume(name, bottle(state, name))),
        Order::Kill(name) => (" Kill ", kill(name, bottle(state, name))),
        // Its dialog is one of its own.
        Order::Decide { id, .. } => (" Approval ", format!("Decide {id}?")),
        Order::SetBudget { scope, provider, tokens } => {
            (" Budget ", format!("Set {provider} of {scope} to {} tokens?", exact_tokens(tokens.0)))
        }
    };
    let mut lines = paragraphs(&text, room);
    lines.extend([String::new(), "[y] yes   [n] no".to_owned()]);
    (title, lines)
}

fn bottle<'s>(state: &'s State, name: &BottleName) -> Option<&'s Bottle> {
    state.snapshot.iter().flat_map(|snapshot| &snapshot.bottles).find(|bottle| bottle.name == *name)
}

fn runs(bottle: Option<&Bottle>) -> String {
    match bottle.map_or(0, |bottle| bottle.live().count()) {
        0 => "no live run".to_owned(),
        1 => "1 live run".to_owned(),
        runs => format!("{runs} live runs"),
    }
}

fn cutoff(name: &BottleName, bottle: Option<&Bottle>) -> String {
    let held = bottle.map_or(0, |bottle| bottle.held);
    format!(
        "Cut off bottle {name}?\n\nNothing gets out of it any more, and what it has in flight ({} tokens held) is \
         ended. What runs in it goes on ({}). r resumes it.",
        exact_tokens(held),
        runs(bottle)
    )
}

fn freeze(name: &BottleName, bottle: Option<&Bottle>) -> String {
    format!(
        "Freeze bottle {name}?\n\nNothing gets out of it any more. What runs in it ({}) is stopped where it is: processes \
         are frozen, a container is saved as an image. Nothing is started in it until r brings it back.",
        runs(bottle)
    )
}

fn resume(name: &BottleName, bottle: Option<&Bottle>) -> String {
    let mut text = format!("Resume bottle {name}?");
    let ordered: Vec<_> = bottle.iter().flat_map(|bottle| bottle.ordered()).collect();
    if !ordered.is_empty() {
        text += "\n\nThis is lifted:";
    }
    for block in ordered {
        text += &format!("\n{} of {}: {}", block.policy, block.scope, block.cause);
    }
    match bottle.map_or(0, Bottle::frozen) {
        0 => {}
        1 => text += "\n\nThe run that is frozen is brought back.",
        frozen => text += &format!("\n\nThe {frozen} runs that are frozen are brought back."),
    }
    for block in bottle.iter().flat_map(|bottle| &bottle.blocks).filter(|block| block.budget.is_some()) {
        text += &format!("\n\nThis stays, until b raises it: {}", block.cause);
    }
    text
}

fn kill(name: &BottleName, bottle: Option<&Bottle>) -> String {
    let ids: Vec<String> =
        bottle.iter().flat_map(|bottle| bottle.live()).map(|run| run.id.to_string()).collect();
    let shown = ids.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
    let more = match ids.len().saturating_sub(3) {
        0 => String::new(),
        more => format!("\nand {more} more"),
    };
    format!(
        "Kill what runs in bottle {name}?\n\n{} and nothing of it is saved:\n{shown}{more}\n\nThis cannot be taken \
         back. Runs that are started later are not concerned.",
        match ids.len() {
            1 => "1 live run is killed,".to_owned(),
            runs => format!("{runs} live runs are killed,"),
        }
    )
}

fn decide(state: &State, decision: &Decision, room: usize) -> (&'static str, Vec<String>) {
    let Decision { what, target, bottle, tier, .. } = decision;
    let (title, verb) = match decision.approve {
        true => (" Approve ", "approve"),
        false => (" Deny ", "deny"),
    };
    let mut lines = wrap(&clean(&format!("{what} on {target}")), room);
    lines.extend([
        String::new(),
        fit(&format!("tier {tier}, bottle {bottle}, digest {}", decision.digest()), room),
        fit(decision.id.as_str(), room),
        String::new(),
    ]);
    // The end of a long reason is seen, for there is the cursor.
    let reason = clean(&decision.reason);
    let shown: Vec<char> = reason.chars().collect();
    let from = shown.len().saturating_sub(room.saturating_sub("reason: ▏".chars().count()));
    let shown: String = shown.into_iter().skip(from).collect();
    lines.push(fit(&format!("reason: {shown}▏"), room));
    let there = state.waiting().iter().any(|waiting| waiting.id == decision.id);
    if !there {
        lines.extend(wrap(
            "! It does not wait any more: somebody else has decided, or its time is over.",
            room,
        ));
    } else if decision.wants_reason() {
        lines.extend(wrap("! What is critical is approved only with a reason: write one.", room));
    }
    lines.extend([String::new(), format!("[Enter] {verb}   [Esc] leave")]);
    (title, lines)
}

fn budget(state: &State, draft: &Draft, room: usize) -> (&'static str, Vec<String>) {
    let mut lines = Vec::new();
    for (index, (scope, text)) in draft.fields.iter().enumerate() {
        let (mark, cursor) = if index == draft.at { ("▸", "▏") } else { (" ", "") };
        lines.push(fit(&format!("{mark} {}: {}{cursor}", name(scope), clean(text)), room));
    }
    lines.push(String::new());
    if let Some((scope, text)) = draft.field() {
        let told = match parse(text) {
            Ok((provider, tokens)) => {
                let limits = bottle(state, &draft.bottle).into_iter().flat_map(|bottle| &bottle.limits);
                let mut of =
                    limits.filter(|limit| limit.scope == *scope && limit.provider == provider.as_str());
                let now = of.next().map_or("There is no such limit now.".to_owned(), |limit| {
                    let stops = match limit.spent >= tokens.0 {
                        true => " That is no more than is spent, and stops what it governs.",
                        false => "",
                    };
                    format!(
                        "Now {} are allowed and {} spent.{stops}",
                        exact_tokens(limit.limit),
                        exact_tokens(limit.spent)
                    )
                });
                format!(
                    "Enter lets {} use {} tokens of {provider}. {now}",
                    name(scope),
                    exact_tokens(tokens.0)
                )
            }
            Err(why) => format!("! {}", clean(&why)),
        };
        lines.extend(wrap(&told, room));
    }
    lines.extend([String::new(), "[Enter] set   [Tab] another scope   [Esc] leave".to_owned()]);
    (" Budget ", lines)
}

fn name(scope: &Scope) -> String {
    match scope.kind {
        ScopeKind::Global => "the whole host".to_owned(),
        kind => format!("{} {}", kind.name(), scope.key),
    }
}

fn paragraphs(text: &str, room: usize) -> Vec<String> {
    text.split('\n').flat_map(|line| wrap(&clean(line), room)).collect()
}
