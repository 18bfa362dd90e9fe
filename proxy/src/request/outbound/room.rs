//! Room in memory for bodies that are held back, and for those that are looked at as they go.
//!
//! Invariant: what is held is counted until it has left. One run takes a part of the room that all runs share, so that it
//! cannot have the others wait.

use super::Outbound;
use crate::shared::Shared;
use bytes::Bytes;
use hudson_schema::{Refusal, RefusalCode};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What the bodies of one run that are held back may take together, in KiB.
const HELD_KIB: usize = 128 << 10;
/// Uploads of one run that are looked at as they go; each takes what a block and what is held back in front of it take.
const UPLOADS: usize = 256;
/// Requests of one run that are held for people's decisions at the same time.
const HOLDS: usize = 256;
/// Room is taken in steps of so many KiB, in larger ones where much is held.
const STEPS_KIB: [usize; 2] = [64, 1 << 10];

/// What one run may hold.
pub(crate) struct Allowance {
    held: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    holds: Arc<Semaphore>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            held: Arc::new(Semaphore::new(HELD_KIB)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            holds: Arc::new(Semaphore::new(HOLDS)),
        }
    }
}

/// A place among what is held for people, and room for its body.
pub(crate) struct Held {
    #[allow(dead_code, reason = "held for its drop")]
    permits: [OwnedSemaphorePermit; 2],
}

impl Allowance {
    /// Room for a request of this size that waits for people; `None` where the run has as much waiting as it may.
    pub(crate) fn hold(&self, size: usize) -> Option<Held> {
        // As it was sent, in clear, and rewritten, as it is while it is read.
        let kib = u32::try_from(size.saturating_mul(3).div_ceil(1024)).ok()?;
        let place = self.holds.clone().try_acquire_owned().ok()?;
        let room = self.held.clone().try_acquire_many_owned(kib).ok()?;
        Some(Held { permits: [place, room] })
    }
}

/// Room that was taken.
#[derive(Default)]
pub(super) struct Room {
    /// The run's own, and that of all.
    permits: Option<[OwnedSemaphorePermit; 2]>,
    kib: usize,
}

impl Room {
    /// Takes what is missing for so many bytes; whether there was so much.
    pub(super) fn holds(&mut self, outbound: &Outbound, size: usize) -> bool {
        let missing = size.div_ceil(1024).saturating_sub(self.kib);
        if missing == 0 {
            return true;
        }
        let [small, large] = STEPS_KIB;
        let step = if self.kib < large { small } else { large };
        let more = missing.next_multiple_of(step);
        let Ok(wanted) = u32::try_from(more) else { return false };
        let take = |room: &Arc<Semaphore>| room.clone().try_acquire_many_owned(wanted).ok();
        let Some(own) = take(&outbound.run.allowance.held) else { return false };
        let Some(of_all) = take(&outbound.shared.bodies) else { return false };
        self.kib += more;
        match &mut self.permits {
            Some([mine, all]) => {
                mine.merge(own);
                all.merge(of_all);
            }
            None => self.permits = Some([own, of_all]),
        }
        true
    }

    /// Gives back what so many bytes do not need.
    fn shrink(&mut self, size: usize) {
        let needed = size.div_ceil(1024);
        let spare = self.kib.saturating_sub(needed);
        self.permits.iter_mut().flatten().for_each(|permits| drop(permits.split(spare)));
        self.kib -= spare;
    }
}

/// A place among the uploads of a run that are looked at as they go; waits for one.
pub(super) async fn upload(shared: &Shared, allowance: &Allowance) -> Result<OwnedSemaphorePermit, Refusal> {
    match timeout(shared.limits.body, allowance.uploads.clone().acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(crowded()),
    }
}

/// The refusal of what there is no room for.
pub(super) fn crowded() -> Refusal {
    Refusal::new(RefusalCode::TooManyTunnels, "Too many large requests at once.").with_retry_after(5)
}

/// Bytes that take room until the last of them has left, wherever they wait on their way.
pub(super) fn kept(bytes: Bytes, mut room: Room) -> Bytes {
    room.shrink(bytes.len());
    Bytes::from_owner(Kept { bytes, room })
}

struct Kept {
    bytes: Bytes,
    #[allow(dead_code, reason = "held for its drop")]
    room: Room,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_so_much_waiting_for_people_and_no_more() {
        let allowance = Allowance::default();
        let small: Vec<_> = (0..HOLDS).map_while(|_| allowance.hold(0)).collect();
        assert_eq!(small.len(), HOLDS);
        assert!(allowance.hold(0).is_none());
        drop(small);
        // Three times what they were sent as, together.
        let size = HELD_KIB * 1024 / 6;
        let large = (allowance.hold(size), allowance.hold(size - 4096));
        assert!(large.0.is_some() && large.1.is_some() && allowance.hold(size).is_none());
        drop(large);
        assert!(allowance.hold(size).is_some() && allowance.hold(usize::MAX).is_none());
    }
}
