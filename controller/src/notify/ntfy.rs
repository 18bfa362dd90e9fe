//! A topic of an ntfy server. Its buttons are calls that the phone itself makes, to a URL that Hudson has signed.
//!
//! Invariant: a URL is for one verdict on one approval as it was shown, and good for nothing once that is decided or over.
//! Whoever reads the topic can use it: the topic is the identity.

use super::Words;
use super::button::ButtonKey;
use super::letter::Letter;
use super::send::{Answer, Call, Fault, judge, put};
use http::header;
use hudson_schema::config::WebhookUrl;
use hudson_schema::ledger::Verdict;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest message, in bytes; what is longer becomes a file.
const LONGEST: usize = 4000;

/// One topic.
pub struct Ntfy {
    topic: String,
    base: WebhookUrl,
    token: Option<SecretString>,
    /// What the buttons are marked with, and where they lead; none where nobody may decide.
    buttons: Option<(ButtonKey, WebhookUrl)>,
}

impl Ntfy {
    /// A topic; with a secret for the buttons and the URL by which phones reach Hudson there are buttons.
    pub fn new(
        base: WebhookUrl,
        topic: String,
        token: Option<SecretString>,
        buttons: Option<(SecretString, WebhookUrl)>,
    ) -> Self {
        let buttons = buttons.map(|(secret, url)| (ButtonKey::of(&secret), url));
        Self { topic, base, token, buttons }
    }

    /// What its buttons are marked with; `None` where nobody may decide.
    pub fn buttons(&self) -> Option<&ButtonKey> {
        self.buttons.as_ref().map(|(key, _)| key)
    }

    /// What is sent for this.
    pub fn call(&self, words: &Words<'_>) -> Result<Call, Fault> {
        let mut body = match words {
            Words::Say(letter) => self.message(letter, 3),
            Words::Ask(letter, _) => self.message(letter, 4),
            // Servers from 2.16 on put it in the place of the first; others show one more.
            Words::Change(sequence, letter) => {
                let mut body = self.message(letter, 2);
                put(&mut body, "sequence_id", *sequence);
                body
            }
        };
        if let (Words::Ask(_, buttons), Some((_, url))) = (words, &self.buttons) {
            let actions: Vec<Value> = buttons
                .iter()
                .map(|(verdict, data)| {
                    json!({
                        "action": "http",
                        "label": super::label(*verdict),
                        "url": url.below(&format!("/ntfy/{data}")).text(),
                        "method": "POST",
                        "clear": true,
                    })
                })
                .collect();
            put(&mut body, "actions", actions);
        }
        let call = Call::json(self.base.below("/"), &body);
        match &self.token {
            Some(token) => call.secretly(header::AUTHORIZATION, &format!("Bearer {}", token.expose_secret())),
            None => Ok(call),
        }
    }

    fn message(&self, letter: &Letter, priority: u8) -> Value {
        let mut text = letter.text.trim_end();
        while text.len() > LONGEST {
            text = text
                .char_indices()
                .next_back()
                .map_or("", |(place, _)| text.get(..place).unwrap_or_default());
        }
        json!({"topic": self.topic, "title": letter.title, "message": text, "priority": priority})
    }

    /// What the answer says: the message's id, where there is a new one.
    pub fn read(&self, words: &Words<'_>, answer: &Answer) -> Result<Option<String>, Fault> {
        let told: Told = serde_json::from_slice(&answer.body).unwrap_or_default();
        judge(answer, told.error.as_deref(), None)?;
        match told.id {
            _ if matches!(words, Words::Change(..)) => Ok(None),
            Some(id) if (1..=64).contains(&id.len()) => Ok(Some(id)),
            _ => Err(Fault::Again("answered without a message".to_owned())),
        }
    }
}

/// What the server answers: the message, or what is wrong.
#[derive(Default, Deserialize)]
struct Told {
    id: Option<String>,
    error: Option<String>,
}

/// The labels of its buttons, for the words of one.
pub fn done(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approved",
        Verdict::Deny => "denied",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn topic() -> Ntfy {
        let url = |text| WebhookUrl::base(text).unwrap();
        let buttons = ("secret".into(), url("https://hudson.example.com/h/"));
        Ntfy::new(url("https://ntfy.sh"), "ops".to_owned(), Some("tk_tests_only".into()), Some(buttons))
    }

    fn letter(text: &str) -> Letter {
        Letter { title: "Hudson: approval wanted (high)".to_owned(), text: text.to_owned() }
    }

    fn body(call: &Call) -> Value {
        serde_json::from_slice(&call.body).unwrap()
    }

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, retry_after: None, body: body.to_owned().into() }
    }

    #[test]
    fn each_button_is_a_post_to_hudson_itself() {
        let buttons = [(Verdict::Approve, "a:1:m".to_owned()), (Verdict::Deny, "d:1:m".to_owned())];
        let call = topic().call(&Words::Ask(&letter("what: x"), &buttons)).unwrap();
        assert_eq!((call.url.path.as_str(), call.headers.len()), ("/", 1));
        let action = |label: &str, data: &str| {
            json!({"action": "http", "label": label, "method": "POST", "clear": true,
                   "url": format!("https://hudson.example.com/h/ntfy/{data}")})
        };
        assert_eq!(
            body(&call),
            json!({"topic": "ops", "title": "Hudson: approval wanted (high)", "message": "what: x", "priority": 4,
                   "actions": [action("Approve", "a:1:m"), action("Deny", "d:1:m")]})
        );
        let changed = body(&topic().call(&Words::Change("xE73Iyuabi", &letter("x"))).unwrap());
        assert_eq!((&changed["sequence_id"], changed.get("actions")), (&json!("xE73Iyuabi"), None));
    }

    #[test]
    fn a_message_stays_a_message() {
        let long = body(&topic().call(&Words::Say(&letter(&"€".repeat(9_000)))).unwrap());
        let bytes = long["message"].as_str().unwrap().len();
        assert!((3_998..=LONGEST).contains(&bytes), "{bytes}");
    }

    #[test]
    fn what_ntfy_answers_is_read() {
        let asked = letter("x");
        let say = Words::Say(&asked);
        let sent = r#"{"id":"xE73Iyuabi","time":1673542291,"expires":1673585491,"event":"message","topic":"ops","message":"x"}"#;
        assert_eq!(topic().read(&say, &answer(200, sent)), Ok(Some("xE73Iyuabi".to_owned())));
        let flood = r#"{"code":42901,"http":429,"error":"limit reached: too many requests; please be nice","link":"https://ntfy.sh/docs/publish/#limitations"}"#;
        assert!(
            matches!(topic().read(&say, &answer(429, flood)), Err(Fault::Again(why)) if why.contains("limit reached"))
        );
        let closed = r#"{"code":40301,"http":403,"error":"forbidden"}"#;
        assert_eq!(
            topic().read(&say, &answer(403, closed)),
            Err(Fault::Never("answered 403: forbidden".to_owned()))
        );
    }
}
