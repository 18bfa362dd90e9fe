//! What keys do.

use super::state::{Decision, Draft, Mode, Notice, Pane, State};
use super::view::{asked_height, asked_lines, detail_height, detail_lines, events_height, table_height};
use super::{Bottle, Effect, Order};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use hudson_schema::budget::Amount;
use hudson_schema::{Provider, Scope, ScopeKind};

/// The longest text that a field takes, in characters.
const LONGEST: usize = 60;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 200;

/// Takes a key in.
pub(super) fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return vec![Effect::Quit];
    }
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return Vec::new();
    }
    match state.mode.clone() {
        Mode::Browse => browse(state, key.code),
        Mode::Filter(before) => {
            filter(state, key.code, before);
            Vec::new()
        }
        Mode::Help => {
            if matches!(key.code, KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?' | 'q')) {
                state.mode = Mode::Browse;
            }
            Vec::new()
        }
        Mode::Confirm(order) => confirm(state, key.code, order),
        Mode::Budget(draft) => budget(state, key.code, draft),
        Mode::Decide(decision) => decide(state, key.code, decision),
    }
}

/// Brings what is scrolled back to where there is something to see.
pub(super) fn clamp(state: &mut State) {
    let below = detail_lines(state).saturating_sub(detail_height(state));
    state.detail_top = state.detail_top.min(below);
    let below = asked_lines(state).saturating_sub(asked_height(state));
    state.asked_top = state.asked_top.min(below);
    let events = state.snapshot.as_ref().map_or(0, |snapshot| snapshot.events.len());
    state.events_below = state.events_below.min(events.saturating_sub(events_height(state)));
}

fn browse(state: &mut State, key: KeyCode) -> Vec<Effect> {
    match (state.pane, key) {
        (Pane::Approvals, key) if approvals(state, key) => return Vec::new(),
        (_, KeyCode::Char('a')) => {
            state.pane = Pane::Approvals;
            state.notice = None;
            state.ask(state.asked_position());
            return Vec::new();
        }
        _ => {}
    }
    match key {
        KeyCode::Char('q') => return vec![Effect::Quit],
        KeyCode::Char('?') => state.mode = Mode::Help,
        KeyCode::Char('/') => state.mode = Mode::Filter(state.filter.clone()),
        KeyCode::Char('s') => state.sort = state.sort.next(),
        KeyCode::Char('c') => ask(state, |bottle| Ok(Order::Cutoff(bottle.name.clone()))),
        KeyCode::Char('f') => ask(state, freeze),
        KeyCode::Char('r') => ask(state, resume),
        // `k` moves up, as everywhere: what kills wants a key that no finger rests on.
        KeyCode::Char('K') => ask(state, kill),
        KeyCode::Char('b') => draft(state),
        KeyCode::Tab => state.pane = next(state.pane),
        KeyCode::BackTab => state.pane = next(next(state.pane)),
        KeyCode::Esc if state.notice.is_some() => state.notice = None,
        KeyCode::Esc => {
            state.filter.clear();
            state.select(state.position());
        }
        key => scroll(state, key),
    }
    Vec::new()
}

fn next(pane: Pane) -> Pane {
    match pane {
        Pane::Bottles => Pane::Details,
        Pane::Details => Pane::Events,
        Pane::Events | Pane::Approvals => Pane::Bottles,
    }
}

/// Keys of what waits for a decision; whether this was one. Orders about a bottle that is not seen are none.
fn approvals(state: &mut State, key: KeyCode) -> bool {
    match key {
        KeyCode::Char('y') | KeyCode::Enter => decision(state, true),
        KeyCode::Char('d') => decision(state, false),
        KeyCode::Esc if state.notice.is_some() => state.notice = None,
        KeyCode::Esc | KeyCode::Char('a') => state.pane = Pane::Bottles,
        KeyCode::Char('c' | 'f' | 'r' | 'K' | 'b' | 's' | '/') => {}
        _ => return false,
    }
    true
}

/// Opens the dialog of a decision about the selected approval.
fn decision(state: &mut State, approve: bool) {
    if state.ordering {
        return busy(state);
    }
    state.notice = None;
    let Some(waiting) = state.asked() else { return };
    state.mode = Mode::Decide(Decision {
        id: waiting.id.clone(),
        fingerprint: waiting.fingerprint.clone(),
        what: waiting.what.clone(),
        target: waiting.target.clone(),
        bottle: waiting.bottle.clone(),
        approve,
        tier: waiting.tier,
        reason: String::new(),
    });
    state.asked = state.asked().map(|waiting| waiting.id.clone());
}

fn decide(state: &mut State, key: KeyCode, mut decision: Decision) -> Vec<Effect> {
    match key {
        KeyCode::Esc => {
            state.mode = Mode::Browse;
            return Vec::new();
        }
        // What is missing stands in the dialog.
        KeyCode::Enter if decision.wants_reason() => {}
        KeyCode::Enter => {
            let reason = decision.reason.trim();
            let reason = (!reason.is_empty()).then(|| reason.to_owned());
            let Decision { id, fingerprint, approve, .. } = decision;
            return give(state, Order::Decide { id, fingerprint, approve, reason });
        }
        KeyCode::Char(symbol) if decision.reason.chars().count() < LONGEST_REASON => {
            decision.reason.push(symbol)
        }
        key => {
            if key == KeyCode::Backspace {
                decision.reason.pop();
            }
        }
    }
    state.mode = Mode::Decide(decision);
    Vec::new()
}

fn scroll(state: &mut State, key: KeyCode) {
    let page = match state.pane {
        Pane::Bottles => table_height(state),
        Pane::Details => detail_height(state),
        Pane::Events => events_height(state),
        Pane::Approvals => asked_height(state),
    };
    let page = page.saturating_sub(1).max(1);
    let (back, steps) = match key {
        KeyCode::Up | KeyCode::Char('k') => (true, 1),
        KeyCode::Down | KeyCode::Char('j') => (false, 1),
        KeyCode::PageUp => (true, page),
        KeyCode::PageDown => (false, page),
        KeyCode::Home | KeyCode::Char('g') => (true, usize::MAX),
        KeyCode::End | KeyCode::Char('G') => (false, usize::MAX),
        _ => return,
    };
    let moved = |from: usize, less: bool| match less {
        true => from.saturating_sub(steps),
        false => from.saturating_add(steps),
    };
    match state.pane {
        Pane::Bottles => state.select(moved(state.position(), back)),
        Pane::Details => state.detail_top = moved(state.detail_top, back),
        // Counted from the end, so that what follows it goes on following.
        Pane::Events => state.events_below = moved(state.events_below, !back),
        // Its text is scrolled by pages, so that arrows go on selecting.
        Pane::Approvals if matches!(key, KeyCode::PageUp | KeyCode::PageDown) => {
            state.asked_top = moved(state.asked_top, back);
        }
        Pane::Approvals => state.ask(moved(state.asked_position(), back)),
    }
    clamp(state);
}

fn filter(state: &mut State, key: KeyCode, before: String) {
    let selected = state.current().map(|bottle| bottle.name.clone());
    match key {
        KeyCode::Enter => state.mode = Mode::Browse,
        KeyCode::Esc => {
            state.filter = before;
            state.mode = Mode::Browse;
        }
        key => type_into(&mut state.filter, key),
    }
    let shown = state.shown();
    let place = shown.iter().position(|bottle| Some(&bottle.name) == selected.as_ref());
    state.select(place.unwrap_or_default());
    clamp(state);
}

fn type_into(text: &mut String, key: KeyCode) {
    match key {
        KeyCode::Char(symbol) if text.chars().count() < LONGEST => text.push(symbol),
        KeyCode::Backspace => drop(text.pop()),
        _ => {}
    }
}

/// Opens the dialog of an order, or tells why there is none.
fn ask(state: &mut State, order: impl Fn(&Bottle) -> Result<Order, String>) {
    let Some(bottle) = free(state) else { return };
    match order(&bottle) {
        Ok(order) => state.mode = Mode::Confirm(order),
        Err(text) => state.notice = Some(Notice { text, failed: true }),
    }
}

/// The bottle that an order would be about; none while another order is carried out.
fn free(state: &mut State) -> Option<Bottle> {
    if state.ordering {
        busy(state);
        return None;
    }
    state.notice = None;
    let bottle = state.current()?.clone();
    state.selected = Some(bottle.name.clone());
    Some(bottle)
}

fn busy(state: &mut State) {
    let text = "the last order is still being carried out".to_owned();
    state.notice = Some(Notice { text, failed: true });
}

fn freeze(bottle: &Bottle) -> Result<Order, String> {
    match bottle.live().find(|run| !run.frozen) {
        Some(_) => Ok(Order::Freeze(bottle.name.clone())),
        None => Err(format!("bottle {} has no live run to freeze", bottle.name)),
    }
}

fn resume(bottle: &Bottle) -> Result<Order, String> {
    let name = &bottle.name;
    match (bottle.ordered().next(), bottle.blocks.first()) {
        (Some(_), _) => Ok(Order::Resume(name.clone())),
        // A budget that was raised since brings nothing back by itself.
        (None, None) if bottle.frozen() > 0 => Ok(Order::Resume(name.clone())),
        (None, Some(block)) => Err(format!("no operator has stopped {name}: {}; b raises it", block.cause)),
        (None, None) => Err(format!("bottle {name} is not stopped")),
    }
}

fn kill(bottle: &Bottle) -> Result<Order, String> {
    match bottle.live().next() {
        Some(_) => Ok(Order::Kill(bottle.name.clone())),
        None => Err(format!("bottle {} has no live run to kill", bottle.name)),
    }
}

fn confirm(state: &mut State, key: KeyCode, order: Order) -> Vec<Effect> {
    match key {
        KeyCode::Char('y') | KeyCode::Enter => give(state, order),
        KeyCode::Char('n' | 'q') | KeyCode::Esc => {
            state.mode = Mode::Browse;
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn give(state: &mut State, order: Order) -> Vec<Effect> {
    state.mode = Mode::Browse;
    state.ordering = true;
    vec![Effect::Give(order)]
}

/// Begins to write a limit: at the tightest one, or at the bottle's own.
fn draft(state: &mut State) {
    let Some(bottle) = free(state) else { return };
    let own = Scope::new(ScopeKind::Bottle, bottle.name.as_str());
    let provider = bottle.providers.first().map_or(Provider::ANY, |spent| &spent.of);
    let mut fields: Vec<(Scope, String)> = Vec::new();
    let governing = bottle.limits.iter().filter(|limit| limit.governs);
    let mut limits: Vec<_> = governing.collect();
    limits.sort_by_key(|limit| std::cmp::Reverse(limit.percent()));
    for limit in limits {
        if !fields.iter().any(|(scope, _)| *scope == limit.scope) {
            fields.push((limit.scope.clone(), format!("{}={}", limit.provider, limit.limit)));
        }
    }
    for scope in [own, Scope::global()] {
        if !fields.iter().any(|(known, _)| *known == scope) {
            fields.push((scope, format!("{provider}=")));
        }
    }
    state.mode = Mode::Budget(Draft { bottle: bottle.name, fields, at: 0 });
}

fn budget(state: &mut State, key: KeyCode, mut draft: Draft) -> Vec<Effect> {
    match key {
        KeyCode::Esc => {
            state.mode = Mode::Browse;
            return Vec::new();
        }
        KeyCode::Enter => {
            return match draft.field().map(|(scope, text)| (scope.clone(), parse(text))) {
                Some((scope, Ok((provider, tokens)))) => {
                    give(state, Order::SetBudget { scope, provider, tokens })
                }
                // What is wrong stands in the dialog.
                _ => Vec::new(),
            };
        }
        KeyCode::Tab | KeyCode::Down => draft.at = (draft.at + 1) % draft.fields.len().max(1),
        KeyCode::BackTab | KeyCode::Up => {
            draft.at = draft.at.checked_sub(1).unwrap_or(draft.fields.len().saturating_sub(1));
        }
        key => {
            if let Some((_, text)) = draft.fields.get_mut(draft.at) {
                type_into(text, key);
            }
        }
    }
    state.mode = Mode::Budget(draft);
    Vec::new()
}

/// Reads `claude=300k`.
pub(super) fn parse(text: &str) -> Result<(Provider, Amount), String> {
    let wanted = || "write PROVIDER=TOKENS, such as claude=300k".to_owned();
    let (provider, tokens) = text.split_once('=').ok_or_else(wanted)?;
    let provider = provider.trim().parse().map_err(|_| wanted())?;
    let tokens = tokens.trim();
    if tokens.is_empty() {
        return Err("write how many tokens, such as 300k or 1.5M".to_owned());
    }
    Ok((provider, tokens.parse().map_err(|error| format!("{error}"))?))
}
