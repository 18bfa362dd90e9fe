//! The same request in every spelling that some server takes for it: none gets around a rule that denies.

use std::io::Write as _;

use super::{HOST, Scene};
use crate::raw;

/// What must not pass, whatever it looks like.
const LARGE: &str = "{name: large, action: deny, conditions: [{path: body.amount, op: gt, value: 50000}]}";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

#[test]
fn no_spelling_of_a_body_gets_around_a_rule() {
    let scene = Scene::new(&[LARGE]);
    for body in [
        r#"{"amount":50001}"#,
        r#"{"amount":5.0001e4}"#,
        r#"{"amount":50000.0000000000000001}"#,
        r#"{"\u0061mount":50001}"#,
        r#"{"AMOUNT":50001}"#,
        r#"{"amount":1,"Amount":50001}"#,
        r#"{"amount":123456789012345678901234567890}"#,
    ] {
        scene.post(body).refused(403, "rule_denied").says("large");
    }
    for body in [
        r#"{"amount":1,"amount":50001}"#,
        r#"{"amount":"50001"}"#,
        r#"{"amount":[50001]}"#,
        "amount=50001",
        "\u{feff}{\"amount\":50001}",
        "{\"amount\":50001",
    ] {
        scene.post(body).refused(400, "malformed_request").says("cannot be known");
    }
    assert_eq!(scene.arrived(), 0);
    scene.post("").passed();
    scene.post("{}").passed();
}

#[test]
fn forms_are_read_as_forms_and_nothing_else_is() {
    let scene = Scene::new(&[LARGE]);
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    for body in ["amount=50001", "amount=%350001", "amount=1&amount=50001", "Amount=50001&x=%zz"] {
        scene.ask("POST", "/charges", form, body.as_bytes()).refused(403, "rule_denied");
    }
    scene.ask("POST", "/charges", form, b"amount=50000&currency=usd").passed();
    scene.ask("POST", "/charges", form, br#"{"amount":50001}"#).refused(400, "malformed_request");
    let both = format!("{form}content-type: application/json\r\n");
    scene.ask("POST", "/charges", &both, b"amount=1").refused(400, "malformed_request");
    let multipart = "content-type: multipart/form-data; boundary=x\r\n";
    let part = b"--x\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n50001\r\n--x--\r\n";
    scene.ask("POST", "/charges", multipart, part).refused(400, "malformed_request");
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn compressed_bodies_are_read_in_clear_and_sent_as_they_came() {
    let scene = Scene::new(&[LARGE]);
    let (large, small) = (br#"{"amount":50001}"#, br#"{"amount":50000}"#);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("it can be encoded");
    for (coding, body) in [("gzip", gzip(large)), ("zstd", zstd(large)), ("gzip, gzip", gzip(&gzip(large)))] {
        let headers = format!("content-encoding: {coding}\r\n");
        scene.ask("POST", "/", &headers, &body).refused(403, "rule_denied");
    }
    // One that nobody says is compressed is none that can be read.
    scene.ask("POST", "/", "", &gzip(large)).refused(400, "malformed_request");
    for (coding, body) in
        [("compress", &small[..]), ("gzip", &small[..]), ("gzip", &gzip(&vec![b' '; 128 << 20]))]
    {
        let answer = scene.ask("POST", "/", &format!("content-encoding: {coding}\r\n"), body);
        assert!([413, 415].contains(&answer.status), "{coding}: {answer}");
    }
    assert_eq!(scene.arrived(), 0);
    let packed = gzip(small);
    let answer = scene.ask("POST", "/", "content-encoding: gzip\r\n", &packed).passed();
    answer.says("content-encoding: gzip").says(&format!("content-length: {}", packed.len()));
}

/// Without DLP it is the rules alone that read it.
#[test]
fn bodies_are_read_where_no_detector_runs() {
    let off = |setting: raw::Setting| {
        let routes =
            super::routes(&[LARGE]).replace("    rules:", "    dlp: {outbound_detectors: false}\n    rules:");
        setting.file("bottles/ci/routes.yaml", &routes)
    };
    let scene = Scene::with(raw::Upstream::echo(), &[LARGE], off);
    scene.post(r#"{"amount":50001}"#).refused(403, "rule_denied");
    scene.ask("POST", "/", "content-encoding: compress\r\n", b"{}").refused(415, "body_unreadable");
    let packed = gzip(br#"{"amount":50001}"#);
    scene.ask("POST", "/", "content-encoding: gzip\r\n", &packed).refused(403, "rule_denied");
    scene.post(r#"{"amount":1}"#).passed();
    assert_eq!(scene.arrived(), 1);
}

#[test]
fn chunks_pauses_and_trailers_hide_nothing() {
    let scene = Scene::new(&[LARGE]);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let send = |pieces: &[&str]| {
        let headers = "content-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-more\r\n";
        let head = scene.agent.absolute("POST", &format!("http://{HOST}/"), headers);
        let mut socket = scene.agent.socket();
        socket.write_all(head.as_bytes()).expect("the proxy reads");
        for piece in pieces {
            socket.write_all(chunk(piece).as_bytes()).expect("the proxy reads");
            std::thread::sleep(std::time::Duration::from_millis(150));
        }
        socket.write_all(b"0\r\nx-more: 1\r\n\r\n").expect("the proxy reads");
        raw::answer::read_answer(&mut socket, false).expect("it is answered")
    };
    send(&["{\"amo", "unt\":500", "01}"]).refused(403, "rule_denied");
    assert_eq!(scene.arrived(), 0);
    send(&["{\"amo", "unt\":500", "0}"]).passed().says("{\"amount\":5000}");
}

/// Of what is sent twice, all that a server may take is looked at.
#[test]
fn what_is_sent_twice_is_looked_at_twice() {
    let scene = Scene::new(&[
        "{name: query, action: deny, conditions: [{path: query.role, op: eq, value: admin}]}",
        "{name: header, action: deny, conditions: [{path: header.x-role, op: eq, value: admin}]}",
        "{name: method, action: deny, conditions: [{path: method, op: eq, value: DELETE}]}",
        "{name: path, action: deny, conditions: [{path: path, op: regex, value: '/admin/.*'}]}",
    ]);
    for (method, target, headers) in [
        ("GET", "/?role=user&role=admin", ""),
        ("GET", "/?role=%61dmin", ""),
        ("GET", "/?ROLE=admin", ""),
        ("GET", "/?a=1;role=admin", ""),
        ("GET", "/", "x-role: user\r\nx-role: admin\r\n"),
        ("GET", "/", "x-role: admin\r\nconnection: x-role\r\n"),
        ("POST", "/", "x-http-method-override: delete\r\n"),
        ("POST", "/?_method=DELETE", ""),
        ("delete", "/", ""),
        ("GET", "/x/../admin/users", ""),
        ("GET", "/%61dmin/users", ""),
        ("GET", "/admin%2Fusers", ""),
    ] {
        scene.ask(method, target, headers, b"").refused(403, "rule_denied");
    }
    assert_eq!(scene.arrived(), 0);
}
