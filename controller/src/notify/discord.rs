//! A Discord application: its bot's messages with buttons, and the interactions that Discord sends when people press them.
//!
//! Invariants: text is one block of code, which nothing in it ends, and nobody is mentioned; an interaction counts only
//! with the application's signature over it and its time.

use super::Words;
use super::button::ButtonKey;
use super::letter::Letter;
use super::send::{Answer, Call, Fault, judge, seconds};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use http::{Method, header};
use hudson_schema::config::WebhookUrl;
use hudson_schema::ledger::Verdict;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest message, in characters.
const LONGEST: usize = 2000;
/// Shown to whoever pressed alone.
const EPHEMERAL: u64 = 1 << 6;
/// No previews of links.
const SUPPRESS_EMBEDS: u64 = 1 << 2;

/// One channel.
pub struct Discord {
    /// The channel that is told.
    pub channel: u64,
    /// Who may decide.
    pub approvers: Vec<u64>,
    base: WebhookUrl,
    token: SecretString,
    public_key: Option<[u8; 32]>,
    key: ButtonKey,
}

impl Discord {
    /// A channel of the application with this bot and public key.
    pub fn new(
        base: WebhookUrl,
        token: SecretString,
        channel: u64,
        public_key: Option<&str>,
        approvers: Vec<u64>,
    ) -> Self {
        let key = ButtonKey::of(&token);
        let public_key = public_key.and_then(unhex).and_then(|bytes| bytes.try_into().ok());
        Self { channel, approvers, base, token, public_key, key }
    }

    /// What its buttons are marked with; `None` where nobody may decide, or nobody could prove it.
    pub fn buttons(&self) -> Option<&ButtonKey> {
        (!self.approvers.is_empty() && self.public_key.is_some()).then_some(&self.key)
    }

    /// What is sent for this.
    pub fn call(&self, words: &Words<'_>) -> Result<Call, Fault> {
        let messages = format!("/api/v10/channels/{}/messages", self.channel);
        let call = match words {
            Words::Say(letter) => Call::json(self.base.below(&messages), &message(letter, &[])),
            Words::Ask(letter, buttons) => Call::json(self.base.below(&messages), &message(letter, buttons)),
            Words::Change(id, letter) => {
                let url = self.base.below(&format!("{messages}/{id}"));
                Call { method: Method::PATCH, ..Call::json(url, &message(letter, &[])) }
            }
        };
        call.secretly(header::AUTHORIZATION, &format!("Bot {}", self.token.expose_secret()))
    }

    /// What the answer says: the message's id, where there is a new one.
    pub fn read(&self, words: &Words<'_>, answer: &Answer) -> Result<Option<String>, Fault> {
        let told: Told = serde_json::from_slice(&answer.body).unwrap_or_default();
        let wait = told.retry_after.and_then(seconds);
        let is_change = matches!(words, Words::Change(..));
        match judge(answer, told.message.as_deref(), wait) {
            // Somebody has removed it.
            Err(_) if is_change && answer.status == http::StatusCode::NOT_FOUND => Ok(None),
            Err(fault) => Err(fault),
            Ok(()) if is_change => Ok(None),
            Ok(()) => match told.id.filter(|id| is_snowflake(id)) {
                Some(id) => Ok(Some(id)),
                None => Err(Fault::Again("answered without a message".to_owned())),
            },
        }
    }

    /// Whether Discord has signed this for the application.
    pub fn is_signed(&self, timestamp: &str, body: &[u8], signature: &str) -> bool {
        let (Some(key), Some(signature)) = (self.public_key, unhex(signature)) else { return false };
        let signed = [timestamp.as_bytes(), body].concat();
        UnparsedPublicKey::new(&ED25519, key).verify(&signed, &signature).is_ok()
    }
}

/// A message as it is sent, and as it takes another's place.
fn message(letter: &Letter, buttons: &[(Verdict, String)]) -> Value {
    let row: Vec<Value> = buttons
        .iter()
        .map(|(verdict, data)| {
            let style = if *verdict == Verdict::Approve { 3 } else { 4 };
            json!({"type": 2, "style": style, "label": super::label(*verdict), "custom_id": data})
        })
        .collect();
    let components = if row.is_empty() { json!([]) } else { json!([{"type": 1, "components": row}]) };
    json!({
        "content": content(letter),
        "allowed_mentions": {"parse": []},
        "components": components,
        "flags": SUPPRESS_EMBEDS,
    })
}

fn content(letter: &Letter) -> String {
    let literal = format!("{}\n{}", letter.title, letter.text).replace('`', "'");
    let inside: String = literal.trim_end().chars().take(LONGEST - 8).collect();
    format!("```\n{inside}\n```")
}

/// The answer to a PING.
pub fn pong() -> Value {
    json!({"type": 1})
}

/// The answer that changes the message.
pub fn changes(letter: &Letter) -> Value {
    let mut data = message(letter, &[]);
    if let Some(data) = data.as_object_mut() {
        data.remove("flags");
    }
    json!({"type": 7, "data": data})
}

/// The answer that only whoever pressed sees.
pub fn tells(text: &str) -> Value {
    json!({"type": 4, "data": {"content": text, "flags": EPHEMERAL, "allowed_mentions": {"parse": []}}})
}

/// Something that people did.
#[derive(Debug, Deserialize)]
pub struct Interaction {
    /// Its id.
    pub id: String,
    /// 1 is a PING, 3 a button.
    #[serde(rename = "type")]
    pub kind: u64,
    /// Where.
    pub channel_id: Option<String>,
    /// The message of the button.
    pub message: Option<Message>,
    /// What it carries.
    pub data: Option<Data>,
    member: Option<Member>,
    user: Option<User>,
}

impl Interaction {
    /// Who did it, in a server or in a direct message.
    pub fn user(&self) -> Option<&str> {
        let user = self.member.as_ref().map(|member| &member.user).or(self.user.as_ref());
        user.map(|user| user.id.as_str()).filter(|id| is_snowflake(id))
    }
}

/// The message of a button.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: String,
}

/// What a button carries.
#[derive(Debug, Deserialize)]
pub struct Data {
    /// That.
    pub custom_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Member {
    user: User,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
}

/// What the API answers: a message, or what is wrong.
#[derive(Default, Deserialize)]
struct Told {
    id: Option<String>,
    message: Option<String>,
    retry_after: Option<f64>,
}

fn is_snowflake(id: &str) -> bool {
    (1..=20).contains(&id.len()) && id.bytes().all(|digit| digit.is_ascii_digit())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() || text.len() > 256 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::time::Duration;

    /// RFC 8032, section 7.1, test 2 and 3.
    const KEY_2: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE_2: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                               085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    const KEY_3: &str = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    const SIGNATURE_3: &str = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                               18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";

    fn channel(key: &str) -> Discord {
        let base = WebhookUrl::base("https://discord.com").unwrap();
        Discord::new(base, "tests-only".into(), 1099511627776000001, Some(key), vec![5])
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
    fn a_signature_is_checked_as_rfc_8032_has_it() {
        // What is signed is the timestamp and the body, one after the other: 72, and af 82.
        assert!(channel(KEY_2).is_signed("r", b"", SIGNATURE_2));
        assert!(channel(KEY_2).is_signed("", b"r", SIGNATURE_2));
        assert!(channel(KEY_3).is_signed("", &[0xaf, 0x82], SIGNATURE_3));
        assert!(!channel(KEY_2).is_signed("s", b"", SIGNATURE_2));
        assert!(!channel(KEY_3).is_signed("r", b"", SIGNATURE_2));
        for wrong in
            ["", "00", &SIGNATURE_2[..126], &SIGNATURE_2.replace('9', "8"), "zz", "é", &"0".repeat(999)]
        {
            assert!(!channel(KEY_2).is_signed("r", b"", wrong), "{wrong}");
        }
        assert!(!channel("").is_signed("r", b"", SIGNATURE_2), "without a key nothing is signed");
        assert!(channel("").buttons().is_none());
    }

    #[test]
    fn a_question_is_a_block_of_code_that_nothing_in_it_ends() {
        let buttons = [(Verdict::Approve, "a:1:m".to_owned()), (Verdict::Deny, "d:1:m".to_owned())];
        let asked = letter("what: «``` @everyone <@5> [Approve](https://evil.test)»");
        let call = channel(KEY_2).call(&Words::Ask(&asked, &buttons)).unwrap();
        assert_eq!(call.url.path, "/api/v10/channels/1099511627776000001/messages");
        assert!(
            call.headers.iter().any(|(name, value)| *name == header::AUTHORIZATION && value.is_sensitive())
        );
        assert_eq!(
            body(&call),
            json!({
                "content": "```\nHudson: approval wanted (high)\nwhat: «''' @everyone <@5> [Approve](https://evil.test)»\n```",
                "allowed_mentions": {"parse": []},
                "components": [{"type": 1, "components": [
                    {"type": 2, "style": 3, "label": "Approve", "custom_id": "a:1:m"},
                    {"type": 2, "style": 4, "label": "Deny", "custom_id": "d:1:m"},
                ]}],
                "flags": 4,
            })
        );
        let changed = channel(KEY_2).call(&Words::Change("77", &asked)).unwrap();
        assert_eq!(
            (changed.method.as_str(), changed.url.path.as_str()),
            ("PATCH", "/api/v10/channels/1099511627776000001/messages/77")
        );
        assert_eq!(body(&changed)["components"], json!([]));
        let long = body(&channel(KEY_2).call(&Words::Say(&letter(&"x".repeat(9_000)))).unwrap());
        assert_eq!(long["content"].as_str().unwrap().chars().count(), LONGEST);
    }

    #[test]
    fn what_discord_answers_is_read() {
        let (channel, asked) = (channel(KEY_2), letter("x"));
        let say = Words::Say(&asked);
        let sent =
            r#"{"id":"1162","type":0,"content":"x","channel_id":"1099511627776000001","components":[]}"#;
        assert_eq!(channel.read(&say, &answer(200, sent)), Ok(Some("1162".to_owned())));
        // https://discord.com/developers/docs/topics/rate-limits
        let flood = r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#;
        let told = "answered 429: You are being rate limited.".to_owned();
        assert_eq!(
            channel.read(&say, &answer(429, flood)),
            Err(Fault::After(Duration::from_millis(64_570), told))
        );
        let gone = r#"{"message":"Unknown Channel","code":10003}"#;
        assert_eq!(
            channel.read(&say, &answer(404, gone)),
            Err(Fault::Never("answered 404: Unknown Channel".to_owned()))
        );
        let removed = r#"{"message":"Unknown Message","code":10008}"#;
        assert_eq!(channel.read(&Words::Change("1", &asked), &answer(404, removed)), Ok(None));
        let odd = r#"{"id":"../../webhooks"}"#;
        assert!(matches!(channel.read(&say, &answer(200, odd)), Err(Fault::Again(_))));
    }

    #[test]
    fn an_interaction_says_who_and_what() {
        // The form of https://discord.com/developers/docs/interactions/receiving-and-responding
        let server = r#"{"version":1,"type":3,"token":"t","message":{"id":"1162","type":0},"member":{"user":{"id":"53908232506183680",
            "username":"m"},"roles":[]},"id":"846462639134605312","guild_id":"290926798626357999","data":{"custom_id":"a:x:m",
            "component_type":2},"channel_id":"345626669114982999","application_id":"290926444748734465"}"#;
        let read: Interaction = serde_json::from_str(server).unwrap();
        assert_eq!((read.kind, read.user()), (3, Some("53908232506183680")));
        let direct: Interaction =
            serde_json::from_str(r#"{"id":"1","type":3,"user":{"id":"5"},"channel_id":"9"}"#).unwrap();
        assert_eq!(direct.user(), Some("5"));
        let odd: Interaction = serde_json::from_str(r#"{"id":"1","type":3,"user":{"id":"5\n"}}"#).unwrap();
        assert_eq!(odd.user(), None);
    }
}
