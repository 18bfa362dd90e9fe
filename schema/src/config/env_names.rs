//! Every environment variable that the files name as the place of a secret. A bottle's environment must never carry
//! one of these.

use super::{Credential, NotifySetting, Routes, Settings, Source, TokenSource};
use std::collections::BTreeSet;

impl Routes {
    /// The variables that these routes take secrets from.
    pub fn env_names(&self) -> BTreeSet<String> {
        self.sources()
            .filter_map(|source| match source {
                Source::Env(name) => Some(name.clone()),
                Source::File(_) | Source::Command(_) => None,
            })
            .collect()
    }

    /// Everything that these routes take secrets from.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.routes.iter().flat_map(|route| {
            let proxy =
                route.upstream.as_ref().and_then(|upstream| upstream.proxy.as_ref()?.credentials.as_ref());
            route.credentials.iter().map(Credential::source).chain(proxy.map(|credentials| &credentials.from))
        })
    }
}

impl Settings {
    /// The variables that these settings take secrets from.
    pub fn env_names(&self) -> BTreeSet<String> {
        let approvals = &self.approvals;
        let tokens = approvals.approvers.tokens.values().filter_map(|token| match token {
            TokenSource::Env(name) => Some(name),
            TokenSource::File(_) | TokenSource::Sha256(_) => None,
        });
        let key = approvals.review.iter().filter_map(|review| review.key_env.as_ref());
        let mut names: BTreeSet<String> = tokens.chain(key).map(|name| name.0.clone()).collect();
        names.extend(self.notify.iter().flat_map(NotifySetting::env_names).map(|name| name.0.clone()));
        names
    }
}
