//! The channels of the settings, with their secrets.
//!
//! Invariant: a channel's name says which it is for as long as the settings have it, and tells no secret: of a URL only
//! its host and the beginning of a hash are in it.

use super::webhook::Webhook;
use crate::exit::Exit;
use anyhow::Result;
use hudson_schema::config::{NotifySetting, Settings, WebhookSetting, WebhookUrl};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// One channel.
pub struct Channel {
    /// What the outbox knows it by.
    pub name: String,
    /// Where it leads.
    pub webhook: Webhook,
    /// How long after each failed attempt the next one is made.
    pub retry: Vec<Duration>,
}

/// Every channel of the settings, with what the environment holds for them.
pub fn channels(settings: &Settings) -> Result<Vec<Channel>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    from(settings, &variable)
}

fn from(settings: &Settings, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for (index, setting) in settings.notify.iter().enumerate() {
        // What this version cannot do was refused with the settings.
        let NotifySetting::Webhook(setting) = setting else { continue };
        let place = format!("settings.yml: notify[{index}].webhook");
        channels.push(webhook(setting, &place, variable)?);
    }
    Ok(channels)
}

fn webhook(
    setting: &WebhookSetting,
    place: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Channel> {
    let held = |key: &str, name: &str| {
        let why = format!("{place}.{key}: the environment variable {name} is not set, or empty");
        variable(name).ok_or_else(|| Exit::usage(why))
    };
    let secret = SecretString::from(held("secret_env", &setting.secret_env.0)?);
    let (name, url, shown) = match (&setting.url, &setting.url_env) {
        (_, Some(name)) => {
            let fault = |why| Exit::usage(format!("{place}.url_env: what {} holds: {why}", name.0));
            let url: WebhookUrl = held("url_env", &name.0)?.parse().map_err(fault)?;
            (format!("webhook:${}", name.0), url, Some(format!("the host in {}", name.0)))
        }
        (Some(text), None) => {
            let fault = |why| Exit::usage(format!("{place}.url: {why}"));
            let url: WebhookUrl = text.parse().map_err(fault)?;
            let hash = Sha256::digest(text.as_bytes());
            let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            (format!("webhook:{}#{hash}", url.authority), url, None)
        }
        (None, None) => return Err(Exit::usage(format!("{place} has neither url nor url_env")).into()),
    };
    let retry = setting.retry.iter().map(|period| period.0).collect();
    Ok(Channel { name, webhook: Webhook::new(url, secret, shown), retry })
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
