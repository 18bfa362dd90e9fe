//! Ollama's own API. Source: ollama `api/types.go` (`GenerateRequest`, `ChatRequest`, `Options`) and `docs/api.md`.

use super::{Draft, RequestError, Scalar, text};
use std::ops::Range;

pub(super) fn scalar(
    draft: &mut Draft,
    path: &[&str],
    value: Scalar<'_>,
    span: Range<usize>,
) -> Result<(), RequestError> {
    match path {
        ["options", "num_predict"] => draft.cap("options.num_predict", value, span)?,
        // A template may repeat the prompt as often as it likes.
        ["template"] if text("template", value)?.is_some_and(|text| !text.is_empty()) => {
            draft.unseen("template")
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn open(draft: &mut Draft, path: &[&str]) -> Result<(), RequestError> {
    if let ["messages" | "prompt"] = path {
        draft.has_prompt = true;
    }
    Ok(())
}
