//! The audit, followed row by row: the chain holds, its charges add up to the usage, and a crossing is told once.

use hudson_schema::ledger::audit::Chain;
use hudson_schema::ledger::{AuditRecord, Ledger, LimitInForce, UsageColumn, UsageQuery};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Proof {
    chain: Chain,
    /// What the audit says was charged, by bottle, run and provider.
    charged: BTreeMap<Vec<String>, i64>,
    /// The blocks that it says stand, by scope, provider and window.
    blocks: BTreeSet<String>,
}

impl Proof {
    /// Takes what is new since these limits are in force, and compares it with the usage.
    pub(crate) async fn follow(&mut self, ledger: &dyn Ledger, in_force: &[LimitInForce]) {
        self.read(ledger, |row, block| assert_may_end(row, block, in_force)).await;
    }

    /// The whole audit, from its first row.
    pub(crate) async fn whole(ledger: &dyn Ledger) {
        Self::default().read(ledger, |_, _| {}).await;
    }

    async fn read(&mut self, ledger: &dyn Ledger, lifted: impl Fn(&AuditRecord, &Value)) {
        for row in ledger.audit_list(self.chain.rows(), usize::MAX).await.unwrap() {
            self.chain.follow(&row).unwrap();
            let data: Value = serde_json::from_str(&row.data).unwrap();
            let number = |value: &Value| value.as_i64().unwrap();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let charged = match row.kind.as_str() {
                "usage_charge" => number(&data["charged"]),
                "usage_replace" => number(&data["charged"]) - number(&data["before"]["charged"]),
                "block_place" | "block_lift" => {
                    let block = block(&data);
                    let turned = match row.kind.as_str() {
                        "block_place" => self.blocks.insert(block),
                        _ => {
                            lifted(&row, &data);
                            self.blocks.remove(&block)
                        }
                    };
                    assert!(turned, "{} twice: {}", row.kind, row.data);
                    continue;
                }
                _ => continue,
            };
            let key = vec![row.bottle.unwrap(), text(&data["run"]), text(&data["provider"])];
            *self.charged.entry(key).or_default() += charged;
        }
        assert_eq!(self.chain.rows(), ledger.audit_last().await.unwrap());

        let by = vec![UsageColumn::Bottle, UsageColumn::Run, UsageColumn::Provider];
        let sums = ledger.usage_sum(UsageQuery { by, ..UsageQuery::default() }).await.unwrap();
        let sums: BTreeMap<_, _> =
            sums.into_iter().map(|sum| (sum.group, sum.charged.cast_signed())).collect();
        assert_eq!(self.charged, sums, "replaying the audit gives the usage");
        let standing = ledger.block_list().await.unwrap();
        let standing: BTreeSet<_> =
            standing.iter().map(|row| block(&serde_json::to_value(row).unwrap())).collect();
        assert_eq!(self.blocks, standing, "and the blocks");
    }
}

fn block(data: &Value) -> String {
    let budget = &data["budget"];
    format!("{} {} {}", data["scope"], budget["provider"], budget["window_start"])
}

/// Only its window's end lifts a block, or that its limit allows more now, or is gone.
fn assert_may_end(lift: &AuditRecord, block: &Value, in_force: &[LimitInForce]) {
    let budget = &block["budget"];
    if budget["window_end"].as_i64().is_some_and(|end| end <= lift.ts) {
        return;
    }
    let is_its = |limit: &&LimitInForce| {
        serde_json::to_value(&limit.scope).unwrap() == block["scope"]
            && limit.provider.as_str() == budget["provider"]
    };
    let allowed = in_force.iter().find(is_its).and_then(|limit| limit.tokens);
    assert!(allowed > budget["limit"].as_u64() || allowed.is_none(), "lifted under {allowed:?}: {block}");
}
