//! Every environment variable that the files name as the place of a secret. A bottle's environment must never carry
//! one of these.

use super::{NotifySetting, Routes, Settings, Source};
use std::collections::BTreeSet;

impl Routes {
    /// The variables that these routes take secrets from.
    pub fn env_names(&self) -> BTreeSet<String> {
        let credentials = self.routes.iter().flat_map(|route| &route.credentials);
        credentials
            .filter_map(|credential| match credential.source() {
                Source::Env(name) => Some(name.clone()),
                Source::File(_) | Source::Command(_) => None,
            })
            .collect()
    }
}

impl Settings {
    /// The variables that these settings take secrets from.
    pub fn env_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for channel in &self.notify {
            match channel {
                NotifySetting::Webhook(webhook) => {
                    names.insert(webhook.secret_env.0.clone());
                    names.extend(webhook.url_env.iter().map(|name| name.0.clone()));
                }
                NotifySetting::Telegram(telegram) => {
                    names.insert(telegram.token_env.0.clone());
                }
            }
        }
        names
    }
}
