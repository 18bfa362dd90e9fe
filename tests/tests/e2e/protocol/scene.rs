//! An origin, Hudson in front of it, and clients of both versions: every promise is told once and held four times.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::sync::{Mutex, mpsc};

use super::body::{self, Body, Feed};
use super::client::Client;
use super::origin::Origin;
use super::{HOST, ROUTES};
use crate::raw::{self, Agent, Setting, Stage};

/// Nothing here may hang a test for longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Who speaks what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Combination {
    pub(super) client: Version,
    pub(super) upstream: Version,
}

/// An origin behind Hudson.
pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) agent: Agent,
    pub(super) origin: Origin,
}

impl Version {
    /// Its name in ALPN (RFC 7301).
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    fn of_messages(self) -> http::Version {
        match self {
            Self::Http1 => http::Version::HTTP_11,
            Self::Http2 => http::Version::HTTP_2,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.of_messages())
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.client, self.upstream)
    }
}

impl Scene {
    /// The usual scene: one route, and an origin that answers so.
    pub(super) async fn new<R>(answer: impl Fn(Request<Incoming>) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::with(answer, raw::routes(ROUTES)).await
    }

    /// A scene with a setting of its own; the origin speaks HTTP/2 alone at first.
    pub(super) async fn with<R>(
        answer: impl Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        setting: Setting,
    ) -> Self
    where
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let origin = Origin::start(&[Version::Http2.alpn()], answer).await;
        let stage = setting.leads_to(&origin).start();
        Self { agent: stage.agent(), stage, origin }
    }

    /// A scene whose origin answers with the head at once, and with a body of this kind that the test feeds; a path of
    /// digits is the length it claims.
    pub(super) async fn fed(kind: &'static str, setting: Setting) -> (Self, Told<Feed>) {
        let (told, feeds) = Told::channel();
        let answer = move |request: Request<Incoming>| {
            let (feed, body) = body::fed();
            told.send(feed).expect("the test listens");
            let mut response = Response::new(body);
            response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
            if let Ok(length) = request.uri().path()[1..].parse::<u64>() {
                response.headers_mut().insert("content-length", HeaderValue::from(length));
            }
            async move { response }
        };
        (Self::with(answer, setting).await, feeds)
    }

    /// A scene whose origin never answers, and tells each time it is let go.
    pub(super) async fn silent(setting: Setting) -> (Self, Told<()>) {
        let (told, released) = Told::channel();
        let answer = move |_| {
            let told = Dropped(told.clone());
            async move {
                let _told = told;
                std::future::pending().await
            }
        };
        (Self::with(answer, setting).await, released)
    }

    /// Holds a promise for every combination of versions.
    ///
    /// Hudson offers a client what the upstream speaks, so an HTTP/2 client before an HTTP/1.1 upstream is one whose
    /// upstream has changed in the meantime: all clients are connected before the origin falls back.
    pub(super) async fn in_all_four(&self, promise: impl AsyncFn(Client, Combination)) {
        let mut clients = Vec::new();
        for upstream in [Version::Http2, Version::Http1] {
            for client in [Version::Http1, Version::Http2] {
                clients.push((Client::connect(&self.agent, client).await, Combination { client, upstream }));
            }
        }
        let mut speaks = Version::Http2;
        for (client, combination) in clients {
            if combination.upstream != speaks {
                speaks = combination.upstream;
                self.origin.speak(speaks).await;
            }
            println!("{combination}");
            promise(client, combination).await;
            let spoken = self.origin.last_version();
            assert_eq!(spoken, Some(combination.upstream.of_messages()), "{combination}");
        }
    }
}

/// What an origin tells the test, in order.
pub(super) struct Told<T>(Mutex<mpsc::UnboundedReceiver<T>>);

impl<T> Told<T> {
    pub(super) fn channel() -> (mpsc::UnboundedSender<T>, Self) {
        let (sender, told) = mpsc::unbounded_channel();
        (sender, Self(Mutex::new(told)))
    }

    /// The next of it, waited for.
    pub(super) async fn next(&self) -> T {
        let next = in_time(async { self.0.lock().await.recv().await }).await;
        next.expect("the origin still runs")
    }
}

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

impl Setting {
    /// The origin's host leads to the origin.
    pub(super) fn leads_to(self, origin: &Origin) -> Self {
        self.connect_to(&format!("{HOST}:443"), origin.address)
            .option("--upstream-ca", &origin.ca_file().display().to_string())
    }
}

/// What must not take long.
pub(super) async fn in_time<F: Future>(future: F) -> F::Output {
    within(PATIENCE, future).await
}

/// What must happen within a limit.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {limit:?}"),
    }
}
