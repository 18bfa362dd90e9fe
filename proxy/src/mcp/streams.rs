//! The streams of MCP's older transport (HTTP with SSE): a client posts to the endpoint that its stream has named, and is
//! answered on the stream. So is a call that is refused; its client reads no other answer.
//!
//! Invariant: a run's calls are answered on streams of its own alone, and what waits for a client that does not read is
//! bounded.

use crate::policy::normalise_path;
use bytes::Bytes;
use hudson_schema::RunId;
use hudson_schema::config::{Authority, Scheme};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Answers that wait for one stream.
const WAITING: usize = 32;

/// Where a stream has its client post to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Place {
    /// Whose it is.
    pub(crate) run: RunId,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// Path and query.
    pub(crate) endpoint: String,
}

/// Every open stream that has named an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<HashMap<Place, mpsc::Sender<Bytes>>>);

/// One stream's end of it.
pub(crate) struct Stream {
    streams: Arc<Streams>,
    place: Option<Place>,
    sender: mpsc::Sender<Bytes>,
    /// Answers that are to be put into the stream.
    pub(crate) told: mpsc::Receiver<Bytes>,
}

impl Streams {
    /// Has the client's stream tell it something; whether there is one, with room.
    pub(crate) fn tell(&self, place: &Place, message: Bytes) -> bool {
        let streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.get(place).is_some_and(|stream| stream.try_send(message).is_ok())
    }

    /// Whether a client has been told to post there.
    pub(crate) fn knows(&self, place: &Place) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(place)
    }
}

impl Stream {
    /// One that has named no endpoint yet.
    pub(crate) fn new(streams: Arc<Streams>) -> Self {
        let (sender, told) = mpsc::channel(WAITING);
        Self { streams, place: None, sender, told }
    }

    /// Its client posts there from now on.
    pub(crate) fn named(&mut self, place: Place) {
        self.forget();
        let mut streams = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        streams.insert(place.clone(), self.sender.clone());
        self.place = Some(place);
    }

    fn forget(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut streams = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer one may have named the same.
        if streams.get(&place).is_some_and(|sender| sender.same_channel(&self.sender)) {
            streams.remove(&place);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.forget();
    }
}

/// The endpoint that a stream at `path` names, as path and query, where it is on the same origin (`named`).
pub(crate) fn endpoint(scheme: Scheme, named: &str, path: &str, told: &str) -> Option<String> {
    let told = told.trim();
    let told = told.split('#').next().unwrap_or(told);
    let own = told.strip_prefix(scheme.name()).and_then(|rest| rest.strip_prefix("://"));
    let relative = match own {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end)?;
            authority.eq_ignore_ascii_case(named).then_some(rest)?
        }
        None if told.contains("://") || told.starts_with("//") => return None,
        None => told,
    };
    let (reference, query) = match relative.split_once('?') {
        Some((reference, query)) => (reference, Some(query)),
        None => (relative, None),
    };
    let joined = match (reference, reference.starts_with('/')) {
        ("", _) if own.is_some() => "/".to_owned(),
        ("", _) => path.to_owned(),
        (_, true) => reference.to_owned(),
        (_, false) => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{reference}")
        }
    };
    let path = normalise_path(&joined).ok()?;
    Some(query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_found_as_its_client_finds_it() {
        let of = |told: &str| endpoint(Scheme::Https, "mcp.example.com", "/a/sse", told);
        for (told, found) in [
            ("/messages/?session_id=1", Some("/messages/?session_id=1")),
            ("messages?session_id=1", Some("/a/messages?session_id=1")),
            ("https://mcp.example.com/m?s=1", Some("/m?s=1")),
            ("https://MCP.example.com", Some("/")),
            ("?s=1", Some("/a/sse?s=1")),
            ("https://other.example.com/m", None),
            ("http://mcp.example.com/m", None),
            ("//other.example.com/m", None),
        ] {
            assert_eq!(of(told).as_deref(), found, "{told}");
        }
    }

    #[test]
    fn a_stream_hears_what_is_for_it_and_nobody_else_does() {
        let streams = Arc::<Streams>::default();
        let place = |run: &str, endpoint: &str| Place {
            run: run.parse().unwrap(),
            scheme: Scheme::Https,
            authority: Authority::parse("mcp.example.com:443").unwrap(),
            endpoint: endpoint.to_owned(),
        };
        let mut stream = Stream::new(streams.clone());
        stream.named(place("one", "/m?s=1"));
        let said = || Bytes::from_static(b"x");
        assert!(streams.tell(&place("one", "/m?s=1"), said()));
        assert!(
            !streams.tell(&place("other", "/m?s=1"), said()) && !streams.knows(&place("other", "/m?s=1"))
        );
        assert!(!streams.tell(&place("one", "/m?s=2"), said()));
        assert_eq!(stream.told.try_recv().unwrap(), said());
        // Another endpoint takes the place of the first, and a newer stream that of an older.
        stream.named(place("one", "/m?s=2"));
        assert!(!streams.tell(&place("one", "/m?s=1"), said()));
        let mut newer = Stream::new(streams.clone());
        newer.named(place("one", "/m?s=2"));
        drop(stream);
        assert!(streams.tell(&place("one", "/m?s=2"), said()));
        assert_eq!(newer.told.try_recv().unwrap(), said());
        for _ in 0..WAITING {
            assert!(streams.tell(&place("one", "/m?s=2"), said()));
        }
        assert!(!streams.tell(&place("one", "/m?s=2"), said()), "what waits is bounded");
        drop(newer);
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
