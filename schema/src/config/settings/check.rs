//! What takes more than one key of settings.yml to see, and which of its keys this version does not enforce.

use super::{
    LedgerSetting, ListenSetting, ModelSettings, ProviderSettings, Settings, dlp, enforcement, notify,
};
use crate::budget::BudgetMap;
use crate::config::tree::Trail;
use crate::config::unsupported::not_enforced;
use crate::config::yaml::Document;

/// The most tokens a ledger can count.
const MOST_TOKENS: u64 = i64::MAX as u64;

pub(in crate::config) fn check(document: &mut Document<'_>, settings: &mut Settings) {
    let top = Trail::default();
    budget(document, &top, &settings.budget);
    for (name, scope) in &settings.agents {
        budget(document, &top.key("agents").key(name.as_str()), &scope.budget);
    }
    for (name, scope) in &settings.bottles {
        budget(document, &top.key("bottles").key(name.as_str()), &scope.budget);
    }
    providers(document, &top.key("providers"), settings);
    dlp::check(document, &top.key("dlp"), &settings.dlp);
    enforcement::check(document, &top.key("enforcement"), &settings.enforcement);
    notify::check(document, &top, settings);
    control(document, &top.key("control"), settings);
    note_unsupported(document, &top, settings);
}

fn budget(document: &mut Document<'_>, trail: &Trail, budget: &BudgetMap) {
    for (provider, amount) in budget {
        if amount.0 > MOST_TOKENS {
            let message =
                format!("{amount} tokens are more than a ledger can count; leave the key out for no limit");
            document.value(&trail.key("budget").key(provider.as_str()), message);
        }
    }
}

fn providers(document: &mut Document<'_>, trail: &Trail, settings: &Settings) {
    for (name, provider) in &settings.providers {
        let trail = trail.key(name.as_str());
        if name.is_any() {
            document.key(&trail, "\"any\" counts every provider together and is none itself");
        }
        hosts(document, &trail, provider);
        for (pattern, model) in &provider.models {
            let trail = trail.key("models").key(pattern.as_str());
            if *model == ModelSettings::default() {
                document.key(
                    &trail,
                    "this says nothing of the model; give max_output, output_field or max_input",
                );
            }
            let sizes = [("max_output", model.max_output), ("max_input", model.max_input)];
            for (key, _) in sizes.iter().filter(|(_, size)| size.is_some_and(|size| size.get() > MOST_TOKENS))
            {
                document.value(&trail.key(key), "this is more than a ledger can count");
            }
        }
        for (index, host) in provider.hosts.iter().enumerate() {
            let taken = settings
                .providers
                .iter()
                .find(|(other, settings)| *other < name && settings.hosts.contains(host));
            if let Some((other, _)) = taken {
                document.value(
                    &trail.key("hosts").index(index),
                    format!("{host} is a host of the provider {other} already"),
                );
            }
        }
    }
}

/// The hosts of a provider and their format go together; without either it has models.
fn hosts(document: &mut Document<'_>, trail: &Trail, provider: &ProviderSettings) {
    match (provider.hosts.is_empty(), provider.format) {
        (true, None) if !provider.models.is_empty() => {}
        (true, _) => document.value(&trail.key("hosts"), "a provider needs at least one host"),
        (false, None) => document.key(trail, "missing key \"format\": what these hosts speak"),
        (false, Some(_)) => {}
    }
}

/// Where it is decided, only this host comes.
fn control(document: &mut Document<'_>, trail: &Trail, settings: &Settings) {
    let deciding = [("confirm", settings.control.confirm), ("admin", Some(settings.control.admin))];
    for (key, address) in deciding {
        if let Some(address) = address.and_then(ListenSetting::address)
            && !address.ip().to_canonical().is_loopback()
        {
            let message = format!(
                "{address} is reached from other hosts, and here it is decided what agents may do; name an address of \
                 loopback such as 127.0.0.1:{}",
                address.port()
            );
            document.value(&trail.key(key), message);
        }
    }
}

fn note_unsupported(document: &Document<'_>, top: &Trail, settings: &mut Settings) {
    let keys =
        [(matches!(settings.ledger, LedgerSetting::Postgres { .. }), top.key("ledger"), "ledger: postgres")];
    settings.unsupported = keys
        .into_iter()
        .filter(|(used, ..)| *used)
        .map(|(_, trail, key)| not_enforced(document, &trail, key))
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Amount, CutoffScope, InFlight, Mode, Precedence, Window};
    use crate::config::{Estimate, Period, RefuseAt, Synchronous, parse_settings};
    use crate::{OutputField, Policy};
    use std::num::NonZeroU64;
    use std::path::Path;

    fn parse(text: &str) -> Result<Settings, String> {
        parse_settings(Path::new("settings.yml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn bot_bottles_flat_file_is_valid_as_it_stands() {
        let settings = parse("budget:\n  claude: 5000000\n  codex: 2000000\nshutdown: freeze\n").unwrap();
        assert_eq!(settings.budget.get(&"claude".parse().unwrap()), Some(&Amount(5_000_000)));
        assert_eq!(settings.budget.len(), 2);
        assert_eq!(settings.shutdown, Policy::Freeze);
        assert_eq!(settings.unsupported(), []);
        assert_eq!(parse("").unwrap(), Settings::default());
    }

    #[test]
    fn every_key_is_read() {
        let settings = parse(concat!(
            "budget: {claude: 5M, any: 6_000_000}\n",
            "shutdown: kill\nprecedence: all\nmode: soft\nmin_output: 128\n",
            "cutoff: {in_flight: end, scope: provider}\n",
            "estimate: {count_tokens: true, timeout: 5s}\nwindow: week\ntimezone: Europe/Berlin\nwarn_at: [95, 50]\nbudget_header: true\n",
            "weights: {cache_read: 0.1, cache_write: 1.25, input: 1, output: 4}\n",
            "agents: {claude-reviewer: {budget: {claude: 200000}, shutdown: kill}}\n",
            "bottles: {ci: {budget: {claude: 1000000}, window: day}}\n",
            "providers: {mylab: {hosts: [llm.lab.internal, '*.lab.example.com'], format: openai-chat},\n",
            "  claude: {models: {Claude-Next*: {max_output: 256000, max_input: 1000000},\n",
            "    lab-7b: {output_field: max_completion_tokens}}}}\n",
            "proxy: {listen: ['127.0.0.1:8899', '[::1]:0'], max_tunnels_per_bottle: 16, connect_timeout: 5s}\n",
            "control: {listen: unix, confirm: off, admin: off, metrics: '127.0.0.1:9464', metrics_hosts: [prom.example]}\n",
            "approvals: {decision_ttl: 300s, use_ttl: 15m, rate_limit: 10/hour}\n",
            "notify: [{webhook: {url: 'https://a.test/x', secret_env: X, retry: [1s]}}]\nledger: {sqlite: {synchronous: full}}\nrefuse: connect\n",
        ))
        .unwrap();
        assert_eq!(
            (settings.precedence, settings.mode, settings.window),
            (Precedence::All, Mode::Soft, Window::Week)
        );
        assert_eq!(
            (settings.cutoff.in_flight, settings.cutoff.scope),
            (InFlight::End, CutoffScope::Provider)
        );
        assert_eq!((settings.warn_at.as_slice(), settings.budget_header), ([50, 95].as_slice(), true));
        assert_eq!(settings.estimate, Estimate { count_tokens: true, timeout: Period::seconds(5) });
        assert_eq!(Settings::default().estimate.timeout, Period::seconds(2));
        assert_eq!(settings.weights.cache_write, 1250);
        assert_eq!(settings.proxy.connect_timeout, Period::seconds(5));
        assert_eq!(settings.proxy.max_tunnels_per_bottle.get(), 16);
        assert_eq!(settings.ledger, LedgerSetting::Sqlite { synchronous: Synchronous::Full });
        assert_eq!(settings.refuse, RefuseAt::Connect);
        let claude = &settings.providers[&"claude".parse().unwrap()];
        let next = &claude.models[&"claude-next*".parse().unwrap()];
        assert_eq!(
            (next.max_output, next.max_input, next.output_field),
            (NonZeroU64::new(256_000), NonZeroU64::new(1_000_000), None)
        );
        let lab = &claude.models[&"lab-7b".parse().unwrap()];
        assert_eq!((lab.max_output, lab.output_field), (None, Some(OutputField::MaxCompletionTokens)));
        assert_eq!((claude.hosts.len(), claude.format), (0, None));
        assert_eq!(settings.unsupported(), []);
        assert!(settings.clock().is_ok());
    }

    #[test]
    fn a_bad_value_is_shown_with_what_was_expected() {
        for (text, expected) in [
            ("budget: {claude: -5}\n", "1:18: -5 is negative; a budget is a number of tokens"),
            (
                "budget: {claude: 9223372036854775808}\n",
                "1:18: 9223372036854775808 tokens are more than a ledger can count",
            ),
            ("budget: {claude: ten}\n", "1:18: \"ten\" is not an amount of tokens"),
            ("budget: 5\n", "1:9: expected a mapping of keys to values"),
            ("shutdown: cutof\n", "1:11: unknown value \"cutof\"; expected one of cutoff, freeze, kill"),
            ("timezone: Mars/Olympus\n", "1:11: unknown time zone \"Mars/Olympus\"; expected an IANA name"),
            ("warn_at: [0]\n", "1:10: 0 is not a percentage from 1 to 100"),
            ("min_output: 1.5\n", "1:13: expected a whole number, 0 or more"),
            ("weights: {input: -1}\n", "1:18: weight -1 is not between 0 and 1000"),
            ("estimate: {count_tokens: maybe}\n", "1:26: expected true or false"),
            ("estimate: {timeout: soon}\n", "1:21: \"soon\" is not a period of time"),
            ("estimate: {count_token: true}\n", "1:12: "),
            ("window: year\n", "1:9: unknown value \"year\"; expected one of lifetime, day, week, month"),
            ("ledger: mysql\n", "1:9: expected sqlite or postgres://host/database"),
            ("ledger: {sqlite: {synchronous: ful}}\n", "1:32: unknown value \"ful\""),
            ("agents: {a/b: {}}\n", "1:10: \"a/b\" cannot be the name of an agent"),
            ("proxy: {max_tunnels: 0}\n", "1:9: found integer `0`, expected a whole number above 0"),
            ("proxy: {connect_timeout: fast}\n", "1:26: \"fast\" is not a period of time"),
            ("proxy: {listen: [localhost]}\n", "1:18: \"localhost\" is not ADDRESS:PORT"),
            ("control: {metrics: 9464}\n", "1:20: \"9464\" is neither off nor ADDRESS:PORT"),
            (
                "notify: [{webhok: {}}]\n",
                "1:11: unknown value \"webhok\"; expected one of webhook, telegram, discord, slack, ntfy",
            ),
            (
                "notify: [{webhook: {url: ftp://x, secret_env: X}}]\n",
                "1:26: expected a URL that begins with https://",
            ),
            (
                "notify: [{webhook: {url: 'https://u:p@x', secret_env: X}}]\n",
                "1:26: a URL with a user name or a password is not taken",
            ),
            (
                "notify: [{webhook: {url_env: U, secret_env: X}}, {webhook: {url_env: U, secret_env: Y}}]\n",
                "1:70: another webhook goes there already",
            ),
            (
                "notify: [{webhook: {url_env: U, secret_env: X, retry: [1m, soon]}}]\n",
                "1:60: \"soon\" is not a period of time",
            ),
            ("notify: [{webhook: {secret_env: X}}]\n", "1:20: a webhook has exactly one of url and url_env"),
            (
                "providers: {any: {hosts: [a.b.c], format: gemini}}\n",
                "1:13: \"any\" counts every provider together",
            ),
            ("providers: {x: {hosts: [], format: gemini}}\n", "1:24: a provider needs at least one host"),
            ("providers: {x: {}}\n", "1:16: a provider needs at least one host"),
            ("providers: {x: {hosts: [a.b.c]}}\n", "1:13: missing key \"format\""),
            (
                "providers: {x: {models: {m: {max_output: 0}}}}\n",
                "1:30: found integer `0`, expected a whole number above 0",
            ),
            (
                "providers: {x: {models: {m: {max_outputs: 5}}}}\n",
                "1:30: unknown key \"max_outputs\"; expected one of max_output, output_field, max_input",
            ),
            (
                "providers: {x: {models: {m: {output_field: max}}}}\n",
                "1:44: unknown value \"max\"; expected one of max_tokens, max_completion_tokens, max_output_tokens",
            ),
            ("providers: {x: {models: {m: {}}}}\n", "1:26: this says nothing of the model"),
            (
                "providers: {x: {models: {'a*b': {max_input: 5}}}}\n",
                "1:26: \"a*b\" has a `*` that is not at its end",
            ),
            ("providers: {x: {models: {'*': {max_input: 5}}}}\n", "1:26: \"*\" names no model"),
            (
                "control: {confirm: '0.0.0.0:6000'}\n",
                "1:20: 0.0.0.0:6000 is reached from other hosts, and here it is decided",
            ),
            ("control: {admin: '192.168.1.2:9111'}\n", "1:18: 192.168.1.2:9111 is reached from other hosts"),
            ("control: {confirm: '[::]:6000'}\n", "1:20: [::]:6000 is reached from other hosts"),
            ("approvals: {on_timeout: allow}\n", "1:25: unknown value \"allow\"; expected \"deny\""),
            ("refuse: never\n", "1:9: unknown value \"never\"; expected one of inside, connect"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("settings.yml:{expected}")), "{text}\n{error}");
        }
    }

    #[test]
    fn a_password_is_neither_taken_nor_shown() {
        for url in
            ["postgres://u:hunter2@h/d", "postgres://h/d?password=hunter2", "postgresql://u:hunter2/x@h/d"]
        {
            let error = parse(&format!("ledger: {url}\n")).unwrap_err();
            assert!(error.contains("PGPASSWORD") && !error.contains("hunter2"), "{error}");
        }
        assert!(parse("ledger: postgres://u@h:5432/d\n").is_ok());
    }

    #[test]
    fn a_url_that_is_refused_is_not_shown() {
        let error = parse("notify: [{webhook: {url: 'https://u:hunter2@x/', secret_env: X}}]\n").unwrap_err();
        assert!(error.contains("1:26") && error.contains("url_env") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn keys_without_enforcement_are_named_with_their_place() {
        let settings = parse(concat!(
            "ledger: postgres://h/d\n",
            "notify: [{telegram: {token_env: TG, chat: 1}}, {webhook: {url_env: HOOK, secret_env: SECRET}}]\n",
            "control: {admin: '127.0.0.1:6001', metrics: '127.0.0.1:9464'}\napprovals: {use_ttl: 1h}\n",
        ))
        .unwrap();
        let named: Vec<_> = settings.unsupported().iter().map(ToString::to_string).collect();
        let starts =
            ["settings.yml:1:1: ledger: postgres is valid, but this version does not enforce it yet"];
        assert_eq!(named.len(), starts.len(), "{named:?}");
        for (named, start) in named.iter().zip(starts) {
            assert!(named.starts_with(start), "{named}");
        }
        assert_eq!(settings.env_names().into_iter().collect::<Vec<_>>(), ["HOOK", "SECRET", "TG"]);
    }
}
