//! The places of connections that are no tunnel: first under the address they come from, then, once it is known whose
//! they are, under the bottle.
//!
//! Invariant: one address or bottle cannot fill the places of all. An honest client says within a moment whose it is,
//! so where an address has too many that have not, the oldest gives way, not the one that comes.

use crate::listener::Peer;
use hudson_schema::BottleName;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// How many connections may be open that are no tunnel.
#[derive(Clone, Copy, Debug)]
pub struct PlaceLimits {
    /// Of all addresses together, not identified yet.
    pub total: usize,
    /// Of one address, not identified yet.
    pub per_address: usize,
    /// Of one bottle, identified.
    pub per_bottle: usize,
}

/// Every connection that is no tunnel.
#[derive(Debug)]
pub(crate) struct Places {
    limits: PlaceLimits,
    // A std mutex: never held over an await, and the critical sections are map operations.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By age: ids only grow.
    unidentified: HashMap<Peer, BTreeMap<u64, CancellationToken>>,
    count: usize,
    bottles: HashMap<BottleName, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    // A std mutex: requests of one connection come one after the other.
    holder: Mutex<Holder>,
    /// Ends the connection.
    pub(crate) token: CancellationToken,
}

#[derive(Debug)]
enum Holder {
    Peer(Peer),
    Bottle(BottleName),
}

/// A bottle has as many connections as it may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{limit} connections of this bottle are open, which is the limit")]
pub(crate) struct NoPlace {
    limit: usize,
}

impl Places {
    pub(crate) fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self { limits, taken: Mutex::default() })
    }

    /// Takes a place for a connection; also the address whose oldest connection was ended for it, if one was.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer) -> (Place, Option<Peer>) {
        let token = CancellationToken::new();
        let mut taken = self.lock();
        let id = taken.next;
        taken.next += 1;
        let of_peer = taken.unidentified.get(&peer).map_or(0, BTreeMap::len);
        let crowded = match (of_peer >= self.limits.per_address, taken.count >= self.limits.total) {
            (true, _) => Some(peer),
            (false, true) => taken.largest(),
            (false, false) => None,
        };
        let displaced = crowded.filter(|crowded| taken.displace(*crowded));
        taken.unidentified.entry(peer).or_default().insert(id, token.clone());
        taken.count += 1;
        drop(taken);
        (Place { places: self.clone(), id, holder: Mutex::new(Holder::Peer(peer)), token }, displaced)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The connection turned out to be this bottle's.
    pub(crate) fn identify(&self, bottle: &BottleName) -> Result<(), NoPlace> {
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*holder, Holder::Bottle(known) if known == bottle) {
            return Ok(());
        }
        let mut taken = self.places.lock();
        let limit = self.places.limits.per_bottle;
        let count = taken.bottles.entry(bottle.clone()).or_default();
        if *count >= limit {
            return Err(NoPlace { limit });
        }
        *count += 1;
        taken.leave(self.id, &holder);
        *holder = Holder::Bottle(bottle.clone());
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let holder = self.holder.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.places.lock().leave(self.id, holder);
    }
}

impl Taken {
    /// The address with most of the connections that are not identified.
    fn largest(&self) -> Option<Peer> {
        self.unidentified.iter().max_by_key(|(_, of_peer)| of_peer.len()).map(|(peer, _)| *peer)
    }

    /// Ends the oldest connection of an address.
    fn displace(&mut self, peer: Peer) -> bool {
        let oldest = self.unidentified.get_mut(&peer).and_then(BTreeMap::pop_first);
        self.count -= usize::from(oldest.is_some());
        oldest.map(|(_, token)| token.cancel()).is_some()
    }

    fn leave(&mut self, id: u64, holder: &Holder) {
        match holder {
            Holder::Peer(peer) => {
                if let Some(of_peer) = self.unidentified.get_mut(peer) {
                    self.count -= usize::from(of_peer.remove(&id).is_some());
                    if of_peer.is_empty() {
                        self.unidentified.remove(peer);
                    }
                }
            }
            Holder::Bottle(bottle) => {
                if let Some(count) = self.bottles.get_mut(bottle) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.bottles.remove(bottle);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Arc<Places> {
        Places::new(PlaceLimits { total: 4, per_address: 2, per_bottle: 2 })
    }

    fn bottle(name: &str) -> BottleName {
        name.parse().unwrap()
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_and_no_other_address_does() {
        let places = places();
        let (other, _) = places.enter(Peer::User(2));
        let (first, _) = places.enter(Peer::User(1));
        let (second, displaced) = places.enter(Peer::User(1));
        assert_eq!(displaced, None);
        let (third, displaced) = places.enter(Peer::User(1));
        assert_eq!(displaced, Some(Peer::User(1)));
        let ended = [&other, &first, &second, &third].map(|place| place.token.is_cancelled());
        assert_eq!(ended, [false, true, false, false]);
    }

    #[test]
    fn where_all_places_are_taken_the_address_with_most_gives_way() {
        let places = places();
        let (first, _) = places.enter(Peer::User(1));
        let _others = [Peer::User(1), Peer::User(2), Peer::User(3)].map(|peer| places.enter(peer));
        let (_newcomer, displaced) = places.enter(Peer::User(4));
        assert_eq!(displaced, Some(Peer::User(1)));
        assert!(first.token.is_cancelled());
    }

    #[test]
    fn who_is_known_counts_under_the_bottle_alone() {
        let places = places();
        let known: Vec<_> = (0..2).map(|_| places.enter(Peer::User(1)).0).collect();
        for place in &known {
            place.identify(&bottle("a")).unwrap();
            place.identify(&bottle("a")).unwrap();
        }
        let (waiting, displaced) = places.enter(Peer::User(1));
        assert_eq!(displaced, None, "those that are known take no place of the address");
        assert_eq!(waiting.identify(&bottle("a")), Err(NoPlace { limit: 2 }));
        waiting.identify(&bottle("b")).unwrap();
        drop((known, waiting));
        let taken = places.lock();
        let free = taken.unidentified.is_empty() && taken.bottles.is_empty() && taken.count == 0;
        assert!(free, "every place came back");
    }
}
