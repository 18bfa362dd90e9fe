//! UTF-8 checked piece by piece: a message's text may be cut anywhere, also inside a character.

/// What came so far.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose end has not come yet.
    begun: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Whether the text can still be valid after these bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while self.length > 0 {
            let Some((first, rest)) = bytes.split_first() else { return true };
            let Some(slot) = self.begun.get_mut(self.length) else { return false };
            *slot = *first;
            self.length += 1;
            bytes = rest;
            match std::str::from_utf8(self.begun.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(bytes) else { return true };
        let end = bytes.get(error.valid_up_to()..).unwrap_or_default();
        match (error.error_len(), self.begun.get_mut(..end.len())) {
            (None, Some(begun)) => {
                begun.copy_from_slice(end);
                self.length = end.len();
                true
            }
            _ => false,
        }
    }

    /// Whether the text may end here; the next one begins.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(&mut self.length) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn valid(bytes: &[u8], piece: usize) -> bool {
        let mut utf8 = Utf8::default();
        bytes.chunks(piece).all(|piece| utf8.feed(piece)) && utf8.end()
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_judged_as_whole(
            text in ".{0,12}", noise in prop::collection::vec(any::<u8>(), 0..4), at in 0usize..40, piece in 1usize..6,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.min(bytes.len());
            bytes.splice(at..at, noise);
            prop_assert_eq!(valid(&bytes, piece), std::str::from_utf8(&bytes).is_ok());
        }
    }
}
