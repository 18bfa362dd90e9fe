//! The channels of the settings, with their secrets.
//!
//! Invariant: a channel's name says which it is for as long as the settings have it, and tells no secret: of a URL only
//! its host and the beginning of a hash are in it.

use super::Words;
use super::button::ButtonKey;
use super::discord::Discord;
use super::ntfy::Ntfy;
use super::send::{Answer, Call, Fault};
use super::slack::Slack;
use super::telegram::Telegram;
use super::webhook::Webhook;
use crate::exit::Exit;
use anyhow::Result;
use hudson_schema::config::{
    DiscordSetting, EnvName, NotifySetting, NtfySetting, Period, Settings, SlackSetting, TelegramSetting,
    WebhookSetting, WebhookUrl,
};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// One channel.
pub struct Channel {
    /// What the outbox knows it by.
    pub name: String,
    /// Where it leads.
    pub service: Service,
    /// How long after each failed attempt the next one is made.
    pub retry: Vec<Duration>,
}

/// Where a channel leads.
pub enum Service {
    /// To a program.
    Webhook(Webhook),
    /// To people.
    Chat(Chat),
}

/// Where people read.
pub enum Chat {
    /// A Telegram bot's chat.
    Telegram(Telegram),
    /// A channel in Discord.
    Discord(Discord),
    /// A channel in Slack.
    Slack(Slack),
    /// A topic of ntfy.
    Ntfy(Ntfy),
}

impl Chat {
    /// What its buttons are marked with; `None` where there are none.
    pub fn buttons(&self) -> Option<&ButtonKey> {
        match self {
            Self::Telegram(telegram) => telegram.buttons(),
            Self::Discord(discord) => discord.buttons(),
            Self::Slack(slack) => slack.buttons(),
            Self::Ntfy(ntfy) => ntfy.buttons(),
        }
    }

    /// What is sent for this.
    pub fn call(&self, words: &Words<'_>) -> Result<Call, Fault> {
        match self {
            Self::Telegram(telegram) => Ok(telegram.call(words)),
            Self::Discord(discord) => discord.call(words),
            Self::Slack(slack) => slack.call(words),
            Self::Ntfy(ntfy) => ntfy.call(words),
        }
    }

    /// What the answer says: the message, where there is a new one.
    pub fn read(&self, words: &Words<'_>, answer: &Answer) -> Result<Option<String>, Fault> {
        match self {
            Self::Telegram(telegram) => telegram.read(words, answer),
            Self::Discord(discord) => discord.read(words, answer),
            Self::Slack(slack) => slack.read(words, answer),
            Self::Ntfy(ntfy) => ntfy.read(words, answer),
        }
    }
}

/// Every channel of the settings, with what the environment holds for them.
pub fn channels(settings: &Settings) -> Result<Vec<Channel>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    from(settings, &variable)
}

fn from(settings: &Settings, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Channel>> {
    let channels = settings.notify.iter().enumerate().map(|(index, setting)| {
        let make = Make { place: format!("settings.yml: notify[{index}].{}", setting.kind()), variable };
        match setting {
            NotifySetting::Webhook(setting) => make.webhook(setting),
            NotifySetting::Telegram(setting) => make.telegram(setting),
            NotifySetting::Discord(setting) => make.discord(setting),
            NotifySetting::Slack(setting) => make.slack(setting),
            NotifySetting::Ntfy(setting) => make.ntfy(setting, settings.control.callback_url.as_deref()),
        }
    });
    channels.collect()
}

/// Makes one channel.
struct Make<'a> {
    place: String,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Make<'_> {
    fn webhook(&self, setting: &WebhookSetting) -> Result<Channel> {
        let secret = self.secret("secret_env", &setting.secret_env)?;
        let (name, url, shown) = match (&setting.url, &setting.url_env) {
            (_, Some(name)) => {
                let fault = |why| self.fault("url_env", &format!("what {} holds: {why}", name.0));
                let url: WebhookUrl = self.held("url_env", name)?.parse().map_err(fault)?;
                (format!("webhook:${}", name.0), url, Some(format!("the host in {}", name.0)))
            }
            (Some(text), None) => {
                let url: WebhookUrl = text.parse().map_err(|why| self.fault("url", why))?;
                (format!("webhook:{}#{}", url.authority, hash(text)), url, None)
            }
            (None, None) => {
                return Err(Exit::usage(format!("{} has neither url nor url_env", self.place)).into());
            }
        };
        let decides_as = setting.name.clone().filter(|_| setting.decide);
        let webhook = Webhook::new(url, secret, shown, decides_as);
        Ok(Channel { name, service: Service::Webhook(webhook), retry: periods(&setting.retry) })
    }

    fn telegram(&self, setting: &TelegramSetting) -> Result<Channel> {
        let token = self.secret("token_env", &setting.token_env)?;
        let base = self.base(setting.url.as_deref(), "https://api.telegram.org")?;
        let chat = Telegram::new(base, token, setting.chat, setting.approvers.clone());
        let fault = |why| self.fault("token_env", &format!("what {} holds {why}", setting.token_env.0));
        let chat = Chat::Telegram(chat.map_err(fault)?);
        Ok(channel(format!("telegram:{}", setting.chat), chat, &setting.retry))
    }

    fn discord(&self, setting: &DiscordSetting) -> Result<Channel> {
        let token = self.secret("token_env", &setting.token_env)?;
        let base = self.base(setting.url.as_deref(), "https://discord.com")?;
        let key = setting.public_key.as_deref();
        let chat = Discord::new(base, token, setting.channel, key, setting.approvers.clone());
        Ok(channel(format!("discord:{}", setting.channel), Chat::Discord(chat), &setting.retry))
    }

    fn slack(&self, setting: &SlackSetting) -> Result<Channel> {
        let token = self.secret("token_env", &setting.token_env)?;
        let base = self.base(setting.url.as_deref(), "https://slack.com")?;
        let signing = setting.signing_secret_env.as_ref();
        let signing = signing.map(|name| self.secret("signing_secret_env", name)).transpose()?;
        let chat = Slack::new(base, token, setting.channel.clone(), signing, setting.approvers.clone());
        Ok(channel(format!("slack:{}", setting.channel), Chat::Slack(chat), &setting.retry))
    }

    fn ntfy(&self, setting: &NtfySetting, callback_url: Option<&str>) -> Result<Channel> {
        let base = self.base(setting.url.as_deref(), "https://ntfy.sh")?;
        // Two servers may have one topic each of the same name.
        let server = setting.url.as_deref().map(|url| format!("#{}", hash(url))).unwrap_or_default();
        let (name, topic) = match (&setting.topic, &setting.topic_env) {
            (Some(topic), _) => (format!("ntfy:{topic}{server}"), topic.clone()),
            (None, Some(name)) => {
                let topic = self.held("topic_env", name)?;
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                if topic.len() > 64 || !topic.bytes().all(fits) {
                    let why =
                        format!("what {} holds: a topic has 1 to 64 letters, digits, '-' and '_'", name.0);
                    return Err(self.fault("topic_env", &why).into());
                }
                (format!("ntfy:${}{server}", name.0), topic)
            }
            (None, None) => {
                return Err(Exit::usage(format!("{} has neither topic nor topic_env", self.place)).into());
            }
        };
        let token = setting.token_env.as_ref().map(|name| self.secret("token_env", name)).transpose()?;
        let buttons = match (setting.decide, &setting.secret_env, callback_url) {
            (true, Some(name), Some(url)) => {
                let url = WebhookUrl::base(url)
                    .map_err(|why| Exit::usage(format!("settings.yml: control.callback_url: {why}")))?;
                Some((self.secret("secret_env", name)?, url))
            }
            _ => None,
        };
        Ok(channel(name, Chat::Ntfy(Ntfy::new(base, topic, token, buttons)), &setting.retry))
    }

    fn secret(&self, key: &str, name: &EnvName) -> Result<SecretString> {
        self.held(key, name).map(SecretString::from)
    }

    fn held(&self, key: &str, name: &EnvName) -> Result<String> {
        let why = format!("the environment variable {} is not set, or empty", name.0);
        (self.variable)(&name.0).ok_or_else(|| self.fault(key, &why).into())
    }

    fn base(&self, set: Option<&str>, usual: &str) -> Result<WebhookUrl> {
        Ok(WebhookUrl::base(set.unwrap_or(usual)).map_err(|why| self.fault("url", why))?)
    }

    fn fault(&self, key: &str, why: &str) -> Exit {
        Exit::usage(format!("{}.{key}: {why}", self.place))
    }
}

fn channel(name: String, chat: Chat, retry: &[Period]) -> Channel {
    Channel { name, service: Service::Chat(chat), retry: periods(retry) }
}

fn periods(retry: &[Period]) -> Vec<Duration> {
    retry.iter().map(|period| period.0).collect()
}

/// The beginning of a hash of a URL.
fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::config::parse_settings;
    use std::path::Path;

    const SETTINGS: &str = "notify:
  - {webhook: {url: 'https://hooks.test/T0/hunter2', secret_env: SECRET, retry: [1s, 2m]}}
  - {webhook: {url_env: HOOK, secret_env: SECRET}}
";

    fn names(text: &str, held: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let settings = parse_settings(Path::new("settings.yml"), text).map_err(|error| error.to_string())?;
        let variable =
            |name: &str| held.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        let found = from(&settings, &variable).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|channel| channel.name).collect())
    }

    #[test]
    fn a_name_stays_where_others_come_and_tells_no_secret() {
        let held = [("SECRET", "s"), ("HOOK", "https://x.test/hunter2")];
        let both = names(SETTINGS, &held).unwrap();
        assert!(both[0].starts_with("webhook:hooks.test:443#") && both[1] == "webhook:$HOOK", "{both:?}");
        assert!(!both.concat().contains("hunter2"));
        let other = SETTINGS.replace("T0", "T1");
        let second = other.lines().nth(1).unwrap();
        let more = names(
            &format!("{}\n{SETTINGS}", SETTINGS.lines().next().unwrap())
                .replace("notify:\nnotify:", &format!("notify:\n{second}")),
            &held,
        )
        .unwrap();
        assert_eq!(more[1..], both[..], "another in front of them");
        assert_ne!(more[0], both[0], "another on the same host");
    }

    #[test]
    fn a_variable_that_is_missing_or_wrong_is_named_and_not_shown() {
        for (held, expected) in [
            (
                &[][..],
                "settings.yml: notify[0].webhook.secret_env: the environment variable SECRET is not set",
            ),
            (
                &[("SECRET", "s")],
                "settings.yml: notify[1].webhook.url_env: the environment variable HOOK is not set",
            ),
            (
                &[("SECRET", "s"), ("HOOK", "hunter2")],
                "settings.yml: notify[1].webhook.url_env: what HOOK holds: expected a URL that begins with https://",
            ),
        ] {
            let error = names(SETTINGS, held).unwrap_err();
            assert!(error.starts_with(expected) && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(names("", &[]), Ok(Vec::new()));
    }
}
