//! Stand-in until branch risk has the real one.
#![allow(missing_docs)]
use anyhow::Result;
use hudson_proxy::dial::Dialer;
use hudson_schema::Tier;
use hudson_schema::config::ReviewSetting;
pub struct Reviewer;
#[derive(Clone, Debug)]
pub enum Verdict {
    Approve { reason: String },
    Deny { reason: String },
    Escalate { reason: String },
}
pub struct ReviewAsked<'a> {
    pub action: &'a str,
    pub tier: Tier,
    pub description: &'a str,
    pub details: &'a str,
    pub command: Option<&'a str>,
}
impl Reviewer {
    pub fn new(_: &ReviewSetting, _: Dialer) -> Result<Self> {
        Ok(Self)
    }
    pub async fn review(&self, _: &ReviewAsked<'_>) -> Verdict {
        Verdict::Escalate { reason: String::new() }
    }
}
