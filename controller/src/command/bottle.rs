//! `hudson bottle`: the bottles there are, one of them in full, credentials for one that is started elsewhere, and an
//! operator's orders.

mod add;
mod list;
mod remove;
mod show;
mod stop;

use super::{Context, ledger, watch};
use crate::cli::BottleCommand;
use crate::exit::Exit;
use anyhow::{Context as _, Result};
use hudson_schema::BottleName;
use hudson_schema::home::Home;
use hudson_schema::ledger::{SharedLedger, UsageColumn, UsageQuery};
pub(super) use list::rows;
pub(super) use show::object;
use std::collections::BTreeSet;
use std::io::ErrorKind;
pub(super) use stop::{
    Ordered, Outcome, Resumed, all_done, lines, order_cutoff, order_freeze, order_kill, order_resume,
};

/// Runs a `hudson bottle` command.
pub(super) async fn execute(context: &Context, command: BottleCommand) -> Result<u8> {
    match command {
        BottleCommand::Add(arguments) => add::execute(context, arguments).await,
        BottleCommand::List(arguments) => list::execute(context, arguments).await,
        BottleCommand::Show { name } => show::execute(context, &name).await,
        BottleCommand::Cutoff(arguments) => stop::cutoff(context, arguments).await,
        BottleCommand::Freeze(arguments) => stop::freeze(context, arguments).await,
        BottleCommand::Kill(arguments) => stop::kill(context, arguments).await,
        BottleCommand::Resume { name } => stop::resume(context, &name).await,
        BottleCommand::Remove { name } => remove::execute(context, &name).await,
    }
}

/// The bottles that have files in a home. What has no bottle's name is none.
pub(super) fn on_disk(home: &Home) -> Result<BTreeSet<BottleName>> {
    let folder = home.bottles();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", folder.display())),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let bottle = match entry.path().is_dir() {
            true => Some(name),
            false => name.strip_suffix(".md"),
        };
        names.extend(bottle.and_then(|name| name.parse::<BottleName>().ok()));
    }
    Ok(names)
}

/// The bottles that the ledger has seen runs or usage of.
pub(super) async fn on_record(ledger: Option<&SharedLedger>) -> Result<BTreeSet<BottleName>> {
    let Some(ledger) = ledger else { return Ok(BTreeSet::new()) };
    let mut names: BTreeSet<_> = ledger.run_list(false).await?.into_iter().map(|run| run.bottle).collect();
    let used =
        ledger.usage_sum(UsageQuery { by: vec![UsageColumn::Bottle], ..UsageQuery::default() }).await?;
    names.extend(used.into_iter().filter_map(|sum| sum.group.into_iter().next()?.parse().ok()));
    Ok(names)
}

/// An error for a name that neither the files nor the ledger know.
pub(super) async fn refuse_unknown(
    context: &Context,
    ledger: Option<&SharedLedger>,
    name: &BottleName,
) -> Result<()> {
    let home = &context.home;
    if on_disk(home)?.contains(name) || on_record(ledger).await?.contains(name) {
        return Ok(());
    }
    Err(Exit::not_found(format!(
        "there is no bottle {name}: neither {} nor {} exists, and no run of it is on record; `hudson bottle list` lists them",
        home.bottle(name).display(),
        home.manifest(name).display()
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn folders_and_manifests_are_bottles() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert!(on_disk(&home).unwrap().is_empty());
        fs::create_dir_all(home.bottles().join("ci")).unwrap();
        for file in ["dev.md", "README", ".hidden.md", "a b.md"] {
            fs::write(home.bottles().join(file), "").unwrap();
        }
        let names: Vec<_> = on_disk(&home).unwrap().into_iter().map(|name| name.to_string()).collect();
        assert_eq!(names, ["ci", "dev"]);
    }
}
