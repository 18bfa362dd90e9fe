//! Colours and weights. Without colours weights remain, and every one of them repeats what a word says.

use crate::dashboard::BottleState;
use ratatui::style::{Color, Modifier, Style};

/// How things are emphasised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    /// Whether colours may be used.
    pub(super) colour: bool,
}

impl Paint {
    fn with(self, colour: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.colour { style.fg(colour) } else { style }
    }

    /// What is well.
    pub(super) fn well(self) -> Style {
        // Blue and yellow are told apart by whoever cannot tell red from green.
        self.with(Color::LightBlue, Modifier::empty())
    }

    /// What asks for attention.
    pub(super) fn warning(self) -> Style {
        self.with(Color::Yellow, Modifier::BOLD)
    }

    /// What is wrong, or final.
    pub(super) fn wrong(self) -> Style {
        self.with(Color::LightMagenta, Modifier::BOLD)
    }

    /// What matters less.
    pub(super) fn quiet(self) -> Style {
        self.with(Color::Gray, Modifier::DIM)
    }

    /// A heading.
    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Where the keys go.
    pub(super) fn chosen(self) -> Style {
        self.with(Color::LightCyan, Modifier::BOLD)
    }

    /// The selected row.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A state.
    pub(super) fn state(self, state: BottleState) -> Style {
        match state {
            BottleState::Running => self.well(),
            BottleState::Partly | BottleState::CutOff | BottleState::Frozen => self.warning(),
            BottleState::Killed => self.wrong(),
            BottleState::Idle => self.quiet(),
        }
    }
}

/// The symbol of a state.
pub(super) fn symbol(state: BottleState) -> &'static str {
    match state {
        BottleState::Running => "●",
        BottleState::Partly => "◐",
        BottleState::CutOff => "■",
        BottleState::Frozen => "∗",
        BottleState::Killed => "×",
        BottleState::Idle => "○",
    }
}
