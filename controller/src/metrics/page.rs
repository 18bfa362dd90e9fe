//! The page that is scraped: OpenMetrics text, which Prometheus reads.

use super::{ALL, Kind, Metric};
use hudson_schema::ledger::DurationCounts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// What the page is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics with their values at one moment.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    samples: Vec<(Vec<(&'static str, String)>, Value)>,
}

#[derive(Debug)]
enum Value {
    Number(u64),
    Durations(DurationCounts),
}

impl Page {
    /// Adds a counter's or a gauge's value at these labels.
    pub fn number(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        self.add(metric, labels, Value::Number(value));
    }

    /// Adds a histogram at these labels.
    pub fn durations(&mut self, metric: &'static Metric, labels: &[&str], value: DurationCounts) {
        self.add(metric, labels, Value::Durations(value));
    }

    /// The page.
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut page, &registry);
        page
    }

    fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        let labels = metric.labels.iter().copied().zip(labels.iter().map(|label| plain(label))).collect();
        match self.families.iter_mut().find(|family| family.metric == metric) {
            Some(family) => family.samples.push((labels, value)),
            None => self.families.push(Family { metric, samples: vec![(labels, value)] }),
        }
    }
}

/// A label's value without what would have to be escaped in it: no name has any of these.
fn plain(label: &str) -> String {
    label.chars().map(|c| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c }).collect()
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in ALL {
            let Some(Family { samples, .. }) = self.families.iter().find(|of| of.metric == *metric) else {
                continue;
            };
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for (labels, value) in samples {
                match labels.is_empty() {
                    true => value.encode(metric.kind, &mut family)?,
                    false => value.encode(metric.kind, &mut family.encode_family(labels)?)?,
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, kind: Kind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match (self, kind) {
            (Self::Number(value), Kind::Counter) => encoder.encode_counter::<NoLabelSet, _, u64>(value, None),
            (Self::Number(value), _) => encoder.encode_gauge(value),
            (Self::Durations(DurationCounts { buckets, count, sum }), _) => {
                encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::{BUILD, ENFORCED, REFUSALS, TUNNELS};
    use super::*;
    use hudson_schema::ledger::Durations;
    use std::time::Duration;

    #[test]
    fn a_page_is_what_a_scraper_reads() {
        let mut page = Page::default();
        page.number(BUILD, &["0.1.0", "u\"p\n"], 1);
        page.number(TUNNELS, &[], 7);
        page.number(REFUSALS, &["host_not_allowed"], 3);
        page.number(REFUSALS, &["bottle_cut_off"], 1);
        let durations = Durations::default();
        durations.add(Duration::from_millis(2));
        durations.add(Duration::from_secs(60));
        page.durations(ENFORCED, &["kill"], durations.read());
        let text = page.text();
        for line in [
            "hudson_build_info{version=\"0.1.0\",role=\"u_p_\"} 1",
            "hudson_tunnels_open 7",
            "# TYPE hudson_refusals counter",
            "hudson_refusals_total{code=\"host_not_allowed\"} 3",
            "hudson_refusals_total{code=\"bottle_cut_off\"} 1",
            "hudson_enforcement_seconds_bucket{le=\"0.0025\",action=\"kill\"} 1",
            "hudson_enforcement_seconds_bucket{le=\"+Inf\",action=\"kill\"} 2",
            "hudson_enforcement_seconds_count{action=\"kill\"} 2",
        ] {
            assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
