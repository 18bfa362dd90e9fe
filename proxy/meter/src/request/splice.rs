//! Changes to a body by cutting and joining bytes, so that nothing else moves.
//!
//! Invariant: outside the spans of the changed values and the members put in, the result is the input byte for byte; a
//! body is never parsed and written again (key order, number spelling and white space feed the provider's cache and
//! signatures).

use super::cap;
use super::dialect::Dialect;
use super::estimate::Estimate;
use super::facts::{self, Cap, Draft, Slot};
use super::form;
use super::{RequestError, RequestFacts, RequestHead, Rewrite};
use crate::catalogue;
use std::ops::Range;

/// The largest cap that Realtime takes (openai-python `types/realtime/realtime_response_create_params_param.py`).
const MAX_REALTIME_CAP: u64 = 4_096;

/// One cut: the bytes of `span` become `text`.
struct Edit {
    span: Range<usize>,
    text: String,
}

pub(super) fn rewrite(
    head: &RequestHead<'_>,
    facts: &RequestFacts,
    body: &[u8],
    change: &Rewrite,
) -> Result<Vec<u8>, RequestError> {
    let host = head.host;
    if change.output_cap.is_some() && !facts.cap_supported {
        return Err(RequestError::CapNotSupported);
    }
    if form::is_form(head) {
        return Ok(body.to_vec());
    }
    let draft = facts::collect(Estimate::none(Dialect::of(head)), body)?;
    let mut edits = Vec::new();
    if let Some(cap) = change.output_cap {
        let target = cap::Target { model: facts.model.as_deref(), host, models: head.models };
        set_cap(&draft, target, cap, &mut edits);
    }
    if change.include_usage && facts.stream && facts.include_usage_supported && !tells_unasked(host) {
        set_include_usage(&draft, &mut edits);
    }
    Ok(apply(body, edits))
}

fn set_cap(draft: &Draft, target: cap::Target<'_>, cap: u64, edits: &mut Vec<Edit>) {
    let places = &draft.places;
    let Some(home) = cap::home(draft, target) else { return };
    // Elsewhere a cap of 0 is none at all.
    let cap = match draft.dialect {
        // A larger one is refused.
        Dialect::Realtime => cap.clamp(1, MAX_REALTIME_CAP),
        dialect if dialect.takes_zero() => cap,
        _ => cap.max(1),
    };
    for Cap { span, tokens, .. } in &places.caps {
        if tokens.is_none_or(|old| old > cap) {
            edits.push(Edit { span: span.clone(), text: cap.to_string() });
        }
    }
    if places.caps.iter().any(|cap| home.holds(cap)) {
        return;
    }
    // A cap stands under a name that this host may not know: the client's wish, under the name that counts.
    let cap = places.caps.iter().filter_map(|cap| cap.tokens).max().map_or(cap, |asked| asked.min(cap));
    let (object, name) = home.spelled;
    let own = format!("\"{name}\":{cap}");
    let config = home.parent.map(|parent| places.configs.iter().find(|(name, _)| *name == parent));
    edits.push(match config {
        None => member(&places.base, &own),
        Some(Some((_, config))) => member(config, &own),
        Some(None) => member(&places.base, &format!("\"{object}\":{{{own}}}")),
    });
}

/// Hosts that state usage in every stream, never saw `stream_options` in a recording and may refuse a field they do not
/// know.
fn tells_unasked(host: &str) -> bool {
    let host = catalogue::bare(host);
    ["mistral.ai", "perplexity.ai"].iter().any(|name| host == *name || host.ends_with(&format!(".{name}")))
}

fn set_include_usage(draft: &Draft, edits: &mut Vec<Edit>) {
    let places = &draft.places;
    match (&places.include_usage, &places.stream_options) {
        (Some(_), _) if draft.facts.include_usage == Some(true) => {}
        (Some(span), _) => edits.push(Edit { span: span.clone(), text: "true".to_owned() }),
        (None, Some(options)) => edits.push(member(options, "\"include_usage\":true")),
        (None, None) => edits.push(member(&places.base, "\"stream_options\":{\"include_usage\":true}")),
    }
}

/// Puts a member in front of an object's first one, or makes a `null` an object.
fn member(slot: &Slot, text: &str) -> Edit {
    if slot.null {
        return Edit { span: slot.span.clone(), text: format!("{{{text}}}") };
    }
    let at = slot.span.start + 1;
    let comma = if slot.empty { "" } else { "," };
    Edit { span: at..at, text: format!("{text}{comma}") }
}

fn apply(body: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| edit.span.start);
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut at = 0;
    for edit in &edits {
        out.extend_from_slice(body.get(at..edit.span.start).unwrap_or_default());
        out.extend_from_slice(edit.text.as_bytes());
        at = edit.span.end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out
}
