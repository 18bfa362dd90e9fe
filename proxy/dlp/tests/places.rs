//! Where in a request a value is told to stand, and that no place tells the value.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "every function here is part of a test")]

mod common;

use common::detectors_of_no_values;
use hudson_dlp::{Class, Finding, Head, Part};

const TOKEN: &str = concat!("ghp", "_wWPw5k4aXcaT4fNP0", "UcnZwJUVFk6LO0pINUx");

fn body(text: &str) -> Vec<Finding> {
    detectors_of_no_values().scan(Part::Body, "api.example.com", text.as_bytes())
}

/// The place of the one finding that acts.
fn place(found: &[Finding]) -> Option<&str> {
    let acting: Vec<&Finding> = found.iter().filter(|finding| finding.class >= Class::Act).collect();
    assert_eq!(acting.iter().map(|finding| &*finding.rule).collect::<Vec<_>>(), ["github-pat"], "{found:?}");
    let told = format!("{found:?} {}", serde_json::to_string(found).unwrap());
    assert!(!told.contains(&TOKEN[4..]), "{told}");
    acting[0].location.as_deref()
}

fn target(target: &str) -> Vec<Finding> {
    detectors_of_no_values().scan_head(&Head { host: "api.example.com", target, headers: &[] })
}

#[test]
fn a_place_in_a_target_is_a_parameter_or_a_segment() {
    assert_eq!(place(&target(&format!("/v1/items?page=2&key={TOKEN}"))), Some("key"));
    assert_eq!(place(&target(&format!("/v1/{TOKEN}/x?page=2"))), Some("segment 2"));
    assert_eq!(place(&target(&format!("/?{TOKEN}=1"))), None);
    assert_eq!(place(&target(&format!("/?a=%67hp{}", &TOKEN[3..]))), Some("a"));
}

#[test]
fn a_place_in_a_body_is_what_its_form_names() {
    assert_eq!(place(&body(&format!(r#"{{"a":{{"b":["x","{TOKEN}"]}}}}"#))), Some("/a/b/1"));
    assert_eq!(place(&body(&format!("user=me&key={TOKEN}&x=1"))), Some("key"));
    assert_eq!(place(&body(&format!("only words and {TOKEN}"))), None);
}

#[test]
fn a_secret_is_not_told_as_a_place() {
    let found = body(&format!(r#"{{"{TOKEN}":{{"x":1}}}}"#));
    assert_eq!(place(&found), Some("/…"));
    // A key that is a secret in front of a value that is one.
    let found = body(&format!(r#"{{"{TOKEN}":"{TOKEN}"}}"#));
    let told = format!("{found:?}");
    assert!(found.len() == 2 && !told.contains(&TOKEN[4..]), "{told}");
}

/// A file that is sent in a form.
fn multipart(name: &str, file: &str, header: &str, content: &str) -> String {
    format!(
        "--b1\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--b1\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\nContent-Type: {header}\r\n\r\n{content}\r\n--b1--\r\n"
    )
}

#[test]
fn every_part_of_a_multipart_body_is_looked_at() {
    let file = multipart("up", "f.txt", "text/plain", &format!("key: {TOKEN}"));
    assert_eq!(place(&body(&file)), Some("up"));
    assert_eq!(place(&body(&multipart("up", &format!("{TOKEN}.txt"), "text/plain", "x"))), Some("up"));
    assert_eq!(place(&body(&multipart("up", "f.txt", &format!("text/{TOKEN}"), "x"))), Some("up"));
    assert_eq!(place(&body(&multipart(TOKEN, "f.txt", "text/plain", "x"))), None);
}

#[test]
fn quoted_printable_hides_nothing() {
    let broken =
        format!("dear all,=\r\n the key is ={:02X}{}=\r\n{} =E2=82=AC", b'g', &TOKEN[1..20], &TOKEN[20..]);
    let letters: String = TOKEN.bytes().map(|byte| format!("={byte:02x}")).collect();
    let soft = format!("{}=\n{}=\r\n{}", &TOKEN[..10], &TOKEN[10..25], &TOKEN[25..]);
    for text in [
        broken,
        letters,
        soft,
        format!("Content-Transfer-Encoding: quoted-printable\r\n\r\na={}", &TOKEN[..9])
            + "=\r\n"
            + &TOKEN[9..],
    ] {
        let found = body(&text);
        let acting: Vec<&Finding> = found.iter().filter(|finding| finding.class >= Class::Act).collect();
        assert_eq!(acting.iter().map(|finding| &*finding.rule).collect::<Vec<_>>(), ["github-pat"], "{text}");
        assert!(acting[0].end <= text.len());
    }
}

#[test]
fn data_in_the_name_of_a_host_is_found_and_hosts_that_people_use_are_not() {
    let rules = |host: &str| {
        let found = detectors_of_no_values().scan_host(host);
        found.iter().map(|finding| (finding.rule.to_string(), finding.class)).collect::<Vec<_>>()
    };
    let act = |rule: &str| vec![(rule.to_owned(), Class::Act)];
    assert_eq!(rules("JBSWY3DPEHPK3PXP.exfil.example.com"), act("encoded-host-label"));
    assert_eq!(rules("jbswy3dpehpk3pxp.exfil.example.com"), act("encoded-host-label"));
    assert_eq!(rules("4a6f686e446f65.53656372657431.exfil.example.com"), act("encoded-host-label"));
    assert_eq!(rules("a1b2c3d4.e5f6a7b8.c9d0e1f2.a3b4c5d6.e7f8.exfil.com"), act("chunked-host-labels"));
    for host in [
        "api.github.com",
        "d111111abcdef8.cloudfront.net",
        "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
        "mhf2yqy3kv7xzsdq5bnfw6r2ja4tcgpe.lambda-url.us-east-1.on.aws",
        "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com",
        "xyzcompanyabcdefghij.supabase.co",
        "my-app-git-main-4f6a2b7c.vercel.app",
        "k8s-default-ingress-3f7a1b2c4d-1876543210.us-east-1.elb.amazonaws.com",
        "r4---sn-4g5e6nzl.googlevideo.com",
        "prometheus.monitoring.svc.cluster.local",
        "o4505123456789012.ingest.us.sentry.io",
        "internal.platform.services.example.com",
        "xn--bcher-kva.example",
        "1.0.0.127.in-addr.arpa",
    ] {
        assert!(rules(host).is_empty(), "{host}: {:?}", rules(host));
    }
}

#[test]
fn letters_that_are_escaped_again_and_again_are_found_and_addresses_in_addresses_are_not() {
    let rules = |text: &str| {
        let found = target(text);
        found.iter().map(|finding| (finding.rule.to_string(), finding.location.clone())).collect::<Vec<_>>()
    };
    let found = |place: &str| vec![("nested-percent-escape".to_owned(), Some(place.to_owned()))];
    assert_eq!(rules("/exfil?key=%25252541%25252549"), found("key"));
    assert_eq!(rules("/a/%252541bc"), found("segment 2"));
    for text in [
        "/login?continue=https%253A%252F%252Fa.example%252Fx%253Fy%253D1",
        "/login?continue=https%25253A%25252F%25252Fa.example%25253Fq%25253D%25252520x",
        "/s?discount=100%2525&like=%2525abc%2525",
    ] {
        assert!(rules(text).is_empty(), "{text}: {:?}", rules(text));
    }
}
