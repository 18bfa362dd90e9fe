//! The dashboard's link to the running controller: whether one answers, and what it tells as it comes.
//!
//! Invariants: nobody waits longer for a controller than it takes to see that it is stopped; one of another version is
//! not asked, for what it answers may mean something else.

use crate::control::{self, Identity, Stream};
use crate::dashboard::{Away, Origin, Snapshot};
use hudson_schema::home::Home;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Where a controller answers what a dashboard of its version shows.
pub(in super::super) const SNAPSHOT: &str = "/v1/snapshot";
/// How long a controller has to answer what takes it no time.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// How often it is looked whether a controller is there again.
const LOOK: Duration = Duration::from_secs(1);

/// Knows whether a controller answers.
pub(super) struct Link {
    home: Home,
    /// Nothing before the first look.
    standing: watch::Sender<Option<Result<(), Away>>>,
    changes: watch::Sender<u64>,
}

impl Link {
    pub(super) fn new(home: Home) -> Self {
        Self { home, standing: watch::Sender::default(), changes: watch::Sender::default() }
    }

    /// Counts what the controller tells, and its coming and going.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Keeps looking for a controller, and listening to it, for as long as it is polled.
    pub(super) async fn keep(&self) {
        let mut standing = self.standing.subscribe();
        loop {
            match self.meet().await {
                Ok(mut stream) => {
                    self.stand(Ok(()));
                    let listen = async {
                        while stream.next().await {
                            self.tell();
                        }
                    };
                    tokio::select! {
                        () = listen => {}
                        // A reading has found that it does not answer.
                        _ = standing.wait_for(|standing| *standing != Some(Ok(()))) => {}
                    }
                    // Where its place was taken over the next one is there at once.
                    if let Some(away) = self.look().await.err() {
                        self.stand(Err(away));
                    }
                }
                Err(away) => self.stand(Err(away)),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the controller reads; otherwise why it is not asked, or does not say.
    pub(super) async fn read(&self) -> Result<Snapshot, Away> {
        let mut standing = self.standing.subscribe();
        if let Ok(known) = standing.wait_for(Option::is_some).await
            && let Some(Err(away)) = &*known
        {
            return Err(away.clone());
        }
        let reading = control::get::<Snapshot>(&self.home, SNAPSHOT);
        tokio::pin!(reading);
        loop {
            let failed = match timeout(ANSWERS_WITHIN, &mut reading).await {
                Ok(Ok(Some(snapshot))) => return Ok(snapshot),
                Ok(Ok(None)) => Some(Away::NotRunning),
                Ok(Err(error)) => Some(Away::Failed(format!("{error:#}"))),
                Err(_) => None,
            };
            // A large ledger takes long to read; who is stopped answers nothing at all.
            match (self.look().await, failed) {
                (Err(away), _) => {
                    self.stand(Err(away.clone()));
                    return Err(away);
                }
                (Ok(_), Some(failed)) => return Err(failed),
                (Ok(_), None) => {}
            }
        }
    }

    /// Whether a controller of this version answers now.
    pub(super) async fn look(&self) -> Result<Identity, Away> {
        match timeout(ANSWERS_WITHIN, control::status(&self.home)).await {
            Err(_) => Err(Away::Silent),
            Ok(Err(error)) => Err(Away::Failed(format!("{error:#}"))),
            Ok(Ok(None)) => Err(Away::NotRunning),
            Ok(Ok(Some(found))) if found.version != env!("CARGO_PKG_VERSION") => {
                Err(Away::OtherVersion(found.version))
            }
            Ok(Ok(Some(found))) => Ok(found),
        }
    }

    async fn meet(&self) -> Result<Stream, Away> {
        self.look().await?;
        match timeout(ANSWERS_WITHIN, Stream::open(&self.home)).await {
            Err(_) => Err(Away::Silent),
            Ok(Err(error)) => Err(Away::Failed(format!("{error:#}"))),
            Ok(Ok(None)) => Err(Away::NotRunning),
            Ok(Ok(Some(stream))) => Ok(stream),
        }
    }

    fn stand(&self, now: Result<(), Away>) {
        let now = Some(now);
        if self.standing.send_if_modified(|standing| std::mem::replace(standing, now.clone()) != now) {
            self.tell();
        }
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What a controller says of itself in what it reads.
pub(in super::super) fn origin(role: &str) -> Origin {
    Origin::Controller { role: role.to_owned(), pid: std::process::id() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Answerer, Body, Place};
    use crate::events::EventLog;
    use futures_util::future::BoxFuture;
    use http::{Request, Response, StatusCode};
    use hyper::body::Incoming;
    use serde_json::json;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    /// A controller that says this of its version, and has nothing else to say.
    struct Other(&'static str);

    impl Answerer for Other {
        fn answer(self: Arc<Self>, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
            Box::pin(async move {
                let identity = json!({"version": self.0, "pid": 1, "role": "up", "addresses": []});
                match request.uri().path() {
                    "/v1/version" => control::json(StatusCode::OK, &identity),
                    "/v1/events" => control::text(StatusCode::OK, "text/event-stream", String::new()),
                    path => control::error(StatusCode::NOT_FOUND, "not_found", &format!("nothing at {path}")),
                }
            })
        }
    }

    /// What a dashboard is told that begins with this controller there.
    async fn read(version: Option<&'static str>) -> Away {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let place = Place::take(&home).unwrap().unwrap();
        let end = CancellationToken::new();
        if let Some(version) = version {
            let listener = control::listen(&home, &place).unwrap();
            let events = Arc::new(EventLog::to_file(&folder.path().join("log")).unwrap());
            tokio::spawn(control::serve(listener, Arc::new(Other(version)), events, end.clone()));
        }
        let link = Link::new(home);
        let away = tokio::select! {
            read = link.read() => read.unwrap_err(),
            () = link.keep() => unreachable!(),
        };
        end.cancel();
        away
    }

    #[tokio::test]
    async fn another_version_is_not_asked_and_one_that_cannot_answer_is_told() {
        assert_eq!(read(None).await, Away::NotRunning);
        assert_eq!(read(Some("999.0.0")).await, Away::OtherVersion("999.0.0".to_owned()));
        let Away::Failed(why) = read(Some(env!("CARGO_PKG_VERSION"))).await else { unreachable!() };
        assert!(why.contains("nothing at /v1/snapshot"), "{why}");
    }
}
