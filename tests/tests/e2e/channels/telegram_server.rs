//! A server that follows the Bot API (https://core.telegram.org/bots/api) for one bot: it keeps messages with their ids,
//! gives updates to whoever polls, in order and from an offset on, and says 409 to a second one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::SOON;
use crate::raw::upstream::ok;
use crate::raw::{self, Upstream};

pub(super) const TOKEN: &str = "123456:tests-only_AAE-x7";

/// A message of the bot.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: i64,
    pub(super) text: String,
    /// What each button carries, by its label.
    pub(super) buttons: BTreeMap<String, String>,
}

pub(super) struct Telegram {
    upstream: Upstream,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    messages: Mutex<Vec<Message>>,
    updates: Mutex<Vec<Value>>,
    next_update: AtomicUsize,
    answers: Mutex<Vec<Value>>,
    /// What is answered to the next calls of a method, before anything else is looked at.
    faults: Mutex<Vec<(&'static str, u16, Value)>>,
    polling: AtomicBool,
    conflicts: AtomicUsize,
    offsets: Mutex<Vec<Option<i64>>>,
    ended: AtomicBool,
}

impl Telegram {
    pub(super) fn start() -> Self {
        let state = Arc::<State>::default();
        state.next_update.store(1000, Ordering::Relaxed);
        let of = state.clone();
        Self { upstream: Upstream::start(move |request| of.answer(request)), state }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.upstream.address
    }

    /// The settings of one chat of it.
    pub(super) fn setting(&self, more: &str) -> String {
        let address = self.address();
        format!("telegram: {{token_env: TG, chat: -100, approvers: [7], url: 'http://{address}'{more}}}")
    }

    /// The message of this place, once it is there.
    #[track_caller]
    pub(super) fn message(&self, place: usize) -> Message {
        raw::wait_until(SOON, || self.messages().get(place).cloned()).expect("a message comes")
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.state.messages.lock().expect("no holder panics").clone()
    }

    /// Waits until a message has lost its buttons; its text.
    #[track_caller]
    pub(super) fn changed(&self, id: i64) -> String {
        let changed = || {
            let messages = self.messages();
            let message = messages.iter().find(|message| message.id == id)?;
            message.buttons.is_empty().then(|| message.text.clone())
        };
        raw::wait_until(SOON, changed).expect("the message is changed")
    }

    /// Somebody presses a button; the press's own id.
    pub(super) fn press(&self, user: i64, chat: i64, message: i64, data: &str) -> String {
        let id = format!("q{}", self.state.next_update.load(Ordering::Relaxed));
        self.press_as(&id, user, chat, message, data);
        id
    }

    pub(super) fn press_as(&self, id: &str, user: i64, chat: i64, message: i64, data: &str) {
        let update = self.state.next_update.fetch_add(1, Ordering::Relaxed);
        self.update(json!({"update_id": update, "callback_query": {
            "id": id,
            "from": {"id": user, "is_bot": false, "first_name": "somebody"},
            "message": {"message_id": message, "date": 1_780_000_000, "chat": {"id": chat, "type": "group", "title": "ops"}},
            "chat_instance": "-1",
            "data": data,
        }}));
    }

    pub(super) fn update(&self, update: Value) {
        self.state.updates.lock().expect("no holder panics").push(update);
    }

    /// What a press was answered, once it is.
    #[track_caller]
    pub(super) fn answered(&self, query: &str) -> (String, bool) {
        let answered = || {
            let answers = self.state.answers.lock().expect("no holder panics");
            let answer = answers.iter().find(|answer| answer["callback_query_id"] == query)?;
            Some((answer["text"].as_str()?.to_owned(), answer["show_alert"].as_bool()?))
        };
        raw::wait_until(SOON, answered).expect("the press is answered")
    }

    /// The next call of this method is answered so.
    pub(super) fn fails(&self, method: &'static str, status: u16, body: Value) {
        self.state.faults.lock().expect("no holder panics").push((method, status, body));
    }

    /// How often two have polled at once.
    pub(super) fn conflicts(&self) -> usize {
        self.state.conflicts.load(Ordering::Relaxed)
    }

    /// The offsets of the polls so far.
    pub(super) fn offsets(&self) -> Vec<Option<i64>> {
        self.state.offsets.lock().expect("no holder panics").clone()
    }

    /// How often a method was called.
    pub(super) fn calls(&self, method: &str) -> usize {
        let end = format!("/{method} HTTP/1.1");
        self.upstream
            .seen()
            .iter()
            .filter(|request| request.lines().next().is_some_and(|line| line.ends_with(&end)))
            .count()
    }
}

impl Drop for Telegram {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
    }
}

impl State {
    fn answer(&self, request: &str) -> Vec<u8> {
        let (head, body) = super::parts(request);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let Some(method) = path.strip_prefix(&format!("/bot{TOKEN}/")) else {
            return told(401, &json!({"ok": false, "error_code": 401, "description": "Unauthorized"}));
        };
        {
            let mut faults = self.faults.lock().expect("no holder panics");
            if let Some(place) = faults.iter().position(|(of, ..)| *of == method) {
                let (_, status, body) = faults.remove(place);
                return told(status, &body);
            }
        }
        match method {
            "sendMessage" => self.send(&body),
            "editMessageText" => self.edit(&body),
            "answerCallbackQuery" => {
                let text = body["text"].as_str().unwrap_or_default();
                assert!(text.chars().count() <= 200, "an answer has at most 200 characters: {text}");
                self.answers.lock().expect("no holder panics").push(body);
                result(json!(true))
            }
            "getUpdates" => self.updates(&body),
            _ => told(404, &json!({"ok": false, "error_code": 404, "description": "Not Found"})),
        }
    }

    fn send(&self, body: &Value) -> Vec<u8> {
        let Some(mut message) = message(body) else { return bad("message text is wrong") };
        let mut messages = self.messages.lock().expect("no holder panics");
        message.id = 500 + i64::try_from(messages.len()).expect("few");
        messages.push(message.clone());
        result(
            json!({"message_id": message.id, "chat": {"id": body["chat_id"], "type": "group"}, "text": message.text}),
        )
    }

    fn edit(&self, body: &Value) -> Vec<u8> {
        let Some(new) = message(body) else { return bad("message text is wrong") };
        let mut messages = self.messages.lock().expect("no holder panics");
        let Some(old) = messages.iter_mut().find(|message| body["message_id"] == message.id) else {
            return bad("message to edit not found");
        };
        if old.text == new.text && old.buttons == new.buttons {
            return bad(
                "message is not modified: specified new message content and reply markup are exactly the same",
            );
        }
        (old.text, old.buttons) = (new.text, new.buttons);
        result(json!({"message_id": old.id}))
    }

    /// Holds the poll until there is something, as long as it asks for.
    fn updates(&self, body: &Value) -> Vec<u8> {
        assert_eq!(body["allowed_updates"], json!(["callback_query"]));
        if self.polling.swap(true, Ordering::SeqCst) {
            self.conflicts.fetch_add(1, Ordering::Relaxed);
            return told(409, &conflict());
        }
        let offset = body["offset"].as_i64();
        self.offsets.lock().expect("no holder panics").push(offset);
        let until = Instant::now() + Duration::from_secs(body["timeout"].as_u64().unwrap_or_default());
        let answer = loop {
            let found: Vec<Value> = {
                let mut updates = self.updates.lock().expect("no holder panics");
                // What is below the offset is confirmed, and never seen again.
                updates.retain(|update| update["update_id"].as_i64() >= offset);
                updates.clone()
            };
            if !found.is_empty() || Instant::now() > until || self.ended.load(Ordering::Relaxed) {
                break result(Value::Array(found));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.polling.store(false, Ordering::SeqCst);
        answer
    }
}

pub(super) fn conflict() -> Value {
    let why =
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    json!({"ok": false, "error_code": 409, "description": why})
}

/// A message as the Bot API takes it.
fn message(body: &Value) -> Option<Message> {
    let text = body["text"].as_str()?.to_owned();
    let units = text.encode_utf16().count();
    let block = json!([{"type": "pre", "offset": 0, "length": units}]);
    if body["chat_id"] != -100
        || units > 4096
        || body["entities"] != block
        || body.get("parse_mode").is_some()
    {
        return None;
    }
    let rows = body["reply_markup"]["inline_keyboard"].as_array().into_iter().flatten();
    let buttons = rows.flat_map(|row| row.as_array().into_iter().flatten());
    let buttons = buttons.map(|button| {
        let data = button["callback_data"].as_str()?;
        (1..=64).contains(&data.len()).then_some(())?;
        Some((button["text"].as_str()?.to_owned(), data.to_owned()))
    });
    Some(Message { id: 0, text, buttons: buttons.collect::<Option<_>>()? })
}

fn result(result: Value) -> Vec<u8> {
    ok("content-type: application/json\r\n", json!({"ok": true, "result": result}).to_string().as_bytes())
}

fn bad(why: &str) -> Vec<u8> {
    told(400, &json!({"ok": false, "error_code": 400, "description": format!("Bad Request: {why}")}))
}

fn told(status: u16, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
