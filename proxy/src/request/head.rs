//! Header hygiene in both directions: what belongs to one connection stays on it (RFC 9110 section 7.6.1), and no
//! header that is Hudson's business travels further.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers of one connection, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The codings that the meter decodes, in the order they are offered.
const READABLE: [&str; 5] = ["gzip", "deflate", "br", "zstd", "identity"];

/// Makes a request's headers fit for the upstream.
pub(super) fn outbound(headers: &mut HeaderMap) {
    let trailers = headers.get(header::TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip(headers);
    headers.remove(header::TE);
    if trailers {
        // gRPC insists on it, and it is all that TE may say over HTTP/2 (RFC 9113 section 8.2.2).
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // The client sets Host from the URI that was checked.
    headers.remove(header::HOST);
    // hyper has sent 100 already when the body is read.
    headers.remove(header::EXPECT);
}

/// Makes a response's headers fit for the client.
pub(super) fn inbound(headers: &mut HeaderMap) {
    strip(headers);
}

/// Leaves only codings that the meter reads in `Accept-Encoding`; identity alone when the body will be rewritten.
pub(super) fn readable_encodings(headers: &mut HeaderMap, identity: bool) {
    let kept: Vec<&str> = match identity {
        true => Vec::new(),
        false => {
            let asked: Vec<String> = headers
                .get_all(header::ACCEPT_ENCODING)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(|coding| coding.trim().to_ascii_lowercase())
                .collect();
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
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    let proxy: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned().collect();
    for name in proxy {
        headers.remove(name);
    }
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
