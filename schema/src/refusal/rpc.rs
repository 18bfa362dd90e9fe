//! A refusal as JSON-RPC 2.0: what an MCP client reads. A call that is refused is answered, with its own id, in a response
//! of HTTP that is a success, since nothing is wrong with the transport; each client raises the error of its call.
//!
//! Sources: JSON-RPC 2.0 section 5; MCP specification, "Transports" and its allocation of error codes (−32000 to −32019
//! are an implementation's own); mcp (PyPI) `client/streamable_http.py`. −32001 is taken by the SDKs for their own
//! time-outs, which a host may try again.

use super::{Refusal, RefusalCode};
use serde_json::{Map, Value, json};

/// A person has to decide, or has decided.
const APPROVAL: i32 = -32003;
/// It is not allowed, whoever asks.
const POLICY: i32 = -32004;
/// Not a message that can be read (JSON-RPC 2.0 section 5.1).
const INVALID: i32 = -32600;

/// What of a message a refusal answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RpcCalls {
    /// Whether they came in an array, and are answered in one.
    pub batch: bool,
    /// Those that want an answer. Where there are none, nobody can be answered but by HTTP itself.
    pub calls: Vec<RpcCall>,
    /// Whether they are answered on a stream of their own, so that this answer only says that they came (MCP's older
    /// transport).
    pub on_stream: bool,
}

/// One call that a refusal answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RpcCall {
    /// Its id, as JSON.
    pub id: Value,
    /// The tool it calls, where it does.
    pub tool: Option<String>,
}

impl RpcCalls {
    /// The status of the answer, where it is not the refusal's own.
    pub(super) fn status(&self) -> Option<u16> {
        match self.on_stream {
            true => Some(202),
            false => (!self.calls.is_empty()).then_some(200),
        }
    }

    /// The body of the answer.
    pub(super) fn body(&self, refusal: &Refusal) -> String {
        if self.on_stream {
            return String::new();
        }
        let answer = match (self.calls.as_slice(), self.batch) {
            ([], _) => message(refusal, &Value::Null, None),
            ([call], false) => call.message(refusal),
            (calls, _) => calls.iter().map(|call| call.message(refusal)).collect(),
        };
        format!("{answer}\n")
    }
}

impl RpcCall {
    /// The refusal as the answer to this call alone.
    pub fn message(&self, refusal: &Refusal) -> Value {
        message(refusal, &self.id, self.tool.as_deref())
    }
}

fn message(refusal: &Refusal, id: &Value, tool: Option<&str>) -> Value {
    let (code, word) = kind(refusal.code);
    let text = format!("[{word}] {}", refusal.text());
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text, "data": data(refusal, tool)}})
}

/// What a client's user may be shown, and what an agent goes on with.
fn data(refusal: &Refusal, tool: Option<&str>) -> Value {
    let mut data = Map::new();
    if let Some(approval) = &refusal.approval
        && let Ok(Value::Object(facts)) = serde_json::to_value(approval)
    {
        data.extend(facts);
    }
    data.insert("refusal".to_owned(), json!(refusal.code.name()));
    data.extend(tool.map(|tool| ("tool".to_owned(), json!(tool))));
    let retryable =
        refusal.retry_after.is_some() || refusal.approval.as_ref().is_some_and(|facts| facts.retryable);
    data.insert("retryable".to_owned(), json!(retryable));
    data.extend(refusal.retry_after.map(|seconds| ("retry_after".to_owned(), json!(seconds))));
    data.insert("agent".to_owned(), json!(refusal.code.agent()));
    data.insert("operator".to_owned(), json!(refusal.code.operator()));
    Value::Object(data)
}

fn kind(code: RefusalCode) -> (i32, &'static str) {
    match code {
        RefusalCode::ApprovalRequired => (APPROVAL, "APPROVAL REQUIRED"),
        RefusalCode::ApprovalDenied => (APPROVAL, "APPROVAL DENIED"),
        RefusalCode::ApprovalExpired => (APPROVAL, "APPROVAL EXPIRED"),
        RefusalCode::ApprovalUnavailable => (APPROVAL, "APPROVAL UNAVAILABLE"),
        RefusalCode::MalformedRequest | RefusalCode::BodyTooLarge | RefusalCode::BodyUnreadable => {
            (INVALID, "INVALID REQUEST")
        }
        RefusalCode::UpstreamUnreachable | RefusalCode::UpstreamTimeout | RefusalCode::UpstreamTls => {
            (POLICY, "NOT REACHED")
        }
        _ => (POLICY, "POLICY DENIED"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ApprovalFacts;
    use super::*;

    fn refusal() -> Refusal {
        Refusal::new(RefusalCode::ApprovalRequired, "pay needs a person")
            .with_approval(ApprovalFacts {
                approval_id: "apr_1".to_owned(),
                action: "transfer_funds".to_owned(),
                tier: 3,
                rule: Some("pay".to_owned()),
                digest: "01234567".to_owned(),
                expires_at: "2026-11-29T20:00:00Z".to_owned(),
                retryable: true,
                human_instructions: "hudson approvals approve apr_1".to_owned(),
            })
            .with_retry_after(15)
    }

    fn call(id: Value) -> RpcCall {
        RpcCall { id, tool: Some("pay".to_owned()) }
    }

    #[test]
    fn a_call_is_answered_by_its_own_id_with_what_a_person_has_to_do() {
        let refusal =
            refusal().with_calls(RpcCalls { calls: vec![call(json!("a-1"))], ..RpcCalls::default() });
        let answer = refusal.response(None);
        assert_eq!(answer.status, 200);
        for header in [
            ("content-type", "application/json"),
            ("x-hudson-refusal", "approval_required"),
            ("x-hudson-approval-id", "apr_1"),
        ] {
            assert!(answer.headers.contains(&(header.0, header.1.to_owned())), "{:?}", answer.headers);
        }
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&body["jsonrpc"], &body["id"]), (&json!("2.0"), &json!("a-1")));
        assert_eq!(body["error"]["code"], -32003);
        assert!(
            body["error"]["message"].as_str().unwrap().starts_with("[APPROVAL REQUIRED] pay needs a person")
        );
        let data = &body["error"]["data"];
        for (key, value) in [
            ("approval_id", json!("apr_1")),
            ("tool", json!("pay")),
            ("expires_at", json!("2026-11-29T20:00:00Z")),
            ("retryable", json!(true)),
            ("human_instructions", json!("hudson approvals approve apr_1")),
            ("refusal", json!("approval_required")),
        ] {
            assert_eq!(data[key], value, "{key}");
        }
    }

    #[test]
    fn a_batch_is_answered_in_one_and_each_of_its_calls() {
        let calls = vec![call(json!(1)), call(json!("1"))];
        let answer = refusal().with_calls(RpcCalls { batch: true, calls, on_stream: false }).response(None);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&body[0]["id"], &body[1]["id"]), (&json!(1), &json!("1")));
        let one = RpcCalls { batch: true, calls: vec![call(json!(7))], on_stream: false };
        let body: Value = serde_json::from_str(&refusal().with_calls(one).response(None).body).unwrap();
        assert_eq!(body[0]["id"], 7);
    }

    #[test]
    fn what_is_answered_elsewhere_is_only_said_to_have_come() {
        let calls = vec![call(json!(1))];
        let answer = refusal().with_calls(RpcCalls { batch: false, calls, on_stream: true }).response(None);
        assert_eq!((answer.status, answer.body.as_str()), (202, ""));
        assert!(answer.headers.contains(&("x-hudson-refusal", "approval_required".to_owned())));
    }

    #[test]
    fn nobody_in_particular_is_answered_by_the_status_and_the_same_words() {
        for code in RefusalCode::ALL {
            let answer = Refusal::new(code, "no").with_calls(RpcCalls::default()).response(None);
            assert_eq!(answer.status, code.status(None));
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body["id"], Value::Null);
            assert_eq!(body["error"]["data"]["refusal"], code.name());
            let number = body["error"]["code"].as_i64().unwrap();
            assert!(number == -32600 || (-32019..=-32003).contains(&number), "{number}");
        }
    }
}
