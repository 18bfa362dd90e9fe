//! A Slack app: its messages with buttons, and what Slack sends when people press them.
//!
//! Invariants: text is `plain_text`, in which Slack reads no markup; what an agent wrote is nowhere else. Whoever pressed
//! is told by the API, never at an address that came with the press.

use super::Words;
use super::button::ButtonKey;
use super::letter::Letter;
use super::send::{Answer, Call, Fault, judge, put};
use super::sign;
use http::header;
use hudson_schema::config::WebhookUrl;
use hudson_schema::ledger::Verdict;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest text of a section, in characters.
const LONGEST: usize = 3000;

/// One channel.
pub struct Slack {
    /// The channel that is told.
    pub channel: String,
    /// Who may decide.
    pub approvers: Vec<String>,
    base: WebhookUrl,
    token: SecretString,
    signing: Option<SecretString>,
    key: ButtonKey,
}

impl Slack {
    /// A channel of the app with this token and signing secret.
    pub fn new(
        base: WebhookUrl,
        token: SecretString,
        channel: String,
        signing: Option<SecretString>,
        approvers: Vec<String>,
    ) -> Self {
        let key = ButtonKey::of(&token);
        Self { channel, approvers, base, token, signing, key }
    }

    /// What its buttons are marked with; `None` where nobody may decide, or nobody could prove it.
    pub fn buttons(&self) -> Option<&ButtonKey> {
        (!self.approvers.is_empty() && self.signing.is_some()).then_some(&self.key)
    }

    /// What is sent for this.
    pub fn call(&self, words: &Words<'_>) -> Result<Call, Fault> {
        let (method, body) = match words {
            Words::Say(letter) => ("chat.postMessage", self.message(letter, &[])),
            Words::Ask(letter, buttons) => ("chat.postMessage", self.message(letter, buttons)),
            Words::Change(message, letter) => {
                let mut body = self.message(letter, &[]);
                if let Some((channel, ts)) = message.split_once('/') {
                    put(&mut body, "channel", channel);
                    put(&mut body, "ts", ts);
                }
                ("chat.update", body)
            }
        };
        self.api(method, &body)
    }

    /// Tells whoever pressed why nothing came of it, and nobody else.
    pub fn tell(&self, channel: &str, user: &str, text: &str) -> Result<Call, Fault> {
        let section = json!({"type": "section", "text": plain(text)});
        let body = json!({"channel": channel, "user": user, "text": "Hudson", "blocks": [section]});
        self.api("chat.postEphemeral", &body)
    }

    fn message(&self, letter: &Letter, buttons: &[(Verdict, String)]) -> Value {
        let text = format!("{}\n{}", letter.title, letter.text);
        let mut blocks = vec![json!({"type": "section", "text": plain(&text)})];
        if !buttons.is_empty() {
            let elements: Vec<Value> = buttons
                .iter()
                .map(|(verdict, data)| {
                    let style = if *verdict == Verdict::Approve { "primary" } else { "danger" };
                    json!({
                        "type": "button",
                        "action_id": format!("hudson_{verdict}"),
                        "text": plain(super::label(*verdict)),
                        "style": style,
                        "value": data,
                    })
                })
                .collect();
            blocks.push(json!({"type": "actions", "elements": elements}));
        }
        // The text beside the blocks is for previews, and Hudson's own words.
        json!({
            "channel": self.channel,
            "text": letter.title,
            "mrkdwn": false,
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
            "blocks": blocks,
        })
    }

    fn api(&self, method: &str, body: &Value) -> Result<Call, Fault> {
        Call::json(self.base.below(&format!("/api/{method}")), body)
            .secretly(header::AUTHORIZATION, &format!("Bearer {}", self.token.expose_secret()))
    }

    /// What the answer says: the message's place, where there is a new one.
    pub fn read(&self, words: &Words<'_>, answer: &Answer) -> Result<Option<String>, Fault> {
        let told: Option<Told> = serde_json::from_slice(&answer.body).ok();
        judge(answer, told.as_ref().and_then(|told| told.error.as_deref()), None)?;
        let told = told.ok_or_else(|| Fault::Again("answered what no Slack does".to_owned()))?;
        let is_change = matches!(words, Words::Change(..));
        if !told.ok {
            let error = told.error.unwrap_or_default();
            return match error.as_str() {
                // Somebody has removed it, or it says so already.
                "message_not_found" | "cant_update_message" if is_change => Ok(None),
                "ratelimited"
                | "internal_error"
                | "fatal_error"
                | "service_unavailable"
                | "request_timeout" => Err(Fault::Again(worded(&error))),
                _ => Err(Fault::Never(worded(&error))),
            };
        }
        match (told.channel, told.ts) {
            _ if is_change => Ok(None),
            (Some(channel), Some(ts)) => Ok(Some(place(&channel, &ts))),
            _ => Err(Fault::Again("answered without a message".to_owned())),
        }
    }

    /// Whether Slack has signed this for the app.
    pub fn is_signed(&self, timestamp: &str, body: &[u8], signature: &str) -> bool {
        self.signing
            .as_ref()
            .is_some_and(|secret| sign::same(&sign::slack(secret, timestamp, body), signature))
    }
}

/// A message's place, as the ledger has it.
pub fn place(channel: &str, ts: &str) -> String {
    format!("{channel}/{ts}")
}

fn worded(error: &str) -> String {
    format!("refused: {}", hudson_schema::prompt::cleaned(error, 80))
}

fn plain(text: &str) -> Value {
    let text: String = text.trim_end().chars().take(LONGEST).collect();
    json!({"type": "plain_text", "text": text, "emoji": false})
}

/// What every method answers.
#[derive(Deserialize)]
struct Told {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

/// What Slack sends when somebody pressed a button.
#[derive(Debug, Deserialize)]
pub struct Interaction {
    /// `block_actions` for a button.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub user: User,
    /// Where.
    pub container: Option<Container>,
    /// What was pressed.
    #[serde(default)]
    pub actions: Vec<Action>,
}

/// A user.
#[derive(Debug, Deserialize)]
pub struct User {
    /// Their id.
    pub id: String,
}

/// Where a button stands.
#[derive(Debug, Deserialize)]
pub struct Container {
    /// The message.
    pub message_ts: Option<String>,
    /// Its channel.
    pub channel_id: Option<String>,
}

/// A button that was pressed.
#[derive(Debug, Deserialize)]
pub struct Action {
    /// What it carries.
    pub value: Option<String>,
}

impl Interaction {
    /// Reads the form that Slack sends.
    pub fn read(body: &[u8]) -> Option<Self> {
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(body).ok()?;
        let mut payloads = fields.iter().filter(|(name, _)| name == "payload");
        match (payloads.next(), payloads.next()) {
            (Some((_, payload)), None) => serde_json::from_str(payload).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::time::Duration;

    fn channel() -> Slack {
        let base = WebhookUrl::base("https://slack.com").unwrap();
        Slack::new(
            base,
            "xoxb-tests-only".into(),
            "C123ABC456".to_owned(),
            Some("s".into()),
            vec!["U1".to_owned()],
        )
    }

    fn letter(text: &str) -> Letter {
        Letter { title: "Hudson: approval wanted (high)".to_owned(), text: text.to_owned() }
    }

    fn body(call: &Call) -> Value {
        serde_json::from_slice(&call.body).unwrap()
    }

    fn answer(status: u16, retry_after: Option<u64>, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, retry_after: retry_after.map(Duration::from_secs), body: body.to_owned().into() }
    }

    #[test]
    fn a_question_is_plain_text_and_agents_words_are_nowhere_else() {
        let buttons = [(Verdict::Approve, "a:1:m".to_owned()), (Verdict::Deny, "d:1:m".to_owned())];
        let asked = letter("what: «<!channel> <https://evil.test|Approve> *x*»");
        let call = channel().call(&Words::Ask(&asked, &buttons)).unwrap();
        assert_eq!(call.url.path, "/api/chat.postMessage");
        let told = body(&call);
        assert_eq!(told["text"], "Hudson: approval wanted (high)");
        assert_eq!(
            (&told["mrkdwn"], &told["parse"], &told["unfurl_links"]),
            (&json!(false), &json!("none"), &json!(false))
        );
        let button = |verdict: &str, label: &str, style: &str, data: &str| {
            json!({"type": "button", "action_id": format!("hudson_{verdict}"), "style": style, "value": data,
                   "text": {"type": "plain_text", "text": label, "emoji": false}})
        };
        let text = "Hudson: approval wanted (high)\nwhat: «<!channel> <https://evil.test|Approve> *x*»";
        assert_eq!(
            told["blocks"],
            json!([
                {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": false}},
                {"type": "actions", "elements": [
                    button("approve", "Approve", "primary", "a:1:m"), button("deny", "Deny", "danger", "d:1:m"),
                ]},
            ])
        );
        let changed = channel().call(&Words::Change("C9/1503435956.000247", &asked)).unwrap();
        assert_eq!(changed.url.path, "/api/chat.update");
        let told = body(&changed);
        assert_eq!((&told["channel"], &told["ts"]), (&json!("C9"), &json!("1503435956.000247")));
        assert_eq!(told["blocks"].as_array().unwrap().len(), 1, "no buttons");
    }

    #[test]
    fn what_slack_answers_is_read() {
        let (channel, asked) = (channel(), letter("x"));
        let say = Words::Say(&asked);
        let sent = r#"{"ok":true,"channel":"C123ABC456","ts":"1503435956.000247","message":{"text":"x"}}"#;
        assert_eq!(
            channel.read(&say, &answer(200, None, sent)),
            Ok(Some("C123ABC456/1503435956.000247".to_owned()))
        );
        let gone = r#"{"ok":false,"error":"channel_not_found"}"#;
        assert_eq!(
            channel.read(&say, &answer(200, None, gone)),
            Err(Fault::Never("refused: channel_not_found".to_owned()))
        );
        let busy = r#"{"ok":false,"error":"ratelimited"}"#;
        let told = "answered 429: ratelimited".to_owned();
        assert_eq!(
            channel.read(&say, &answer(429, Some(30), busy)),
            Err(Fault::After(Duration::from_secs(30), told))
        );
        assert!(matches!(channel.read(&say, &answer(200, None, busy)), Err(Fault::Again(_))));
        let removed = r#"{"ok":false,"error":"message_not_found"}"#;
        assert_eq!(channel.read(&Words::Change("C/1", &asked), &answer(200, None, removed)), Ok(None));
        assert!(matches!(channel.read(&say, &answer(200, None, "<html>")), Err(Fault::Again(_))));
    }

    #[test]
    fn a_press_is_read_from_slacks_form() {
        // The form of https://api.slack.com/reference/interaction-payloads/block-actions
        let payload = r#"{"type":"block_actions","team":{"id":"T9TK3CUKW","domain":"example"},"user":{"id":"UA8RXUSPL","username":"j",
            "team_id":"T9TK3CUKW"},"api_app_id":"AABA1ABCD","token":"x","container":{"type":"message","message_ts":"1548261231.000200",
            "channel_id":"CBR2V3XEX","is_ephemeral":false},"channel":{"id":"CBR2V3XEX","name":"r"},"response_url":"https://evil.test/",
            "actions":[{"action_id":"hudson_approve","block_id":"=qXel","text":{"type":"plain_text","text":"Approve"},"value":"a:x:m",
            "type":"button","action_ts":"1548426417.840180"}]}"#;
        let form = serde_urlencoded::to_string([("payload", payload)]).unwrap();
        let read = Interaction::read(form.as_bytes()).unwrap();
        assert_eq!((read.kind.as_str(), read.user.id.as_str()), ("block_actions", "UA8RXUSPL"));
        let container = read.container.unwrap();
        assert_eq!(container.channel_id.as_deref(), Some("CBR2V3XEX"));
        assert_eq!(container.message_ts.as_deref(), Some("1548261231.000200"));
        assert_eq!(read.actions[0].value.as_deref(), Some("a:x:m"));
        for wrong in ["", "payload=", "payload=%7B", "x=1", &format!("{form}&{form}"), "payload=%ff"] {
            assert!(Interaction::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
