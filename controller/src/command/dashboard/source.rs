//! Where the dashboard reads: from the running controller, and from the ledger where none answers.
//!
//! Invariant: whoever reads, it is the same reading: [`Reader`] makes it in either process.

use super::link::Link;
use super::read::Reader;
use super::refusals::{KEPT, Refusals};
use super::{Context, forward};
use crate::dashboard::{Away, Event, Origin, Refusal, Snapshot};
use anyhow::Result;
use hudson_schema::BottleName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedSender;

/// Reads, again and again.
pub(super) struct Source {
    link: Arc<Link>,
    reader: Reader,
    events: UnboundedSender<Event>,
    /// What the controller knew of refusals. Those of `hudson up` are in no file: they would go with it.
    refusals: BTreeMap<BottleName, Vec<Refusal>>,
}

impl Source {
    /// Tells of changes from the first reading on.
    pub(super) fn new(context: Arc<Context>, link: Arc<Link>, events: UnboundedSender<Event>) -> Self {
        let reader = Reader::new(context, Arc::<Mutex<Refusals>>::default());
        Self { link, reader, events, refusals: BTreeMap::new() }
    }

    /// Reads everything once.
    pub(super) async fn read(&mut self) -> Result<Snapshot> {
        let away = match self.link.read().await {
            Ok(snapshot) => {
                self.reader.close();
                let known = snapshot.bottles.iter();
                self.refusals = known.map(|bottle| (bottle.name.clone(), bottle.refusals.clone())).collect();
                return Ok(snapshot);
            }
            Err(away) => away,
        };
        let fault = match &away {
            Away::Failed(fault) => Some(fault.clone()),
            Away::NotRunning | Away::Silent | Away::OtherVersion(_) => None,
        };
        let mut snapshot = self.reader.read(Origin::Ledger(away), fault).await?;
        if let Some(changes) = self.reader.opened() {
            tokio::spawn(forward(changes, self.events.clone()));
        }
        for bottle in &mut snapshot.bottles {
            let known = self.refusals.get(&bottle.name).map(Vec::as_slice).unwrap_or_default();
            bottle.refusals = together(std::mem::take(&mut bottle.refusals), known);
        }
        Ok(snapshot)
    }
}

/// The last of both, latest first; what both have is there once.
fn together(mut found: Vec<Refusal>, known: &[Refusal]) -> Vec<Refusal> {
    for refusal in known {
        if !found.iter().any(|other| other.is_of(refusal)) {
            found.push(refusal.clone());
        }
    }
    found.sort_by_key(|refusal| std::cmp::Reverse(refusal.at));
    found.truncate(KEPT);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_controller_knew_stays_until_there_is_something_later() {
        let refusal = |at: i64, asked: &str| Refusal {
            at,
            code: "host_not_allowed".to_owned(),
            asked: asked.to_owned(),
            reason: "no".to_owned(),
            times: 1,
        };
        let known: Vec<_> = (1..=5).rev().map(|at| refusal(at, &format!("GET {at}.test/"))).collect();
        let found = vec![refusal(9, "GET 4.test/"), refusal(8, "GET new.test/")];
        let asked: Vec<_> = together(found, &known).into_iter().map(|refusal| refusal.asked).collect();
        assert_eq!(asked, ["GET 4.test/", "GET new.test/", "GET 5.test/", "GET 3.test/", "GET 2.test/"]);
    }
}
