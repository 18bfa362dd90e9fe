//! Names to addresses, by the system's resolver.
//!
//! Invariant: a lookup keeps its place until the system's call returns, not only until somebody stops waiting for it,
//! so that names that nobody answers for cannot fill the threads on which everything blocking runs.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Lookups at once: an eighth of the threads that tokio gives to blocking work.
const LOOKUPS: usize = 64;
/// Lookups of one run at once: a quarter of them.
const LOOKUPS_OF_ONE: usize = 16;

/// Looks names up for one run.
#[derive(Clone, Debug)]
pub struct Resolver {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(LOOKUPS)), own: Arc::new(Semaphore::new(LOOKUPS_OF_ONE)) }
    }
}

impl Resolver {
    /// The same places for all, and fresh ones of its own: for another run.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { all: self.all.clone(), own: Arc::new(Semaphore::new(LOOKUPS_OF_ONE)) }
    }

    /// The addresses of a name.
    pub(crate) async fn lookup(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let name = name.to_owned();
        self.call(move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // Its own place first: who waits for one of those must not keep others from theirs.
        let own = self.own.clone().acquire_owned().await.map_err(io::Error::other)?;
        let all = self.all.clone().acquire_owned().await.map_err(io::Error::other)?;
        let called = tokio::task::spawn_blocking(move || {
            let result = call();
            drop((own, all));
            result
        });
        called.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn names_are_looked_up() {
        let addresses = Resolver::default().lookup("localhost", 7).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        assert!(!addresses.is_empty());
    }

    #[tokio::test]
    async fn one_run_whose_names_hang_leaves_places_to_another() {
        let hostile = Resolver::default();
        let honest = hostile.share();
        let (release, hang) = mpsc::channel::<()>();
        let hang = Arc::new(std::sync::Mutex::new(hang));
        for _ in 0..LOOKUPS * 2 {
            let (hang, hostile) = (hang.clone(), hostile.clone());
            // The waiter gives up, as a dial does at its deadline; the system's call goes on.
            let call = async move { hostile.call(move || Ok(hang.lock().unwrap().recv().is_err())).await };
            tokio::spawn(timeout(Duration::from_millis(50), call));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(hostile.own.available_permits(), 0, "a call that hangs keeps its place");
        assert_eq!(hostile.all.available_permits(), LOOKUPS - LOOKUPS_OF_ONE);
        assert!(timeout(Duration::from_secs(5), honest.lookup("localhost", 7)).await.unwrap().is_ok());
        drop(release);
        let free = async {
            while hostile.own.available_permits() < LOOKUPS_OF_ONE {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(5), free).await.expect("the places come back");
    }
}
