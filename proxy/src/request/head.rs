//! Header hygiene in both directions: what belongs to one connection stays on it (RFC 9110 section 7.6.1), no header
//! that is Hudson's business travels further, and trailers are held to the same.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;

/// Headers of one connection, beside those that `Connection` names. `Trailer` is none of them: it tells what the
/// message's end will hold, and HTTP/1.1 carries no trailer without it.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a trailer must not say (RFC 9110 section 6.5.1): a server that merges trailers into the head would take it for
/// something that was checked there.
const NEVER_IN_TRAILERS: [HeaderName; 13] = [
    header::HOST,
    header::TRAILER,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::TE,
    header::EXPECT,
    header::COOKIE,
    header::FORWARDED,
    header::CACHE_CONTROL,
    header::RANGE,
    header::ACCEPT_ENCODING,
];

/// How the headers begin by which Hudson speaks to its clients.
const OWN: &str = "x-hudson-";

/// The codings that the meter decodes, in the order they are offered.
const READABLE: [&str; 5] = ["gzip", "deflate", "br", "zstd", "identity"];

/// Makes a request's headers fit for the upstream. First of all that is done to them: what `Connection` names goes, and
/// must not take along what is put in later.
pub(super) fn outbound(headers: &mut HeaderMap) {
    let trailers = members(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    strip(headers);
    headers.remove(header::TE);
    if trailers {
        // gRPC insists on it, and it is all that TE may say over HTTP/2 (RFC 9113 section 8.2.2).
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(headers);
    // The client sets Host from the URI that was checked.
    headers.remove(header::HOST);
    // hyper has sent 100 already when the body is read.
    headers.remove(header::EXPECT);
}

/// Makes a response's headers fit for the client. What Hudson says to it is nobody else's to say.
pub(super) fn inbound(headers: &mut HeaderMap) {
    strip(headers);
    remove_beginning(headers, OWN);
}

/// Makes trailers, where a frame is that, fit for either side: they must not frame or route a message (RFC 9110
/// section 6.5.1), nor hold what is `unwanted` in its head.
pub(super) fn trailers(mut frame: Frame<Bytes>, unwanted: &[HeaderName]) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        strip(trailers);
        remove_beginning(trailers, OWN);
        for name in NEVER_IN_TRAILERS.iter().chain(unwanted) {
            trailers.remove(name);
        }
    }
    frame
}

/// Leaves only codings that the meter reads in `Accept-Encoding`; identity alone when the body will be rewritten.
pub(super) fn readable_encodings(headers: &mut HeaderMap, identity: bool) {
    let kept: Vec<&str> = match identity {
        true => Vec::new(),
        false => {
            let asked: Vec<String> =
                members(headers, &header::ACCEPT_ENCODING).map(str::to_ascii_lowercase).collect();
            READABLE
                .into_iter()
                .filter(|readable| {
                    asked.iter().any(|coding| {
                        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
                        name.trim() == *readable
                            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
                    })
                })
                .collect()
        }
    };
    let value = match kept.is_empty() {
        true => HeaderValue::from_static("identity"),
        false => HeaderValue::from_str(&kept.join(", ")).unwrap_or(HeaderValue::from_static("identity")),
    };
    headers.insert(header::ACCEPT_ENCODING, value);
}

fn strip(headers: &mut HeaderMap) {
    // Chunks overrule a length, which must not reach somebody who sees no chunks (RFC 9112 section 6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> =
        members(headers, &header::CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    remove_beginning(headers, "proxy-");
}

fn remove_beginning(headers: &mut HeaderMap, prefix: &str) {
    let named: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(prefix)).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

/// HTTP/2 may send cookies one by one; elsewhere they are one field (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// The members of a header that is a list (RFC 9110 section 5.6.1).
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn nothing_of_this_connection_travels_further() {
        let mut sent = headers(&[
            ("host", "a.test"),
            ("connection", "x-hop, keep-alive"),
            ("x-hop", "1"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("proxy-foo", "1"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ]);
        outbound(&mut sent);
        assert_eq!(sent, headers(&[("te", "trailers"), ("accept", "*/*")]));
    }

    #[test]
    fn a_length_beside_chunks_goes_and_a_length_alone_stays() {
        let mut both = headers(&[("content-length", "3"), ("transfer-encoding", "chunked")]);
        inbound(&mut both);
        assert!(both.is_empty(), "{both:?}");
        let mut alone = headers(&[("content-length", "3"), ("trailer", "x-sum")]);
        inbound(&mut alone);
        assert_eq!(alone, headers(&[("content-length", "3"), ("trailer", "x-sum")]));
    }

    #[test]
    fn an_upstream_does_not_speak_for_hudson() {
        let mut sent = headers(&[("x-hudson-injection", "no"), ("x-hudson-refusal", "no"), ("etag", "1")]);
        inbound(&mut sent);
        assert_eq!(sent, headers(&[("etag", "1")]));
        let sent = headers(&[("x-hudson-budget-remaining", "9"), ("grpc-status", "0")]);
        let kept = trailers(Frame::trailers(sent), &[]);
        assert_eq!(kept.into_trailers().unwrap(), headers(&[("grpc-status", "0")]));
    }

    #[test]
    fn trailers_neither_frame_nor_route_a_message() {
        let sent = headers(&[
            ("grpc-status", "0"),
            ("x-key", "mine"),
            ("host", "b.test"),
            ("content-length", "3"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("proxy-authorization", "Basic c2VjcmV0"),
        ]);
        let kept = trailers(Frame::trailers(sent), &[HeaderName::from_static("x-key")]);
        assert_eq!(kept.into_trailers().unwrap(), headers(&[("grpc-status", "0")]));
    }

    #[test]
    fn only_readable_encodings_are_asked_for() {
        for (asked, sent) in [
            ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
            ("compress, gzip;q=0.5, x-snappy", "gzip"),
            ("gzip;q=0, *", "identity"),
            ("", "identity"),
        ] {
            let mut map = headers(&[("accept-encoding", asked)]);
            readable_encodings(&mut map, false);
            assert_eq!(map.get("accept-encoding").unwrap(), sent, "{asked}");
            readable_encodings(&mut map, true);
            assert_eq!(map.get("accept-encoding").unwrap(), "identity");
        }
    }
}
