//! `OPTIONS *` asks about a host as a whole (RFC 9110 section 9.3.7): only a route that allows all of it lets it pass.

use http::{HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;

use super::PLAIN;
use super::body::{self, Body};
use super::scene::Scene;
use crate::raw::{self, Upstream};

async fn target(request: Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(body::empty());
    let value = |text: &str| HeaderValue::from_str(text).expect("a value");
    response.headers_mut().insert("x-method", value(request.method().as_str()));
    response.headers_mut().insert("x-path", value(request.uri().path()));
    response
}

fn asterisk(method: Method) -> Request<Body> {
    let mut request = Request::new(body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static("*");
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_everything_is_forwarded_as_it_is() {
    let scene = Scene::new(target).await;
    scene
        .in_all_four(async |mut client, combination| {
            let answer = client.exchange(asterisk(Method::OPTIONS)).await;
            let told = (answer.status.as_u16(), answer.value("x-method"), answer.value("x-path"));
            assert_eq!(told, (200, Some("OPTIONS"), Some("*")), "{combination}: {answer:?}");
        })
        .await;
}

#[test]
fn a_route_that_narrows_does_not_allow_options_of_everything() {
    for entry in
        ["methods: [OPTIONS]", "paths: [{type: regex, value: '.*'}]", "paths: [{type: prefix, value: /}]"]
    {
        let routes = format!("routes:\n  - host: files.example.com\n    matches:\n      - {{{entry}}}\n");
        let stage = raw::routes(&routes).start();
        let answer =
            stage.agent().send("files.example.com", "OPTIONS * HTTP/1.1\r\nHost: files.example.com\r\n\r\n");
        answer.refused(403, "request_not_matched");
        assert_eq!(stage.arrived(), 0, "{entry}");
    }
}

#[test]
fn a_metered_host_does_not_answer_options_of_everything() {
    let stage = raw::routes("routes:\n  - host: api.anthropic.com\n").start();
    let request = "OPTIONS * HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n";
    stage.agent().send("api.anthropic.com", request).refused(403, "unmetered_endpoint");
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn no_other_method_asks_about_everything() {
    let stage = raw::routes("routes:\n  - host: files.example.com\n").start();
    for method in ["GET", "POST", "options"] {
        let request = format!("{method} * HTTP/1.1\r\nHost: files.example.com\r\n\r\n");
        stage.agent().send("files.example.com", &request).refused(400, "malformed_request");
    }
    assert_eq!(stage.arrived(), 0);
}

#[test]
fn an_absolute_target_without_a_path_asks_about_the_root() {
    // RFC 9112 section 3.2.4 would have `*` of the first two; the URI that is read no longer tells them from the third.
    let upstream = Upstream::echo();
    let stage = raw::routes(PLAIN).connect_to("plain.example.com:80", upstream.address).start();
    let agent = stage.agent();
    for (target, sent) in [
        ("http://plain.example.com", "OPTIONS / HTTP/1.1\r\n"),
        ("http://plain.example.com:80", "OPTIONS / HTTP/1.1\r\n"),
        ("http://plain.example.com/", "OPTIONS / HTTP/1.1\r\n"),
        ("http://plain.example.com/a", "OPTIONS /a HTTP/1.1\r\n"),
        ("http://plain.example.com?a", "OPTIONS /?a HTTP/1.1\r\n"),
    ] {
        agent.plain("OPTIONS", target, "").passed();
        let seen = upstream.seen();
        assert!(seen.last().is_some_and(|request| request.starts_with(sent)), "{target}: {seen:?}");
    }
}
