//! Who is told about approvals and budgets. Secrets stand only as the names of the environment variables that hold them.

use super::Period;
use crate::config::Scheme;
use crate::config::host::Authority;
use crate::config::values::EnvName;
use schemars::JsonSchema;
use serde::Deserialize;
use std::str::FromStr;

/// One channel that tells people.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifySetting {
    /// A signed POST.
    Webhook(WebhookSetting),
    /// A Telegram bot.
    Telegram(TelegramSetting),
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
    /// How long after each failed attempt the next one is made; after the last of them it is given up. Unless set: after
    /// 1 minute, 5 minutes and 30 minutes.
    #[serde(default = "retries")]
    pub retry: Vec<Period>,
}

fn retries() -> Vec<Period> {
    [60, 5 * 60, 30 * 60].map(Period::seconds).to_vec()
}

/// A Telegram bot.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TelegramSetting {
    /// The variable that holds the bot's token.
    pub token_env: EnvName,
    /// The chat that is told.
    pub chat: i64,
    /// The users whose answer counts.
    #[serde(default)]
    pub approvers: Vec<i64>,
}

/// A webhook's URL, taken apart.
#[derive(Clone, Eq, PartialEq)]
pub struct WebhookUrl {
    /// With TLS or without.
    pub scheme: Scheme,
    /// The host and its port.
    pub authority: Authority,
    /// The path and the query, as they are sent.
    pub path: String,
}

impl FromStr for WebhookUrl {
    type Err = &'static str;

    /// The text is in no error: it may be a secret.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, default_port, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://"))
        {
            (Some(rest), _) => (Scheme::Https, 443, rest),
            (None, Some(rest)) => (Scheme::Http, 80, rest),
            (None, None) => return Err("expected a URL that begins with https:// or http://"),
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('#') {
            return Err("a URL has no spaces, no fragment, and what is not ASCII percent-encoded");
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a URL with a user name or a password is not taken; the signature says who sends");
        }
        let authority = Authority::parse_or(authority, default_port)
            .map_err(|_| "expected a URL with the name or the address of a host")?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, authority, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_in_no_error() {
        for (text, scheme, authority, path) in [
            ("https://a.test", Scheme::Https, "a.test:443", "/"),
            ("http://127.0.0.1:8080/a/b?c=d%20e", Scheme::Http, "127.0.0.1:8080", "/a/b?c=d%20e"),
            ("https://[::1]?x", Scheme::Https, "[::1]:443", "/?x"),
        ] {
            let Ok(url) = text.parse::<WebhookUrl>() else { panic!("{text}") };
            assert_eq!(
                (url.scheme, url.authority.to_string().as_str(), url.path.as_str()),
                (scheme, authority, path)
            );
        }
        for text in [
            "hunter2",
            "ftp://hunter2",
            "https://",
            "https:///hunter2",
            "https://u:hunter2@a.test",
            "https://a.test/#hunter2",
            "https://a.test/hunter2\r\nx: y",
            "https://a.test:0/hunter2",
            "https://a b/hunter2",
        ] {
            let Err(error) = text.parse::<WebhookUrl>() else { panic!("{text}") };
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
