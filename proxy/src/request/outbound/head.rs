//! A request's head: host, target and headers, as they would leave.

use super::super::Target;
use super::super::credential::{remaining_query, replaced_headers};
use super::{Outbound, clock};
use crate::dlp::Judged;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use hudson_dlp::{Action, Encoding, Finding, Head, Part};
use hudson_schema::config::{Credential, Route};
use hudson_schema::{Refusal, RefusalCode};

/// Headers that end here, or say what was checked already.
const NOT_SENT: [HeaderName; 5] = [
    header::PROXY_AUTHORIZATION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

impl Outbound {
    /// The head, which is redacted where the route says so.
    pub(in super::super) async fn head(
        &self,
        route: &Route,
        target: &mut Target,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let credentials: Vec<&Credential> = route.credentials.iter().collect();
        let mut found = self.scan_head(&credentials, target, headers);
        if let Some(ring) = &self.ring {
            let sent = remaining_query(credentials.iter().copied(), target.query.as_deref());
            let sent = sent.map_or(target.path.clone(), |query| format!("{}?{query}", target.path));
            found.extend(ring.push(Part::Target, clock(), sent.as_bytes()));
        }
        let judged = self.judge(found);
        match self.act(&judged).await {
            Action::Allow | Action::Warn => return Ok(()),
            Action::Supervise => return Box::pin(self.supervised(&judged, 0)).await,
            Action::Block => return Err(self.refusal(&judged)),
            Action::Redact => {}
        }
        let acting = |judged: &&Judged| judged.action >= Action::Redact;
        // What is in pieces, some of which may have left before, has no place of its own.
        let split =
            judged.iter().filter(acting).find(|judged| judged.finding.encodings.contains(&Encoding::Split));
        if let Some(Judged { finding, .. }) = split {
            return Err(self.not_redacted(finding));
        }
        // Places are those of what was looked at.
        target.query = remaining_query(credentials.iter().copied(), target.query.as_deref());
        for judged in judged.iter().filter(acting) {
            redact(&judged.finding, target, headers);
        }
        let left = self.judge(self.scan_head(&credentials, target, headers));
        match left.iter().find(acting) {
            None => Ok(()),
            Some(Judged { finding, .. }) => Err(self.not_redacted(finding)),
        }
    }

    /// Trailers, which come when nothing can be taken back.
    pub(super) fn trailers(&self, trailers: &HeaderMap) -> Vec<Judged> {
        let headers: Vec<(&str, &[u8])> =
            trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let head = Head { host: "", target: "/", headers: &headers };
        self.judge(self.detectors.scan_head(&head))
    }

    fn not_redacted(&self, finding: &Finding) -> Refusal {
        let message = format!("{}; it cannot be redacted there.", self.found(finding));
        Refusal::new(RefusalCode::RedactionUnsafe, message)
    }

    fn scan_head(&self, credentials: &[&Credential], target: &Target, headers: &HeaderMap) -> Vec<Finding> {
        let replaced = replaced_headers(credentials.iter().copied());
        let leaves = |name: &HeaderName| !NOT_SENT.contains(name) && !replaced.contains(name);
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .filter(|(name, _)| leaves(name))
            .map(|(name, value)| (said_of(name), value.as_bytes()))
            // A method is a word of the agent's choice (RFC 9110 section 9.1).
            .chain((!is_common(&target.method)).then(|| (":method", target.method.as_str().as_bytes())))
            .collect();
        let query = remaining_query(credentials.iter().copied(), target.query.as_deref());
        let target = match query {
            Some(query) => format!("{}?{query}", target.path),
            None => target.path.clone(),
        };
        self.detectors.scan_head(&Head { host: &self.name, target: &target, headers: &headers })
    }
}

/// What a header's name says of its value. A WebSocket's nonce has sixteen random bytes in base64 and is called a key (RFC
/// 6455 section 4.1), which it is to no rule; a value that is known stands out in it all the same.
fn said_of(name: &HeaderName) -> &str {
    match *name == header::SEC_WEBSOCKET_KEY {
        true => "sec-websocket-nonce",
        false => name.as_str(),
    }
}

fn is_common(method: &Method) -> bool {
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS]
        .contains(method)
}

/// Overwrites what was found, where it has a place of its own; what is left is found again.
fn redact(finding: &Finding, target: &mut Target, headers: &mut HeaderMap) {
    let overwritten = |text: &[u8], front: usize| {
        let mut bytes = text.to_vec();
        let place = finding.start.checked_sub(front)?..finding.end.checked_sub(front)?;
        bytes.get_mut(place)?.fill(b'*');
        Some(bytes)
    };
    match &finding.part {
        Part::Header(name) => {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
            if let header::Entry::Occupied(mut entry) = headers.entry(name) {
                for value in entry.iter_mut() {
                    // Where several of one name are sent, the place is in one of them: all that are as long lose it.
                    let bytes = overwritten(value.as_bytes(), 0);
                    if let Some(redacted) = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
                        *value = redacted;
                    }
                }
            }
        }
        // A path that is changed would be another route's.
        Part::Target => {
            let front = target.path.len() + 1;
            let query = target.query.as_ref().and_then(|query| overwritten(query.as_bytes(), front));
            if let Some(query) = query.and_then(|bytes| String::from_utf8(bytes).ok()) {
                target.query = Some(query);
            }
        }
        Part::Host | Part::Body | Part::Message => {}
    }
}
