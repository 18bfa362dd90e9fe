//! Who is told about approvals and budgets, and who may answer. Secrets stand only as the names of the environment
//! variables that hold them.

mod check;
mod url;

use super::Period;
use crate::config::values::EnvName;
pub(super) use check::check;
use schemars::JsonSchema;
use serde::Deserialize;
pub use url::WebhookUrl;

/// One channel that tells people.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifySetting {
    /// A signed POST.
    Webhook(WebhookSetting),
    /// A Telegram bot.
    Telegram(TelegramSetting),
    /// A Discord application's bot.
    Discord(DiscordSetting),
    /// A Slack app.
    Slack(SlackSetting),
    /// A topic of an ntfy server.
    Ntfy(NtfySetting),
}

impl NotifySetting {
    /// Its key.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Telegram(_) => "telegram",
            Self::Discord(_) => "discord",
            Self::Slack(_) => "slack",
            Self::Ntfy(_) => "ntfy",
        }
    }

    /// The variables that it takes secrets from.
    pub fn env_names(&self) -> impl Iterator<Item = &EnvName> {
        let (always, optional) = match self {
            Self::Webhook(webhook) => ([Some(&webhook.secret_env), None], webhook.url_env.as_ref()),
            Self::Telegram(telegram) => ([Some(&telegram.token_env), None], None),
            Self::Discord(discord) => ([Some(&discord.token_env), None], None),
            Self::Slack(slack) => ([Some(&slack.token_env), None], slack.signing_secret_env.as_ref()),
            Self::Ntfy(ntfy) => {
                ([ntfy.token_env.as_ref(), ntfy.secret_env.as_ref()], ntfy.topic_env.as_ref())
            }
        };
        always.into_iter().flatten().chain(optional)
    }
}

/// A webhook.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSetting {
    /// Where to; use `url_env` when the URL itself is a secret.
    pub url: Option<String>,
    /// The variable that holds the URL.
    pub url_env: Option<EnvName>,
    /// The variable that holds the signing secret.
    pub secret_env: EnvName,
    /// Whether decisions that are signed with the same secret are taken, at `/webhook/NAME` of `control.callbacks`.
    #[serde(default)]
    pub decide: bool,
    /// What it is called there, and in the audit.
    pub name: Option<String>,
    /// How long after each failed attempt the next one is made; after the last of them it is given up. Unless set: after
    /// 1 minute, 5 minutes and 30 minutes.
    #[serde(default = "retries")]
    pub retry: Vec<Period>,
}

/// A Telegram bot.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TelegramSetting {
    /// The variable that holds the bot's token.
    pub token_env: EnvName,
    /// The chat that is told.
    pub chat: i64,
    /// The users whose answer counts, by their numbers. With none, there are no buttons, and nothing is heard.
    #[serde(default)]
    pub approvers: Vec<i64>,
    /// Where the Bot API is, if not at `https://api.telegram.org`.
    pub url: Option<String>,
    /// As a webhook's; unless set: after 5 and 15 seconds, 1, 5 and 30 minutes.
    #[serde(default = "quick_retries")]
    pub retry: Vec<Period>,
}

/// A Discord application's bot.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscordSetting {
    /// The variable that holds the bot's token.
    pub token_env: EnvName,
    /// The channel that is told, by its number.
    pub channel: u64,
    /// The application's public key in hex: what its interactions are signed with.
    pub public_key: Option<String>,
    /// The users whose answer counts, by their numbers. With none, there are no buttons.
    #[serde(default)]
    pub approvers: Vec<u64>,
    /// Where the API is, if not at `https://discord.com`.
    pub url: Option<String>,
    /// As a webhook's; unless set: after 5 and 15 seconds, 1, 5 and 30 minutes.
    #[serde(default = "quick_retries")]
    pub retry: Vec<Period>,
}

/// A Slack app.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackSetting {
    /// The variable that holds the bot's token (`xoxb-…`).
    pub token_env: EnvName,
    /// The channel that is told, by its id.
    pub channel: String,
    /// The variable that holds the app's signing secret.
    pub signing_secret_env: Option<EnvName>,
    /// The users whose answer counts, by their ids (`U…`). With none, there are no buttons.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// Where the API is, if not at `https://slack.com`.
    pub url: Option<String>,
    /// As a webhook's; unless set: after 5 and 15 seconds, 1, 5 and 30 minutes.
    #[serde(default = "quick_retries")]
    pub retry: Vec<Period>,
}

/// A topic of an ntfy server.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NtfySetting {
    /// The topic; use `topic_env` where knowing its name is all it takes to read it.
    pub topic: Option<String>,
    /// The variable that holds the topic.
    pub topic_env: Option<EnvName>,
    /// The variable that holds an access token, where the server wants one.
    pub token_env: Option<EnvName>,
    /// Whether there are buttons. Whoever reads the topic can press them.
    #[serde(default)]
    pub decide: bool,
    /// The variable that holds the secret with which the buttons are signed.
    pub secret_env: Option<EnvName>,
    /// Where the server is, if not at `https://ntfy.sh`.
    pub url: Option<String>,
    /// As a webhook's; unless set: after 5 and 15 seconds, 1, 5 and 30 minutes.
    #[serde(default = "quick_retries")]
    pub retry: Vec<Period>,
}

fn retries() -> Vec<Period> {
    [60, 5 * 60, 30 * 60].map(Period::seconds).to_vec()
}

/// People who are asked have minutes.
fn quick_retries() -> Vec<Period> {
    [5, 15, 60, 5 * 60, 30 * 60].map(Period::seconds).to_vec()
}
