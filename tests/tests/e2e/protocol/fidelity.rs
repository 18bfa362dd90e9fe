//! What is said arrives as it was said: methods, bodies, statuses, header fields, and answers without a body.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::body::{self, Body};
use super::client::head;
use super::scene::Scene;
use super::with_credential;

/// Answers with the method, the header fields under a name of their own, and the body.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let sent = incoming.collect().await.map(http_body_util::Collected::to_bytes);
    let mut response = Response::new(body::full(sent.unwrap_or_else(|_| Bytes::from_static(b"broken off"))));
    let told = response.headers_mut();
    told.insert("x-method", HeaderValue::from_str(parts.method.as_str()).expect("a method is a value"));
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    told.insert("x-target", HeaderValue::from_str(target).expect("a target is a value"));
    for (name, value) in &parts.headers {
        told.append(saw(name.as_str()), value.clone());
    }
    response
}

fn saw(name: &str) -> HeaderName {
    format!("saw-{name}").parse().expect("a prefix keeps a name a name")
}

/// Answers with these header fields, a status, and a body.
fn told(status: u16, headers: &[(&'static str, &'static [u8])], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value).expect("a value");
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_passes_with_and_without_a_body() {
    let scene = Scene::new(echo).await;
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "x-Own"];
    scene
        .in_all_four(async |mut client, combination| {
            for method in methods {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let chunks = || body::pieces(&["in ", "pieces"], None);
                for (sent, body) in
                    [("", body::empty()), ("whole", body::full("whole")), ("in pieces", chunks())]
                {
                    let request = head(method.clone(), "/a/b?c=d&e").body(body).expect("a request");
                    let answer = client.exchange(request).await;
                    assert_eq!(answer.body, sent, "{combination} {method}: {answer:?}");
                    assert_eq!(answer.value("x-method"), Some(method.as_str()));
                    assert_eq!(answer.value("x-target"), Some("/a/b?c=d&e"));
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_header_fields_arrive_in_order_and_byte_for_byte() {
    let scene = Scene::new(echo).await;
    scene
        .in_all_four(async |mut client, combination| {
            let request = head(Method::GET, "/")
                .header("x-twice", "one")
                .header("X-Twice", "two, three")
                .header("x-empty", "")
                .header("x-opaque", HeaderValue::from_bytes(b"caf\xe9 \xff").expect("a value"))
                .header("accept-encoding", "gzip;q=0.5, x-own")
                .header("authorization", "Bearer of-the-agent");
            let answer = client.exchange(request.body(body::empty()).expect("a request")).await;
            for (name, values) in [
                ("saw-x-twice", &[&b"one"[..], b"two, three"][..]),
                ("saw-x-empty", &[b""]),
                ("saw-x-opaque", &[b"caf\xe9 \xff"]),
                ("saw-accept-encoding", &[b"gzip;q=0.5, x-own"]),
                ("saw-authorization", &[b"Bearer of-the-agent"]),
            ] {
                assert_eq!(answer.values(name), values, "{combination} {name}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_that_http_2_splits_arrive_as_one_field() {
    let scene = Scene::new(echo).await;
    scene
        .in_all_four(async |mut client, combination| {
            let request = head(Method::GET, "/").header("cookie", "a=1").header("cookie", "b=2; c=3");
            let answer = client.exchange(request.body(body::empty()).expect("a request")).await;
            assert_eq!(answer.value("saw-cookie"), Some("a=1; b=2; c=3"), "{combination}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_and_answer_header_fields_arrive_as_sent() {
    let scene = Scene::new(async |request: Request<Incoming>| {
        let status = request.uri().path().trim_start_matches('/').parse().expect("the path is a status");
        let headers: &[(_, &[u8])] = &[
            ("set-cookie", b"a=1; Path=/"),
            ("set-cookie", b"b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
            ("x-opaque", b"caf\xe9"),
            ("date", b"Wed, 21 Oct 2015 07:28:00 GMT"),
            ("server", b"origin"),
            ("x-empty", b""),
            ("content-encoding", b"x-own"),
        ];
        told(status, headers, body::full("told"))
    })
    .await;
    scene
        .in_all_four(async |mut client, combination| {
            for status in [200, 201, 207, 299, 301, 400, 404, 418, 429, 500, 503, 599, 799] {
                let request = head(Method::GET, &format!("/{status}"));
                let answer = client.exchange(request.body(body::empty()).expect("a request")).await;
                assert_eq!(answer.status.as_u16(), status, "{combination}");
                assert_eq!(answer.body, "told", "{combination} {status}");
                let cookies: [&[u8]; 2] = [b"a=1; Path=/", b"b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT"];
                assert_eq!(answer.values("set-cookie"), cookies, "{combination}");
                assert_eq!(answer.values("x-opaque"), [b"caf\xe9"], "{combination}");
                for (name, value) in [
                    ("date", "Wed, 21 Oct 2015 07:28:00 GMT"),
                    ("server", "origin"),
                    ("x-empty", ""),
                    ("content-encoding", "x-own"),
                ] {
                    assert_eq!(answer.value(name), Some(value), "{combination}");
                }
            }
        })
        .await;
}

/// Answers that have no body, whatever their header fields say.
async fn bodiless(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/sized" => told(200, &[("content-length", b"1234"), ("etag", b"\"v1\"")], body::empty()),
        "/unsized" => told(200, &[("etag", b"\"v1\"")], body::empty()),
        "/204" => told(204, &[("x-kept", b"yes")], body::empty()),
        _ => {
            let validators: &[(_, &[u8])] = &[
                ("etag", b"W/\"v1\""),
                ("last-modified", b"Wed, 21 Oct 2015 07:28:00 GMT"),
                ("cache-control", b"max-age=60"),
                ("vary", b"accept"),
                ("content-encoding", b"gzip"),
            ];
            told(304, validators, body::empty())
        }
    }
}

async fn answers_without_a_body(scene: &Scene) {
    scene
        .in_all_four(async |mut client, combination| {
            let request = |method, path| head(method, path).body(body::empty()).expect("a request");
            for path in ["/sized", "/unsized", "/304"] {
                let answer = client.exchange(request(Method::HEAD, path)).await;
                assert!(answer.body.is_empty(), "{combination} {path}: {answer:?}");
                let length = (path == "/sized").then_some("1234");
                assert_eq!(answer.value("content-length"), length, "{combination} {path}");
                assert!(answer.headers.contains_key("etag"), "{combination} {path}");
            }
            let answer = client.exchange(request(Method::GET, "/204")).await;
            assert_eq!((answer.status.as_u16(), answer.value("x-kept")), (204, Some("yes")), "{combination}");
            assert!(answer.body.is_empty() && !answer.headers.contains_key("content-length"), "{answer:?}");
            let conditional = head(Method::GET, "/304").header("if-none-match", "W/\"v1\"");
            let answer = client.exchange(conditional.body(body::empty()).expect("a request")).await;
            assert_eq!(answer.status.as_u16(), 304, "{combination}");
            for (name, value) in [
                ("etag", "W/\"v1\""),
                ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
                ("cache-control", "max-age=60"),
                ("vary", "accept"),
            ] {
                assert_eq!(answer.value(name), Some(value), "{combination}");
            }
            assert!(answer.body.is_empty(), "{combination}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_204_and_304_have_no_body_and_keep_their_header_fields() {
    answers_without_a_body(&Scene::new(bodiless).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_pass_where_answers_are_searched_for_a_credential() {
    answers_without_a_body(&Scene::with(bodiless, with_credential()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_and_their_parts_are_left_alone() {
    const PARTS: &str = "--3d6b\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-1/9\r\n\r\nab\r\n\
                         --3d6b\r\ncontent-type: text/plain\r\ncontent-range: bytes 4-5/9\r\n\r\nef\r\n--3d6b--\r\n";
    let scene = Scene::new(async |request: Request<Incoming>| {
        let asked = request.headers().get("range").map(HeaderValue::as_bytes);
        match asked {
            Some(b"bytes=2-4") => told(206, &[("content-range", b"bytes 2-4/9")], body::full("cde")),
            Some(b"bytes=0-1,4-5") => {
                let kind: (_, &[u8]) = ("content-type", b"multipart/byteranges; boundary=3d6b");
                told(206, &[kind], body::full(PARTS))
            }
            _ => told(416, &[("content-range", b"bytes */9")], body::empty()),
        }
    })
    .await;
    scene
        .in_all_four(async |mut client, combination| {
            let mut get = async |range: &str| {
                let request = head(Method::GET, "/").header("range", range).header("if-range", "\"v1\"");
                client.exchange(request.body(body::empty()).expect("a request")).await
            };
            let one = get("bytes=2-4").await;
            assert_eq!((one.status.as_u16(), &one.body[..]), (206, &b"cde"[..]), "{combination}");
            assert_eq!(one.value("content-range"), Some("bytes 2-4/9"), "{combination}");
            let many = get("bytes=0-1,4-5").await;
            assert_eq!((many.status.as_u16(), &many.body[..]), (206, PARTS.as_bytes()), "{combination}");
            assert_eq!(many.value("content-type"), Some("multipart/byteranges; boundary=3d6b"));
            let none = get("bytes=90-").await;
            assert_eq!((none.status.as_u16(), none.value("content-range")), (416, Some("bytes */9")));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_either_connection_is_added() {
    let scene = Scene::new(echo).await;
    scene
        .in_all_four(async |mut client, combination| {
            let request = head(Method::GET, "/").header("x-own", "1").body(body::empty()).expect("a request");
            let answer = client.exchange(request).await;
            let names = |headers: &HeaderMap| {
                let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
                names.sort_unstable();
                names
            };
            let mut seen = names(&answer.headers);
            seen.retain(|name| !matches!(name.as_str(), "saw-host" | "content-length"));
            assert_eq!(seen, ["date", "saw-x-own", "x-method", "x-target"], "{combination}");
        })
        .await;
}
