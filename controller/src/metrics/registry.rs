//! The metrics there are: names, labels and what they mean.

/// One metric.
#[derive(Debug, Eq, PartialEq)]
pub struct Metric {
    /// Its name, without what the kind appends.
    pub name: &'static str,
    /// What is done with its values.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// Which process has it.
    pub by: By,
    /// What it says.
    pub help: &'static str,
}

/// What is done with values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// They only grow, from zero at the start of the process.
    Counter,
    /// They are what is so now.
    Gauge,
    /// They are counted by how large they are.
    Histogram,
}

/// Which process has a metric. `hudson up` has all of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    /// Each.
    All,
    /// One with a proxy: of its own traffic.
    Proxy,
    /// One with a controller: of all bottles of the home.
    Controller,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $by:ident: $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &Metric = &Metric {
                name: $name, kind: Kind::$kind, labels: &[$($label),*], by: By::$by, help: $help,
            };
        )*

        /// Every metric, in the order of their page.
        pub const ALL: &[&Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD = Gauge "hudson_build_info" ["version", "role"] All:
        "1, for the version and the command that answers";
    CONFIGURATION_FAULT = Gauge "hudson_configuration_fault" [] All:
        "1 while the files cannot be read and what was read before is in force";
    LEDGER_READABLE = Gauge "hudson_ledger_readable" [] All:
        "0 when the ledger could not be read for this page, which then has nothing of it";
    LEDGER_ERRORS = Counter "hudson_ledger_errors" [] All:
        "Reads and writes of the ledger that failed";
    LEDGER_COMMIT = Histogram "hudson_ledger_commit_seconds" [] All:
        "From asking the ledger for a write to the answer that it is durable";
    REQUESTS = Counter "hudson_requests" ["bottle", "host", "status"] Proxy:
        "Requests that were answered, by whomever, by kind of host (metered, provider, other) and class of status";
    REFUSALS = Counter "hudson_refusals" ["code"] Proxy:
        "Requests, tunnels and connections that Hudson refused, by the code of docs/refusals.md";
    TUNNELS = Gauge "hudson_tunnels_open" [] Proxy:
        "Open tunnels, and plain requests under way";
    RESPONSES = Counter "hudson_metered_responses" ["provider", "quality"] Proxy:
        "Metered responses by how their tokens were come by; every quality but exact deserves a look";
    TOKENS = Counter "hudson_tokens" ["provider", "quality", "kind"] Proxy:
        "Tokens of metered responses whose numbers are known; the kinds overlap, and total has each token once";
    CUTS = Counter "hudson_streams_cut" [] Proxy:
        "Streams that were ended because they had used what was reserved for them";
    FINDINGS = Counter "hudson_dlp_findings" ["bottle", "action"] Proxy:
        "Findings in what would leave that were told, by what was done: allow, warn, redact, supervise, block";
    CANARIES = Counter "hudson_canaries_tripped" ["bottle"] Proxy:
        "Requests with a canary, each of which had its bottle ordered stopped";
    INJECTIONS = Counter "hudson_injections" ["bottle", "action"] Proxy:
        "Answers with signs of instructions to the agent, by what was done: annotate, block";
    RUNS = Gauge "hudson_live_runs" ["bottle"] Controller:
        "Runs that have not ended";
    HELD = Gauge "hudson_held_tokens" [] Controller:
        "Tokens that requests in flight have reserved";
    LIMIT = Gauge "hudson_budget_limit_tokens" ["scope", "name", "provider"] Controller:
        "Tokens that a budget allows in its window; those of single runs are left out";
    USED = Gauge "hudson_budget_used_tokens" ["scope", "name", "provider"] Controller:
        "Tokens charged to a budget in its window";
    BUDGET_HELD = Gauge "hudson_budget_held_tokens" ["scope", "name", "provider"] Controller:
        "Tokens reserved under a budget";
    BLOCKS = Gauge "hudson_blocks" ["scope", "policy", "by"] Controller:
        "Scopes that are stopped, by a spent budget or an operator";
    ENFORCEMENTS = Gauge "hudson_enforcements" ["action", "state"] Controller:
        "Enforcements on record by the state that they have reached";
    ENFORCED = Histogram "hudson_enforcement_seconds" ["action"] Controller:
        "From the crossing or the order to the enforcement's end, of those that are done";
    APPROVALS = Gauge "hudson_approvals" ["kind", "status"] Controller:
        "Approvals on record by what is asked for and how far they have got; those that are over are forgotten after 30 days";
    UNDELIVERED = Gauge "hudson_notifications_undelivered" [] Controller:
        "Notifications that wait for their delivery";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    impl Metric {
        /// The names of the series that it has on the page.
        fn series(&self) -> Vec<String> {
            match self.kind {
                Kind::Counter => vec![format!("{}_total", self.name)],
                Kind::Gauge => vec![self.name.to_owned()],
                Kind::Histogram => {
                    ["bucket", "sum", "count"].map(|part| format!("{}_{part}", self.name)).to_vec()
                }
            }
        }
    }

    /// The page of the documentation.
    fn documentation() -> String {
        let mut page = String::from(
            "# Metrics\n\nGenerated from `controller/src/metrics/registry.rs`: run the tests of hudson-controller with \
             UPDATE=1.\n\n`hudson up` has all of them, `hudson controller` those of the controller, `hudson proxy` those \
             of the proxy. A gauge\nof the controller is of the whole home; a counter of a proxy is of that process, \
             since it started.\n\n| metric | kind | labels | of | says |\n|---|---|---|---|---|\n",
        );
        for metric in ALL {
            let name = match metric.kind {
                Kind::Histogram => metric.name.to_owned(),
                _ => metric.series().concat(),
            };
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let by = match metric.by {
                By::All => "each",
                By::Proxy => "proxy",
                By::Controller => "controller",
            };
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(page, "| `{name}` | {kind} | {} | {by} | {} |", labels.join(", "), metric.help).unwrap();
        }
        page
    }

    #[test]
    fn the_documentation_is_current() {
        let path = repository().join("docs/metrics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, documentation()).unwrap();
        }
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(current == documentation(), "{} is stale; run this with UPDATE=1", path.display());
    }

    #[test]
    fn names_keep_to_the_custom() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            assert!(metric.name.starts_with("hudson_") && seen.insert(metric.name), "{}", metric.name);
            assert!(!metric.name.ends_with("_total") && !metric.help.ends_with('.'), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Histogram, metric.name.ends_with("_seconds"), "{}", metric.name);
            assert!(
                !metric.labels.iter().any(|label| ["run", "path", "le"].contains(label)),
                "{}",
                metric.name
            );
        }
    }

    /// Each query of a dashboard.
    fn queries(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value.as_str()) {
                        ("expr" | "query", Some(query)) => found.push(query.to_owned()),
                        _ => queries(value, found),
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_dashboard_asks_for_metrics_and_labels_that_there_are() {
        let path = repository().join("packaging/grafana-dashboard.json");
        let dashboard: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut found = Vec::new();
        queries(&dashboard, &mut found);
        assert!(found.len() >= 12, "{found:?}");
        let known: BTreeSet<String> = ALL.iter().flat_map(|metric| metric.series()).collect();
        let labels: BTreeSet<&str> =
            ALL.iter().flat_map(|metric| metric.labels).copied().chain(["le", "instance", "job"]).collect();
        let mut asked = BTreeSet::new();
        for query in &found {
            let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            for name in words.filter(|word| word.starts_with("hudson_")) {
                assert!(known.contains(name), "{name} in {query}");
                asked.insert(name.to_owned());
            }
            for part in query.split("by (").skip(1).chain(query.split('{').skip(1)) {
                let inside = part.split([')', '}']).next().unwrap();
                for label in inside.split(',').filter_map(|label| label.split(['=', '!']).next()) {
                    let label = label.trim();
                    assert!(label.is_empty() || labels.contains(label), "{label} in {query}");
                }
            }
        }
        // Nothing that is there to be watched is left out of sight.
        for metric in ALL.iter().filter(|metric| metric.name != "hudson_budget_held_tokens") {
            assert!(
                metric.series().iter().any(|name| asked.contains(name)),
                "no panel shows {}",
                metric.name
            );
        }
    }
}
