//! What is printed of a soak, and whether the promise was kept.

use std::fmt;
use std::time::Duration;

use super::overshoot::Outcome;
use super::reach::Reach;
use super::verdict::{BUDGET_REFUSALS, Evidence, Sum, Verdict};
use super::watch::Seen;
use super::{Budget, Plan};

/// How soon a changed limit is to be in force everywhere, in milliseconds.
const BAR: u64 = 200;
/// More faults than these are alike.
const MOST_FAULTS: usize = 40;

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// What must not be; empty where the promise was kept.
    pub faults: Vec<String>,
    /// Processes that were killed.
    pub kills: usize,
    /// Requests that reached the provider and that it charges for.
    pub served: u64,
    /// Requests that a budget refused.
    pub refused: u64,
    /// How soon changed limits were in force.
    pub reach: Reach,
    pub(super) plan: Plan,
    pub(super) verdict: Verdict,
    pub(super) seen: Seen,
    pub(super) course: Course,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Course {
    /// From the first request to the last kill.
    pub(super) lasted: Duration,
    /// How long each start of a process took.
    pub(super) starts: Vec<Duration>,
    /// Holds that stood at the end.
    pub(super) left: usize,
    /// What the audit's own check says.
    pub(super) audit: String,
}

impl Report {
    pub(super) fn of(
        plan: &Plan,
        evidence: Evidence,
        mut faults: Vec<String>,
        kills: usize,
        reach: Reach,
        course: Course,
    ) -> Self {
        let mut verdict = Verdict::of(&evidence);
        faults.append(&mut verdict.faults);
        let of = |code: &str| verdict.ends.get(code).copied().unwrap_or_default();
        Self {
            faults,
            kills,
            served: verdict.served,
            refused: BUDGET_REFUSALS.into_iter().map(of).sum(),
            reach,
            plan: plan.clone(),
            verdict,
            seen: evidence.seen,
            course,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, course, .. } = self;
        let budget = match plan.budget {
            Budget::Roomy => "never reached",
            Budget::Tight => "reached on the way",
        };
        let lasted = course.lasted.as_secs_f64();
        writeln!(
            f,
            "soak: {} processes x {} streams for {lasted:.1} s, one killed each {:?}; budgets {budget}; seed {}",
            plan.processes, plan.streams, plan.kill_every, plan.seed
        )?;
        self.traffic(f)?;
        self.tokens(f)?;
        self.limits(f)?;
        writeln!(f, "  audit           {}", course.audit.trim())?;
        writeln!(f, "  faults          {}", self.faults.len())?;
        self.faults.iter().take(MOST_FAULTS).try_for_each(|fault| writeln!(f, "    {fault}"))
    }
}

impl Report {
    fn traffic(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, seen, course, .. } = self;
        let rate = verdict.ends.values().sum::<u64>() as f64 / course.lasted.as_secs_f64();
        let ends: Vec<String> = verdict.ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
        writeln!(f, "  requests        {rate:.0} a second; {} served; {}", self.served, ends.join(", "))?;
        let flight = sorted(&seen.in_flight);
        writeln!(f, "  in flight       p50 {}, most {}", middle(&flight), last(&flight))?;
        let starts = sorted(&course.starts);
        let (p50, most) = (middle(&starts).as_millis(), last(&starts).as_millis());
        writeln!(f, "  kills           {}; a start took p50 {p50} ms, most {most} ms", self.kills)?;
        let (dead, alive) = (seen.longest_dead.as_millis(), seen.longest_alive.as_millis());
        let left = course.left;
        writeln!(
            f,
            "  holds           stood for at most {dead} ms after a kill, {alive} ms without one; {left} are left"
        )
    }

    fn tokens(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        let mut all = Sum::default();
        for (bottle, sum) in &verdict.by_bottle {
            writeln!(f, "  bottle {bottle:<8} {}", line(sum))?;
            all.requests += sum.requests;
            all.spent += sum.spent;
            all.charged += sum.charged;
        }
        writeln!(f, "  in all          {}", line(&all))?;
        for (quality, sum) in &verdict.by_quality {
            writeln!(f, "  {quality:<15} {}", line(sum))?;
        }
        let Sum { requests, charged, .. } = verdict.unserved;
        writeln!(
            f,
            "  held for naught {requests} requests that the provider did not serve, charged {charged}"
        )?;
        writeln!(
            f,
            "  unseen input    {} tokens above their estimate in answers that nobody read to the end",
            verdict.unseen
        )
    }

    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.verdict.outcomes {
            let Outcome { limit, spent, bound } = outcome;
            let name = format!("{} {} {}", limit.scope, limit.key, limit.provider);
            let tokens = limit.tokens;
            writeln!(
                f,
                "  limit {name:<18} {spent} of {tokens}; overshoot {}, bound {bound}",
                outcome.overshoot()
            )?;
        }
        for (what, took) in [("lowered", &self.reach.lowered), ("raised", &self.reach.raised)] {
            let took = sorted(took);
            let within = took.iter().filter(|took| **took <= BAR).count();
            let (p50, most, all) = (middle(&took), last(&took), took.len());
            writeln!(
                f,
                "  limit {what:<9} in force p50 {p50} ms, most {most} ms; {within} of {all} within {BAR} ms"
            )?;
        }
        Ok(())
    }
}

fn line(sum: &Sum) -> String {
    let Sum { requests, spent, charged } = sum;
    let more = i128::from(*charged) - i128::from(*spent);
    format!("{requests} requests; provider {spent}, charged {charged} ({more:+})")
}

fn sorted<T: Copy + Ord>(values: &[T]) -> Vec<T> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted
}

fn middle<T: Copy + Default>(sorted: &[T]) -> T {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn last<T: Copy + Default>(sorted: &[T]) -> T {
    sorted.last().copied().unwrap_or_default()
}
