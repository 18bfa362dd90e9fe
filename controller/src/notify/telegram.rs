//! A Telegram bot, by its Bot API: messages with buttons, and what it is asked for when people press them.
//!
//! Invariants: text is one block of literal text (an entity `pre`), in which nothing is a link, a mention or a command; the
//! token is in no error.

use super::button::ButtonKey;
use super::letter::Letter;
use super::send::{Answer, Call, Fault, judge, put, seconds};
use super::{Words, sign};
use hudson_schema::config::WebhookUrl;
use hudson_schema::ledger::Verdict;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest message, in UTF-16 units, as Telegram counts.
const LONGEST: usize = 4096;
/// The longest answer to somebody who pressed a button, in characters.
const LONGEST_ANSWER: usize = 200;
/// How long a poll waits for something to come, in seconds.
pub const POLL: u64 = 50;

/// One chat of a bot.
pub struct Telegram {
    /// The chat that is told.
    pub chat: i64,
    /// Who may decide.
    pub approvers: Vec<i64>,
    bot: Bot,
    key: ButtonKey,
}

/// A bot: what is asked of it does not depend on the chat.
#[derive(Clone)]
pub struct Bot {
    base: WebhookUrl,
    token: SecretString,
    number: String,
}

impl Telegram {
    /// A chat of the bot with this token; why it is none otherwise.
    pub fn new(
        base: WebhookUrl,
        token: SecretString,
        chat: i64,
        approvers: Vec<i64>,
    ) -> Result<Self, &'static str> {
        let key = ButtonKey::of(&token);
        Ok(Self { chat, approvers, bot: Bot::new(base, token)?, key })
    }

    /// The bot.
    pub fn bot(&self) -> &Bot {
        &self.bot
    }

    /// What its buttons are marked with; `None` where nobody may decide.
    pub fn buttons(&self) -> Option<&ButtonKey> {
        (!self.approvers.is_empty()).then_some(&self.key)
    }

    /// What is sent for this.
    pub fn call(&self, words: &Words<'_>) -> Call {
        match words {
            Words::Say(letter) => self.bot.call("sendMessage", &self.message(letter, &[])),
            Words::Ask(letter, buttons) => self.bot.call("sendMessage", &self.message(letter, buttons)),
            Words::Change(message, letter) => {
                let mut body = self.message(letter, &[]);
                put(&mut body, "message_id", message.parse::<i64>().map_or(Value::Null, Value::from));
                put(&mut body, "reply_markup", json!({"inline_keyboard": []}));
                self.bot.call("editMessageText", &body)
            }
        }
    }

    fn message(&self, letter: &Letter, buttons: &[(Verdict, String)]) -> Value {
        let text = cut(&format!("{}\n{}", letter.title, letter.text), LONGEST);
        let mut body = json!({
            "chat_id": self.chat,
            "text": text,
            "entities": [{"type": "pre", "offset": 0, "length": text.encode_utf16().count()}],
            "link_preview_options": {"is_disabled": true},
        });
        if !buttons.is_empty() {
            let row: Vec<Value> = buttons
                .iter()
                .map(|(verdict, data)| json!({"text": super::label(*verdict), "callback_data": data}))
                .collect();
            put(&mut body, "reply_markup", json!({"inline_keyboard": [row]}));
        }
        body
    }

    /// What the answer says: the message's id, where there is a new one.
    pub fn read(&self, words: &Words<'_>, answer: &Answer) -> Result<Option<String>, Fault> {
        let told: Told<Message> = match self.bot.read(answer) {
            Ok(told) => told,
            // It says so already, or somebody has removed it.
            Err(Fault::Never(why)) if matches!(words, Words::Change(..)) && is_settled(&why) => {
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        match words {
            Words::Change(..) => Ok(None),
            _ => match told.result {
                Some(message) => Ok(Some(message.message_id.to_string())),
                None => Err(Fault::Again("answered without a message".to_owned())),
            },
        }
    }
}

/// Whether a message could not be changed because there is nothing to change.
fn is_settled(why: &str) -> bool {
    ["message is not modified", "message to edit not found", "message can't be edited"]
        .iter()
        .any(|settled| why.contains(settled))
}

impl Bot {
    fn new(base: WebhookUrl, token: SecretString) -> Result<Self, &'static str> {
        const WRONG: &str = "is no token of a bot; it looks like 123456:ABC-DEF and is from @BotFather";
        let (number, rest) = token.expose_secret().split_once(':').ok_or(WRONG)?;
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = !number.is_empty()
            && number.bytes().all(|digit| digit.is_ascii_digit())
            && !rest.is_empty()
            && rest.bytes().all(is_letter);
        match fits {
            true => Ok(Self { base, number: number.to_owned(), token }),
            false => Err(WRONG),
        }
    }

    /// What it is called in the ledger: its number, which is no secret.
    pub fn source(&self) -> String {
        format!("telegram-bot:{}", self.number)
    }

    /// What tells it from every other, and from itself with another token.
    pub fn mark(&self) -> String {
        let token = self.token.expose_secret().as_bytes();
        sign::hex("", &sign::hmac(b"hudson bot v1", &[token, self.base.text().as_bytes()]))
    }

    /// Asks for what people pressed, from `offset` on where that is known.
    pub fn poll(&self, offset: Option<i64>) -> Call {
        let mut body = json!({"timeout": POLL, "allowed_updates": ["callback_query"]});
        if let Some(offset) = offset {
            put(&mut body, "offset", offset);
        }
        self.call("getUpdates", &body)
    }

    /// What a poll brought.
    pub fn updates(&self, answer: &Answer) -> Result<Vec<Update>, Fault> {
        let told: Told<Vec<Update>> = self.read(answer)?;
        told.result.ok_or_else(|| Fault::Again("answered without updates".to_owned()))
    }

    /// Tells whoever pressed a button what became of it; as an alert where that was nothing.
    pub fn answer(&self, query: &str, text: &str, alert: bool) -> Call {
        let text: String = text.chars().take(LONGEST_ANSWER).collect();
        self.call(
            "answerCallbackQuery",
            &json!({"callback_query_id": query, "text": text, "show_alert": alert}),
        )
    }

    fn call(&self, method: &str, body: &Value) -> Call {
        Call::json(self.base.below(&format!("/bot{}/{method}", self.token.expose_secret())), body)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, answer: &Answer) -> Result<Told<T>, Fault> {
        let told: Option<Told<T>> = serde_json::from_slice(&answer.body).ok();
        let description = told.as_ref().and_then(|told| told.description.as_deref());
        let wait = told.as_ref().and_then(|told| seconds(told.parameters.as_ref()?.retry_after?));
        // Whatever it says, it does not say the token.
        let description = description.map(|text| text.replace(self.token.expose_secret(), "…"));
        judge(answer, description.as_deref(), wait)?;
        match told {
            Some(told) if told.ok => Ok(told),
            _ => Err(Fault::Again("answered what no Bot API does".to_owned())),
        }
    }
}

/// What every method answers.
#[derive(Deserialize)]
struct Told<T> {
    ok: bool,
    #[serde(default = "none")]
    result: Option<T>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<f64>,
}

#[derive(Deserialize)]
struct Message {
    message_id: i64,
}

/// Something that happened to the bot.
#[derive(Debug, Deserialize)]
pub struct Update {
    /// Its place among all of them.
    pub update_id: i64,
    /// A button that was pressed.
    pub callback_query: Option<CallbackQuery>,
}

/// A button that was pressed.
#[derive(Debug, Deserialize)]
pub struct CallbackQuery {
    /// Its id, for the answer.
    pub id: String,
    /// Who pressed it.
    pub from: User,
    /// Where it stands.
    pub message: Option<Pressed>,
    /// What it carries.
    pub data: Option<String>,
}

/// A user.
#[derive(Debug, Deserialize)]
pub struct User {
    /// Their number.
    pub id: i64,
}

/// The message of a button.
#[derive(Debug, Deserialize)]
pub struct Pressed {
    /// Its id in its chat.
    pub message_id: i64,
    /// That chat.
    pub chat: Chat,
}

/// A chat.
#[derive(Debug, Deserialize)]
pub struct Chat {
    /// Its number.
    pub id: i64,
}

/// The text, cut where it is longer than so many UTF-16 units.
fn cut(text: &str, most: usize) -> String {
    let mut units = 0;
    text.trim_end()
        .chars()
        .take_while(|letter| {
            units += letter.len_utf16();
            units <= most
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::time::Duration;

    const TOKEN: &str = "123456:tests-only_AAE";

    fn chat() -> Telegram {
        let base = WebhookUrl::base("https://api.telegram.org").unwrap();
        Telegram::new(base, TOKEN.into(), -100, vec![7]).unwrap()
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
    fn a_question_is_literal_text_with_a_row_of_buttons() {
        let buttons = [(Verdict::Approve, "a:1:m".to_owned()), (Verdict::Deny, "d:1:m".to_owned())];
        let asked = letter("what: «*x* /start @all https://evil.test»");
        let call = chat().call(&Words::Ask(&asked, &buttons));
        assert_eq!(call.url.path, format!("/bot{TOKEN}/sendMessage"));
        let text = "Hudson: approval wanted (high)\nwhat: «*x* /start @all https://evil.test»";
        assert_eq!(
            body(&call),
            json!({
                "chat_id": -100,
                "text": text,
                "entities": [{"type": "pre", "offset": 0, "length": text.chars().count()}],
                "link_preview_options": {"is_disabled": true},
                "reply_markup": {"inline_keyboard": [[
                    {"text": "Approve", "callback_data": "a:1:m"}, {"text": "Deny", "callback_data": "d:1:m"},
                ]]},
            })
        );
        let changed = body(&chat().call(&Words::Change("42", &asked)));
        assert_eq!(
            (&changed["message_id"], &changed["reply_markup"]),
            (&json!(42), &json!({"inline_keyboard": []}))
        );
        assert!(body(&chat().call(&Words::Say(&asked))).get("reply_markup").is_none());
    }

    #[test]
    fn a_text_is_as_long_as_telegram_takes_it() {
        let call = chat().call(&Words::Say(&letter(&"🔥".repeat(4_000))));
        let told = body(&call);
        let units = told["text"].as_str().unwrap().encode_utf16().count();
        assert!((4_095..=4_096).contains(&units), "{units}");
        assert_eq!(told["entities"][0]["length"], units);
    }

    #[test]
    fn what_the_bot_api_answers_is_read() {
        let (chat, asked) = (chat(), letter("x"));
        let say = Words::Say(&asked);
        let sent = r#"{"ok":true,"result":{"message_id":1337,"chat":{"id":-100,"type":"group"},"date":1,"text":"x"}}"#;
        assert_eq!(chat.read(&say, &answer(200, sent)), Ok(Some("1337".to_owned())));
        let flood = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 3","parameters":{"retry_after":3}}"#;
        let told = "answered 429: Too Many Requests: retry after 3".to_owned();
        assert_eq!(chat.read(&say, &answer(429, flood)), Err(Fault::After(Duration::from_secs(3), told)));
        let gone =
            r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was kicked from the group chat"}"#;
        let told = "answered 403: Forbidden: bot was kicked from the group chat".to_owned();
        assert_eq!(chat.read(&say, &answer(403, gone)), Err(Fault::Never(told)));
        assert!(matches!(chat.read(&say, &answer(502, "<html>")), Err(Fault::Again(_))));
        assert!(matches!(chat.read(&say, &answer(200, "{}")), Err(Fault::Again(_))));
        let echo = format!(r#"{{"ok":false,"error_code":404,"description":"no {TOKEN} here"}}"#);
        let Err(fault) = chat.read(&say, &answer(404, &echo)) else { panic!() };
        assert!(!fault.words().contains("tests-only"), "{fault:?}");

        let change = Words::Change("1", &asked);
        let same = r#"{"ok":false,"error_code":400,"description":"Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message"}"#;
        assert_eq!(chat.read(&change, &answer(400, same)), Ok(None));
        assert!(chat.read(&say, &answer(400, same)).is_err());
    }

    #[test]
    fn a_poll_asks_for_buttons_alone_and_its_updates_are_read() {
        let chat = chat();
        assert_eq!(
            body(&chat.bot().poll(Some(5))),
            json!({"timeout": 50, "allowed_updates": ["callback_query"], "offset": 5})
        );
        assert_eq!(body(&chat.bot().poll(None)).get("offset"), None);
        // The form of https://core.telegram.org/bots/api#callbackquery
        let came = r#"{"ok":true,"result":[{"update_id":9,"callback_query":{"id":"4382bfdwdsb323b2d9","from":{"id":7,
            "is_bot":false,"first_name":"A"},"message":{"message_id":42,"from":{"id":123456,"is_bot":true,"first_name":"h"},
            "chat":{"id":-100,"type":"group","title":"ops"},"date":1780000000,"text":"x"},"chat_instance":"-1","data":"a:x:m"}},
            {"update_id":10,"message":{"message_id":1}}]}"#;
        let updates = chat.bot().updates(&answer(200, came)).unwrap();
        let query = updates[0].callback_query.as_ref().unwrap();
        let message = query.message.as_ref().unwrap();
        assert_eq!((query.from.id, message.message_id, message.chat.id), (7, 42, -100));
        assert_eq!((query.data.as_deref(), updates[1].update_id), (Some("a:x:m"), 10));
        let conflict = r#"{"ok":false,"error_code":409,"description":"Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"}"#;
        assert!(
            matches!(chat.bot().updates(&answer(409, conflict)), Err(Fault::Again(why)) if why.contains("Conflict"))
        );
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        let base = || WebhookUrl::base("https://api.telegram.org").unwrap();
        for token in ["", "hunter2", "12:", ":x", "12a:x", "12:x/../y", "12:x y"] {
            let Err(error) = Telegram::new(base(), token.into(), 1, Vec::new()) else { panic!("{token}") };
            assert!(!error.contains("hunter2"));
        }
    }
}
