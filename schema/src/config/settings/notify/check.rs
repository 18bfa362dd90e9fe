//! What takes more than one key of `notify:` to see.
//!
//! Invariant: a channel has buttons only where their answers can be heard and proved, and no two channels are one.

use super::{
    DiscordSetting, NotifySetting, NtfySetting, SlackSetting, TelegramSetting, WebhookSetting, WebhookUrl,
};
use crate::config::settings::{ListenSetting, Settings};
use crate::config::tree::Trail;
use crate::config::values::NOT_THE_SECRET;
use crate::config::yaml::Document;
use std::collections::BTreeSet;

/// The longest name of a webhook.
const LONGEST_NAME: usize = 32;
/// The longest topic that ntfy takes.
const LONGEST_TOPIC: usize = 64;

pub(in crate::config::settings) fn check(document: &mut Document<'_>, top: &Trail, settings: &Settings) {
    let control = &settings.control;
    if let Some(Err(why)) = control.callback_url.as_deref().map(WebhookUrl::base) {
        document.value(&top.key("control").key("callback_url"), why);
    }
    let mut look = Look {
        is_heard: control.callbacks != ListenSetting::Off,
        is_reached: control.callback_url.is_some(),
        seen: BTreeSet::new(),
        names: BTreeSet::new(),
        document,
    };
    for (index, channel) in settings.notify.iter().enumerate() {
        let trail = top.key("notify").index(index).key(channel.kind());
        match channel {
            NotifySetting::Webhook(setting) => look.webhook(&trail, setting),
            NotifySetting::Telegram(setting) => look.telegram(&trail, setting),
            NotifySetting::Discord(setting) => look.discord(&trail, setting),
            NotifySetting::Slack(setting) => look.slack(&trail, setting),
            NotifySetting::Ntfy(setting) => look.ntfy(&trail, setting),
        }
    }
}

struct Look<'a, 'd> {
    document: &'a mut Document<'d>,
    /// Whether answers that come by HTTP are listened for.
    is_heard: bool,
    /// Whether it is known how the listener is reached from outside.
    is_reached: bool,
    seen: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Look<'_, '_> {
    fn webhook(&mut self, trail: &Trail, webhook: &WebhookSetting) {
        let (place, what) = match (&webhook.url, &webhook.url_env) {
            (Some(url), None) => {
                if let Err(why) = url.parse::<WebhookUrl>() {
                    let why = format!("{why}; a URL that is secret stands in url_env, {NOT_THE_SECRET}");
                    self.document.value(&trail.key("url"), why);
                }
                ("url", url)
            }
            (None, Some(name)) => ("url_env", &name.0),
            _ => return self.document.value(trail, "a webhook has exactly one of url and url_env"),
        };
        self.once(&trail.key(place), format!("webhook {place} {what}"), "another webhook goes there already");
        match &webhook.name {
            Some(name) if !is_name(name) => {
                let why = format!("a name has 1 to {LONGEST_NAME} of a-z, 0-9, '-' and '_'");
                self.document.value(&trail.key("name"), why);
            }
            Some(name) if !self.names.insert(name.clone()) => {
                self.document.value(&trail.key("name"), "another webhook has that name already");
            }
            None if webhook.decide => {
                self.document
                    .key(trail, "missing key \"name\": decisions of this webhook are recorded under it");
            }
            _ => {}
        }
        if webhook.decide {
            self.listens(&trail.key("decide"));
        }
    }

    fn telegram(&mut self, trail: &Trail, telegram: &TelegramSetting) {
        let taken =
            "another telegram tells that chat already; give each person of it as one of its approvers";
        self.once(&trail.key("chat"), format!("telegram {}", telegram.chat), taken);
        self.base(trail, telegram.url.as_deref());
        self.approvers(trail, &telegram.approvers);
    }

    fn discord(&mut self, trail: &Trail, discord: &DiscordSetting) {
        let taken = "another discord tells that channel already";
        self.once(&trail.key("channel"), format!("discord {}", discord.channel), taken);
        self.base(trail, discord.url.as_deref());
        self.approvers(trail, &discord.approvers);
        if let Some(key) = &discord.public_key
            && !(key.len() == 64 && key.bytes().all(|digit| digit.is_ascii_hexdigit()))
        {
            let why = "a public key has 64 hex digits; it stands on the application's page, under General Information";
            self.document.value(&trail.key("public_key"), why);
        }
        if !discord.approvers.is_empty() {
            if discord.public_key.is_none() {
                let why =
                    "missing key \"public_key\": without it nobody knows whether an answer is Discord's";
                self.document.key(trail, why);
            }
            self.listens(&trail.key("approvers"));
        }
    }

    fn slack(&mut self, trail: &Trail, slack: &SlackSetting) {
        let taken = "another slack tells that channel already";
        self.once(&trail.key("channel"), format!("slack {}", slack.channel), taken);
        self.base(trail, slack.url.as_deref());
        self.approvers(trail, &slack.approvers);
        let is_id = |text: &str| {
            text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        };
        if !is_id(&slack.channel) {
            let why = "a channel is given by its id, such as C024BE91L: at the end of its About page";
            self.document.value(&trail.key("channel"), why);
        }
        for (index, user) in slack.approvers.iter().enumerate().filter(|(_, user)| !is_id(user)) {
            let why = format!(
                "{user:?} is no member's id; it looks like U024BE7LH and is copied from their profile"
            );
            self.document.value(&trail.key("approvers").index(index), why);
        }
        if !slack.approvers.is_empty() {
            if slack.signing_secret_env.is_none() {
                let why = "missing key \"signing_secret_env\": without it nobody knows whether an answer is Slack's";
                self.document.key(trail, why);
            }
            self.listens(&trail.key("approvers"));
        }
    }

    fn ntfy(&mut self, trail: &Trail, ntfy: &NtfySetting) {
        let (place, what) = match (&ntfy.topic, &ntfy.topic_env) {
            (Some(topic), None) => {
                if !is_topic(topic) {
                    let why = format!("a topic has 1 to {LONGEST_TOPIC} letters, digits, '-' and '_'");
                    self.document.value(&trail.key("topic"), why);
                }
                ("topic", topic)
            }
            (None, Some(name)) => ("topic_env", &name.0),
            _ => return self.document.value(trail, "an ntfy channel has exactly one of topic and topic_env"),
        };
        let what = format!("ntfy {place} {what} {:?}", ntfy.url);
        self.once(&trail.key(place), what, "another ntfy channel tells that topic already");
        self.base(trail, ntfy.url.as_deref());
        if ntfy.decide {
            if ntfy.secret_env.is_none() {
                self.document.key(trail, "missing key \"secret_env\": the buttons are signed with it");
            }
            self.listens(&trail.key("decide"));
            if !self.is_reached {
                let why = "the buttons need control.callback_url: the URL by which a phone reaches control.callbacks";
                self.document.value(&trail.key("decide"), why);
            }
        }
    }

    /// Two of one place could not be told apart, and would be sent everything twice.
    fn once(&mut self, trail: &Trail, what: String, taken: &str) {
        if !self.seen.insert(what) {
            self.document.value(trail, taken);
        }
    }

    fn base(&mut self, trail: &Trail, url: Option<&str>) {
        if let Some(Err(why)) = url.map(WebhookUrl::base) {
            self.document.value(&trail.key("url"), why);
        }
    }

    fn approvers<T: Ord>(&mut self, trail: &Trail, approvers: &[T]) {
        if approvers.iter().collect::<BTreeSet<_>>().len() < approvers.len() {
            self.document.value(&trail.key("approvers"), "somebody is there twice");
        }
    }

    fn listens(&mut self, trail: &Trail) {
        if !self.is_heard {
            let why = "answers need control.callbacks: the address on which they are listened for";
            self.document.value(trail, why);
        }
    }
}

fn is_name(name: &str) -> bool {
    let of = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(of)
}

/// Whether ntfy takes it as a topic.
pub(super) fn is_topic(topic: &str) -> bool {
    let of = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_TOPIC).contains(&topic.len()) && topic.bytes().all(of)
}

#[cfg(test)]
mod tests {
    use crate::config::parse_settings;
    use std::path::Path;

    fn parse(text: &str) -> Result<(), String> {
        parse_settings(Path::new("settings.yml"), text).map(drop).map_err(|error| error.to_string())
    }

    const LISTENS: &str =
        "control: {callbacks: '127.0.0.1:9000', callback_url: 'https://h.example.com/hudson'}\n";

    #[test]
    fn every_channel_is_taken_with_all_of_its_keys() {
        let text = format!(
            "{LISTENS}notify:
  - webhook: {{url: 'https://a.test/x', secret_env: A, decide: true, name: ops, retry: [1s]}}
  - telegram: {{token_env: T, chat: -1001, approvers: [7, 8], url: 'http://127.0.0.1:8081', retry: [1s]}}
  - discord: {{token_env: D, channel: 1099511627776000001, approvers: [1099511627776000002], retry: [],
      public_key: {}, url: 'https://discord.test'}}
  - slack: {{token_env: S, channel: C024BE91L, signing_secret_env: SS, approvers: [U024BE7LH], url: 'https://s.test'}}
  - ntfy: {{topic: ops-1, token_env: N, decide: true, secret_env: NS, url: 'http://localhost:2586'}}
  - ntfy: {{topic_env: NT}}
",
            "ab".repeat(32)
        );
        let settings = parse_settings(Path::new("settings.yml"), &text).unwrap();
        assert_eq!(settings.unsupported(), []);
        let names: Vec<String> = settings.env_names().into_iter().collect();
        assert_eq!(names, ["A", "D", "N", "NS", "NT", "S", "SS", "T"]);
    }

    #[test]
    fn what_could_not_be_heard_or_proved_is_refused_with_what_is_missing() {
        for (listens, channel, expected) in [
            (
                false,
                "slack: {token_env: S, channel: C1, approvers: [U1]}",
                "missing key \"signing_secret_env\"",
            ),
            (false, "slack: {token_env: S, channel: C1, approvers: [U1]}", "answers need control.callbacks"),
            (true, "slack: {token_env: S, channel: '#ops'}", "a channel is given by its id"),
            (
                true,
                "slack: {token_env: S, channel: C1, signing_secret_env: X, approvers: [joe]}",
                "\"joe\" is no member's id",
            ),
            (true, "discord: {token_env: D, channel: 1, approvers: [2]}", "missing key \"public_key\""),
            (true, "discord: {token_env: D, channel: 1, public_key: abc}", "a public key has 64 hex digits"),
            (false, "ntfy: {topic: a, decide: true}", "missing key \"secret_env\""),
            (false, "ntfy: {topic: a, decide: true, secret_env: X}", "the buttons need control.callback_url"),
            (true, "ntfy: {topic: 'a/b'}", "a topic has 1 to 64 letters"),
            (true, "ntfy: {topic: a, topic_env: A}", "exactly one of topic and topic_env"),
            (true, "webhook: {url_env: A, secret_env: X, decide: true}", "missing key \"name\""),
            (
                false,
                "webhook: {url_env: A, secret_env: X, decide: true, name: a}",
                "answers need control.callbacks",
            ),
            (true, "webhook: {url_env: A, secret_env: X, name: A/b}", "a name has 1 to 32 of a-z"),
            (
                true,
                "telegram: {token_env: T, chat: 1, url: 'http://tg.test'}",
                "without TLS a secret could be read",
            ),
            (
                true,
                "telegram: {token_env: T, chat: 1, url: 'https://tg.test/?a'}",
                "the base of a service has no query",
            ),
            (true, "telegram: {token_env: T, chat: 1, approvers: [5, 5]}", "somebody is there twice"),
            (true, "telegram: {token_env: T, chat: 1, aprovers: [5]}", "unknown key \"aprovers\""),
        ] {
            let listens = if listens { LISTENS } else { "" };
            let error = parse(&format!("{listens}notify: [{{{channel}}}]\n")).unwrap_err();
            assert!(error.contains(expected), "{channel}\n{error}");
        }
        for twice in
            ["telegram: {token_env: T, chat: 1}", "slack: {token_env: S, channel: C1}", "ntfy: {topic: a}"]
        {
            let error = parse(&format!("notify: [{{{twice}}}, {{{twice}}}]\n")).unwrap_err();
            assert!(error.contains("already"), "{error}");
        }
        let error = parse("control: {callback_url: 'http://h.example.com'}\n").unwrap_err();
        assert!(error.contains("without TLS"), "{error}");
    }
}
