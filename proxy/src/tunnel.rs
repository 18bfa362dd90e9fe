//! Every open tunnel, and the means to end it.
//!
//! Invariant: a tunnel is in the registry from before its CONNECT is answered until its last byte; ending it there
//! ends everything in it. Limits are taken when it is registered and given back when its guard is dropped.

use hudson_schema::config::{Host, Scheme};
use hudson_schema::{BottleName, RunId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// One open tunnel.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// The run that opened it.
    pub run: RunId,
    /// The run's bottle.
    pub bottle: BottleName,
    /// How the host is spoken to.
    pub scheme: Scheme,
    /// The host it leads to.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Whether there was a route when it was opened; nothing but refusals is given in any other.
    pub routed: bool,
    /// Ends it.
    pub token: CancellationToken,
}

/// How many tunnels may be open.
#[derive(Clone, Copy, Debug)]
pub struct TunnelLimits {
    /// In the whole proxy.
    pub total: usize,
    /// In one bottle.
    pub per_bottle: usize,
}

/// The registry.
#[derive(Debug)]
pub struct Tunnels {
    limits: TunnelLimits,
    next: AtomicU64,
    // A std mutex: never held over an await, and the critical sections are map operations.
    open: Mutex<HashMap<u64, Tunnel>>,
    closed: AtomicBool,
}

/// A place in the registry; dropping it gives the place back.
#[derive(Debug)]
pub struct TunnelGuard {
    tunnels: Arc<Tunnels>,
    id: u64,
    /// The tunnel.
    pub tunnel: Tunnel,
}

/// The registry has no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{open} tunnels are open, the limit {of} is {limit}")]
pub struct TooManyTunnels {
    open: usize,
    of: &'static str,
    limit: usize,
}

impl Tunnels {
    /// An empty registry.
    pub fn new(limits: TunnelLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            next: AtomicU64::new(0),
            open: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Takes a place for a tunnel.
    pub fn register(self: &Arc<Self>, tunnel: Tunnel) -> Result<TunnelGuard, TooManyTunnels> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::Relaxed) {
            return Err(TooManyTunnels { open: open.len(), of: "while shutting down", limit: 0 });
        }
        if open.len() >= self.limits.total {
            return Err(TooManyTunnels { open: open.len(), of: "of the proxy", limit: self.limits.total });
        }
        let of_bottle = open.values().filter(|other| other.bottle == tunnel.bottle).count();
        if of_bottle >= self.limits.per_bottle {
            return Err(TooManyTunnels { open: of_bottle, of: "per bottle", limit: self.limits.per_bottle });
        }
        open.insert(id, tunnel.clone());
        drop(open);
        Ok(TunnelGuard { tunnels: self.clone(), id, tunnel })
    }

    /// Takes no more tunnels: the proxy is shutting down.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Ends every tunnel for which `which` says so; how many.
    pub fn end(&self, which: impl Fn(&Tunnel) -> bool) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter(|tunnel| which(tunnel)).map(|tunnel| tunnel.token.cancel()).count()
    }

    /// Those for which `which` says so.
    pub(crate) fn of(&self, which: impl Fn(&Tunnel) -> bool) -> Vec<Tunnel> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter(|tunnel| which(tunnel)).cloned().collect()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for TunnelGuard {
    fn drop(&mut self) {
        self.tunnels.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(bottle: &str) -> Tunnel {
        Tunnel {
            run: "r".parse().unwrap(),
            bottle: bottle.parse().unwrap(),
            scheme: Scheme::Https,
            host: Host::parse("a.test").unwrap(),
            port: 443,
            routed: true,
            token: CancellationToken::new(),
        }
    }

    #[test]
    fn limits_hold_per_bottle_and_in_all_and_places_come_back() {
        let tunnels = Tunnels::new(TunnelLimits { total: 3, per_bottle: 2 });
        let first = tunnels.register(tunnel("a")).unwrap();
        let _second = tunnels.register(tunnel("a")).unwrap();
        assert!(tunnels.register(tunnel("a")).is_err());
        let _third = tunnels.register(tunnel("b")).unwrap();
        assert!(tunnels.register(tunnel("b")).is_err());
        drop(first);
        assert!(tunnels.register(tunnel("a")).is_ok());
    }

    #[test]
    fn ending_reaches_the_tunnels_meant_and_no_other() {
        let tunnels = Tunnels::new(TunnelLimits { total: 9, per_bottle: 9 });
        let a = tunnels.register(tunnel("a")).unwrap();
        let b = tunnels.register(tunnel("b")).unwrap();
        assert_eq!(tunnels.end(|tunnel| tunnel.bottle.as_str() == "a"), 1);
        assert!(a.tunnel.token.is_cancelled() && !b.tunnel.token.is_cancelled());
    }
}
