//! The opening handshake of a connection that is relayed (RFC 6455 section 4): what the client asks for, how it goes
//! on, and whether the upstream's answer is the answer to it.
//!
//! Invariant: extensions are never offered on, so that every frame can be read; what the upstream agrees to is what
//! the client offered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use sha1::{Digest, Sha1};

/// What is appended to a key before it is hashed (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// What a client offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    key: HeaderValue,
    protocols: Vec<String>,
}

/// Why a handshake is none.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// Not a GET.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// Another protocol, or several.
    #[error("an upgrade to something else than a WebSocket is not relayed")]
    Protocol,
    /// `Connection` does not name the upgrade.
    #[error("`Connection` does not name the upgrade")]
    Connection,
    /// A key that is missing, doubled, or not 16 bytes in base64.
    #[error("`Sec-WebSocket-Key` has to be 16 bytes in base64, once")]
    Key,
    /// Another version.
    #[error("`Sec-WebSocket-Version` has to be 13")]
    Version,
    /// Sub-protocols that cannot be read.
    #[error("`Sec-WebSocket-Protocol` cannot be read")]
    Protocols,
    /// The upstream switched to something else.
    #[error("it switched to something else than a WebSocket")]
    Switched,
    /// The upstream's proof is wrong.
    #[error("its `Sec-WebSocket-Accept` does not answer the key")]
    Accept,
    /// The upstream agreed on an extension that was not offered.
    #[error("it agreed on an extension that was not offered")]
    Extension,
    /// The upstream chose a sub-protocol that was not offered.
    #[error("it chose a sub-protocol that was not offered")]
    Chosen,
}

impl Offer {
    /// Reads a request with an `Upgrade` header.
    pub fn read(method: &Method, headers: &HeaderMap) -> Result<Self, HandshakeFault> {
        let switching = switching(headers);
        match (method, only(headers, &header::SEC_WEBSOCKET_VERSION), switching) {
            (_, _, Err(fault)) => Err(fault),
            (&Method::GET, Some(version), Ok(())) if version == VERSION => Ok(()),
            (&Method::GET, _, Ok(())) => Err(HandshakeFault::Version),
            _ => Err(HandshakeFault::Method),
        }?;
        let key = only(headers, &header::SEC_WEBSOCKET_KEY).ok_or(HandshakeFault::Key)?;
        match STANDARD.decode(key.as_bytes()) {
            Ok(bytes) if bytes.len() == 16 => {}
            _ => return Err(HandshakeFault::Key),
        }
        let protocols = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).ok_or(HandshakeFault::Protocols)?;
        Ok(Self { key: key.clone(), protocols })
    }

    /// Puts the offer on a request whose headers of this connection were removed; extensions are not offered.
    pub fn put_on(&self, headers: &mut HeaderMap) {
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(header::SEC_WEBSOCKET_KEY, self.key.clone());
        match self.protocols.is_empty() {
            true => headers.remove(header::SEC_WEBSOCKET_PROTOCOL),
            // What was read is what is offered.
            false => HeaderValue::from_str(&self.protocols.join(", "))
                .ok()
                .and_then(|offered| headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered)),
        };
        switch(headers);
    }

    /// Whether the headers of a 101 answer this offer (section 4.1).
    pub fn check(&self, headers: &HeaderMap) -> Result<(), HandshakeFault> {
        switching(headers).map_err(|_| HandshakeFault::Switched)?;
        let proof = only(headers, &header::SEC_WEBSOCKET_ACCEPT);
        if proof.is_none_or(|proof| proof.as_bytes() != accept(self.key.as_bytes()).as_bytes()) {
            return Err(HandshakeFault::Accept);
        }
        if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
            return Err(HandshakeFault::Extension);
        }
        let chosen = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).ok_or(HandshakeFault::Chosen)?;
        match chosen.as_slice() {
            [] if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) => Ok(()),
            [one] if self.protocols.contains(one) => Ok(()),
            _ => Err(HandshakeFault::Chosen),
        }
    }
}

/// Says that the connection switches to WebSocket: in a request the wish, in a response the fact.
pub(crate) fn switch(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// The proof that a server read this key (RFC 6455 section 4.2.2).
pub fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Whether the headers switch to WebSocket and to nothing else.
fn switching(headers: &HeaderMap) -> Result<(), HandshakeFault> {
    match tokens(headers, &header::UPGRADE).as_deref() {
        Some([protocol]) if protocol.eq_ignore_ascii_case("websocket") => {}
        _ => return Err(HandshakeFault::Protocol),
    }
    let connection = tokens(headers, &header::CONNECTION).unwrap_or_default();
    match connection.iter().any(|option| option.eq_ignore_ascii_case("upgrade")) {
        true => Ok(()),
        false => Err(HandshakeFault::Connection),
    }
}

/// A header's value where it stands once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The members of a list of tokens (RFC 9110 section 5.6.2); `None` where one is no token.
fn tokens(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let token = |text: &str| {
        let visible = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        text.bytes().all(visible).then(|| text.to_owned())
    };
    let mut members = Vec::new();
    for value in headers.get_all(name) {
        for member in value.to_str().ok()?.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            members.push(token(member)?);
        }
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[(&str, &str)] = &[
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "realtime, v2.chat"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
    ];
    const RESPONSE: &[(&str, &str)] = &[
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "v2.chat"),
    ];

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn with(pairs: &[(&str, &str)], name: &str, values: &[&str]) -> HeaderMap {
        let mut headers = headers(pairs);
        headers.remove(name);
        for value in values {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_example_of_the_rfc_is_an_offer_and_goes_on_without_extensions() {
        let offer = Offer::read(&Method::GET, &headers(REQUEST)).unwrap();
        let mut sent = headers(&[("origin", "https://a.test"), ("sec-websocket-extensions", "x")]);
        offer.put_on(&mut sent);
        let wanted = [
            ("origin", "https://a.test"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "realtime, v2.chat"),
        ];
        assert_eq!(sent, headers(&wanted));
    }

    #[test]
    fn what_is_no_offer_is_refused() {
        for (name, values, fault) in [
            ("upgrade", &["h2c"][..], HandshakeFault::Protocol),
            ("upgrade", &["TLS/1.3"], HandshakeFault::Protocol),
            ("upgrade", &["websocket, h2c"], HandshakeFault::Protocol),
            ("upgrade", &["websocket", "h2c"], HandshakeFault::Protocol),
            ("upgrade", &[""], HandshakeFault::Protocol),
            ("connection", &["keep-alive"], HandshakeFault::Connection),
            ("connection", &[], HandshakeFault::Connection),
            ("sec-websocket-version", &[], HandshakeFault::Version),
            ("sec-websocket-version", &["8"], HandshakeFault::Version),
            ("sec-websocket-version", &["13", "13"], HandshakeFault::Version),
            ("sec-websocket-version", &["13, 8"], HandshakeFault::Version),
            ("sec-websocket-key", &[], HandshakeFault::Key),
            ("sec-websocket-key", &["c2hvcnQ="], HandshakeFault::Key),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], HandshakeFault::Key),
            (
                "sec-websocket-key",
                &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
                HandshakeFault::Key,
            ),
            ("sec-websocket-protocol", &["a b"], HandshakeFault::Protocols),
        ] {
            let read = Offer::read(&Method::GET, &with(REQUEST, name, values));
            assert_eq!(read, Err(fault), "{name}: {values:?}");
        }
        assert_eq!(Offer::read(&Method::POST, &headers(REQUEST)), Err(HandshakeFault::Method));
    }

    #[test]
    fn only_the_answer_to_the_offer_is_one() {
        let offer = Offer::read(&Method::GET, &headers(REQUEST)).unwrap();
        assert_eq!(offer.check(&headers(RESPONSE)), Ok(()));
        assert_eq!(offer.check(&with(RESPONSE, "sec-websocket-protocol", &[])), Ok(()));
        for (name, values, fault) in [
            ("upgrade", &["h2c"][..], HandshakeFault::Switched),
            ("connection", &["close"], HandshakeFault::Switched),
            ("sec-websocket-accept", &[], HandshakeFault::Accept),
            ("sec-websocket-accept", &["s3pPLMBiTxaQ9kYGzzhZRbK+xOp="], HandshakeFault::Accept),
            ("sec-websocket-extensions", &["permessage-deflate"], HandshakeFault::Extension),
            ("sec-websocket-extensions", &[""], HandshakeFault::Extension),
            ("sec-websocket-protocol", &["v3.chat"], HandshakeFault::Chosen),
            ("sec-websocket-protocol", &["Realtime"], HandshakeFault::Chosen),
            ("sec-websocket-protocol", &["realtime, v2.chat"], HandshakeFault::Chosen),
            ("sec-websocket-protocol", &[""], HandshakeFault::Chosen),
        ] {
            assert_eq!(offer.check(&with(RESPONSE, name, values)), Err(fault), "{name}: {values:?}");
        }
    }
}
