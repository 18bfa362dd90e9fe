//! The images that bottles are saved as: what they are called, what is written on them, and how they are found again.

use super::{AGENT, BOTTLE, Engine, FROZEN_AT, RUN};
use anyhow::{Context, Result};
use bollard::query_parameters::ListImagesOptionsBuilder;
use hudson_schema::BottleName;
use hudson_schema::RunId;
use hudson_schema::ledger::{Enforcement, RunRecord};
use std::collections::{BTreeMap, HashMap};

/// The label that names the row of the journal by which it was saved.
const FREEZE: &str = "hudson.freeze";

/// What the image of a freeze is called: after the bottle and the time, and the end of the run's id, which is random: no
/// other freeze of an engine's has that name.
pub fn image_name(row: &Enforcement) -> Result<String> {
    let at = jiff::Timestamp::from_millisecond(row.created_at).context("the time of the freeze")?;
    let run = row.run_id.as_str();
    let end = run.get(run.len().saturating_sub(8)..).unwrap_or(run).to_ascii_lowercase();
    Ok(format!("hudson/{}:{}-{end}", repository(&row.bottle), at.strftime("%Y%m%dT%H%M%S%3fZ")))
}

/// What is written on the image of a freeze.
pub fn image_labels(row: &Enforcement, run: &RunRecord) -> Result<BTreeMap<String, String>> {
    let at = jiff::Timestamp::now().to_string();
    let mut labels = BTreeMap::from([
        (RUN.to_owned(), run.id.to_string()),
        (BOTTLE.to_owned(), run.bottle.to_string()),
        (FREEZE.to_owned(), row.id.to_string()),
        (FROZEN_AT.to_owned(), at),
    ]);
    labels.extend(run.agent.as_ref().map(|agent| (AGENT.to_owned(), agent.to_string())));
    Ok(labels)
}

/// The image that a run was saved as last.
pub async fn last_image(engine: &Engine, run: &RunId) -> Result<Option<String>> {
    let label = format!("{RUN}={run}");
    let filters = HashMap::from([("label", vec![label.as_str(), FREEZE])]);
    let options = ListImagesOptionsBuilder::default().filters(&filters).build();
    let images = engine.ask("listing images", engine.docker().list_images(Some(options))).await?;
    let freeze = |labels: &HashMap<String, String>| labels.get(FREEZE)?.parse::<i64>().ok();
    let last = images.into_iter().max_by_key(|image| freeze(&image.labels));
    Ok(last
        .map(|image| image.repo_tags.into_iter().find(|name| !name.contains("<none>")).unwrap_or(image.id)))
}

/// The bottle's name as engines take one: small letters, and single separators between them.
fn repository(bottle: &BottleName) -> String {
    let lower = bottle.as_str().to_ascii_lowercase();
    let parts: Vec<&str> =
        lower.split(|each: char| !each.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bottle_has_a_name_that_engines_take() {
        for (bottle, expected) in
            [("ci", "ci"), ("My.Bottle", "my-bottle"), ("a__b--c.", "a-b-c"), ("9", "9")]
        {
            assert_eq!(repository(&bottle.parse().unwrap()), expected);
        }
    }
}
