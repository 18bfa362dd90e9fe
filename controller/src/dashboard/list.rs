//! Which bottles are listed, in which order.

use super::state::{Sort, State};
use super::{Bottle, BottleState};

impl State {
    /// The bottles that the filter leaves, in order. Equal ones are by name, so that no row jumps without a cause.
    pub(crate) fn shown(&self) -> Vec<&Bottle> {
        let bottles = self.snapshot.iter().flat_map(|snapshot| &snapshot.bottles);
        let wanted = self.filter.to_lowercase();
        let mut shown: Vec<&Bottle> = bottles.filter(|bottle| matches(bottle, &wanted)).collect();
        match self.sort {
            Sort::Name => shown.sort_by_key(|bottle| &bottle.name),
            Sort::Usage => shown.sort_by_key(|bottle| std::cmp::Reverse(bottle.spent().tokens)),
            Sort::Rate => shown.sort_by_key(|bottle| std::cmp::Reverse(bottle.rate)),
            Sort::Empty => shown.sort_by_key(|bottle| bottle.empty_in(self.now).unwrap_or(i64::MAX)),
        }
        shown
    }

    /// Where the selected bottle stands among the listed ones.
    pub(crate) fn position(&self) -> usize {
        let shown = self.shown();
        shown.iter().position(|bottle| Some(&bottle.name) == self.selected.as_ref()).unwrap_or_default()
    }

    /// Selects the listed bottle at this place, or the last one.
    pub(super) fn select(&mut self, place: usize) {
        let shown = self.shown();
        let name = shown.get(place).or(shown.last()).map(|bottle| bottle.name.clone());
        if name != self.selected {
            self.detail_top = 0;
        }
        self.selected = name;
    }
}

fn matches(bottle: &Bottle, wanted: &str) -> bool {
    let contains = |text: &str| text.to_lowercase().contains(wanted);
    wanted.is_empty()
        || contains(bottle.name.as_str())
        || contains(word(bottle.state))
        || bottle.providers.iter().chain(&bottle.hosts).any(|spent| contains(&spent.of))
        || bottle.live().filter_map(|run| run.agent.as_ref()).any(|agent| contains(agent.as_str()))
}

/// A state in one word or two.
pub(super) fn word(state: BottleState) -> &'static str {
    match state {
        BottleState::Running => "running",
        BottleState::Partly => "partly",
        BottleState::CutOff => "cut off",
        BottleState::Frozen => "frozen",
        BottleState::Killed => "killed",
        BottleState::Idle => "idle",
    }
}
