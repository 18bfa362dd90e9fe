//! What rules promise, by requests.

use super::*;
use hudson_schema::config::parse_routes;
use proptest::prelude::*;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// The rules of a file, each a line of flow YAML.
fn rules(lines: &[&str]) -> Arc<[Rule]> {
    let lines: String = lines.iter().map(|line| format!("      - {line}\n")).collect();
    let text = format!("routes:\n  - host: a.example.com\n    rules:\n{lines}");
    let routes = parse_routes(Path::new("routes.yaml"), &text).unwrap_or_else(|error| panic!("{error}"));
    routes.routes[0].rules.clone()
}

/// A request, step by step.
struct Asked {
    method: &'static str,
    path: &'static str,
    query: Option<&'static str>,
    headers: HeaderMap,
    body: Option<Result<Content, &'static str>>,
    counter: Cell<Option<i64>>,
}

fn asked(method: &'static str, target: &'static str) -> Asked {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let headers = HeaderMap::new();
    Asked { method, path, query, headers, body: None, counter: Cell::new(Some(0)) }
}

fn post(body: &str) -> Asked {
    asked("POST", "/charges").body(body)
}

impl Asked {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    fn body(mut self, body: &str) -> Self {
        self.body = Some(Content::of_body(&self.headers, body.as_bytes()));
        self
    }

    fn with<T>(&self, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
        ask(&Facts {
            method: self.method,
            host: "a.example.com",
            path: self.path,
            query: self.query,
            headers: &self.headers,
            body: match &self.body {
                None => BodyFacts::Empty,
                Some(Ok(content)) => BodyFacts::Json(content),
                Some(Err(why)) => BodyFacts::NotJson(why),
            },
            args: None,
            bottle: "ci",
            agent: Some("reviewer"),
            counters: &|_| self.counter.get(),
        })
    }

    /// What the rules say, in a word or two.
    fn ruled(&self, rules: &[Rule]) -> String {
        self.with(|facts| match judge(rules, facts) {
            Ruled::Passes { by: None } => "passes".to_owned(),
            Ruled::Passes { by: Some(rule) } => format!("by {}", rule.name),
            Ruled::Denied { rule } => format!("denied {}", rule.name),
            Ruled::Approval { rule } => format!("asks {}", rule.name),
            Ruled::Unmatched { .. } => "unmatched".to_owned(),
            Ruled::Unreadable { .. } => "unreadable".to_owned(),
        })
    }
}

#[test]
fn deny_comes_before_asking_and_asking_before_allowing() {
    let rules = rules(&[
        "{name: small, action: allow, conditions: [{path: body.amount, op: lt, value: 100}]}",
        "{name: large, action: require_approval, conditions: [{path: body.amount, op: gte, value: 100}]}",
        "{name: never, action: deny, conditions: [{path: body.amount, op: gt, value: 1000}]}",
        "{name: to evil, action: deny, conditions: [{path: body.to, op: eq, value: evil}]}",
    ]);
    for (body, ruled) in [
        (r#"{"amount":5}"#, "by small"),
        (r#"{"amount":100}"#, "asks large"),
        (r#"{"amount":5000}"#, "denied never"),
        (r#"{"amount":5,"to":"evil"}"#, "denied to evil"),
        (r#"{"amount":5000,"to":"evil"}"#, "denied never"),
        ("{}", "unmatched"),
    ] {
        assert_eq!(post(body).ruled(&rules), ruled, "{body}");
    }
}

/// Where nothing allows by itself, what no rule is about passes; where something does, nothing else does.
#[test]
fn what_no_rule_is_about_passes_unless_some_rule_allows() {
    let none =
        rules(&["{name: no deletes, action: deny, conditions: [{path: method, op: eq, value: delete}]}"]);
    assert_eq!(asked("GET", "/").ruled(&none), "passes");
    assert_eq!(asked("DELETE", "/").ruled(&none), "denied no deletes");
    let reads =
        rules(&["{name: reads, action: allow, conditions: [{path: method, op: in, value: [GET, HEAD]}]}"]);
    assert_eq!(asked("GET", "/").ruled(&reads), "by reads");
    assert_eq!(asked("POST", "/").ruled(&reads), "unmatched");
    let counted = rules(&["{name: slowly, action: allow, rate_limit: 10/minute}"]);
    assert_eq!(asked("POST", "/").ruled(&counted), "by slowly");
    assert_eq!(asked("POST", "/").ruled(&[]), "passes");
}

#[test]
fn every_path_leads_somewhere() {
    let request = || {
        asked("PUT", "/v1/items?page=2&tag=c+d")
            .header("x-kind", " red ")
            .body(r#"{"a":{"b":[1,{"c":"deep"}]},"n":null,"t":true}"#)
    };
    for (condition, holds) in [
        ("{path: method, op: eq, value: PUT}", true),
        ("{path: method, op: eq, value: put}", true),
        ("{path: host, op: eq, value: a.example.com}", true),
        ("{path: path, op: eq, value: /v1/items}", true),
        ("{path: path, op: regex, value: '/v1/.*'}", true),
        ("{path: path, op: regex, value: '/v1/'}", false),
        ("{path: query.page, op: gt, value: 1}", true),
        ("{path: query.page, op: eq, value: 2}", true),
        ("{path: query.page, op: eq, value: '2'}", true),
        ("{path: query.tag, op: eq, value: c d}", true),
        ("{path: query.none, op: exists}", false),
        ("{path: query.none, op: neq, value: x}", false),
        ("{path: header.X-Kind, op: eq, value: red}", true),
        ("{path: body.a.b.0, op: eq, value: 1}", true),
        ("{path: body.a.b.0, op: eq, value: '1'}", false),
        ("{path: body.a.b.*.c, op: contains, value: ee}", true),
        ("{path: body.a.b, op: contains, value: 1}", true),
        ("{path: body.a.b, op: contains, value: '1'}", false),
        ("{path: body.n, op: exists}", true),
        ("{path: body.n, op: gt, value: 0}", false),
        ("{path: body.x, op: exists}", false),
        ("{path: body.x, op: exists, value: false}", true),
        ("{path: body.x, op: neq, value: 1}", false),
        ("{path: body.x, op: not_in, value: [1]}", false),
        ("{path: body.t, op: eq, value: true}", true),
        ("{path: body.t, op: eq, value: 'true'}", false),
        ("{path: bottle.name, op: eq, value: ci}", true),
        ("{path: bottle.agent, op: in, value: [reviewer]}", true),
    ] {
        for action in ["deny", "require_approval", "allow"] {
            let rules = rules(&[&format!("{{name: it, action: {action}, conditions: [{condition}]}}")]);
            let expected = match (action, holds) {
                ("deny", true) => "denied it",
                ("require_approval", true) => "asks it",
                ("allow", true) => "by it",
                ("allow", false) => "unmatched",
                _ => "passes",
            };
            assert_eq!(request().ruled(&rules), expected, "{action} {condition}");
        }
    }
}

#[test]
fn conditions_are_and() {
    let rules = rules(&[
        "{name: it, action: deny, conditions: [{path: method, op: eq, value: POST}, {path: path, op: eq, value: /a}]}",
    ]);
    assert_eq!(asked("POST", "/a").ruled(&rules), "denied it");
    assert_eq!(asked("POST", "/b").ruled(&rules), "passes");
    assert_eq!(asked("GET", "/a").ruled(&rules), "passes");
}

/// Every spelling by which the same large charge could be sent to one server or another.
#[test]
fn a_large_charge_is_large_however_it_is_written() {
    let rules =
        rules(&["{name: large, action: deny, conditions: [{path: body.amount, op: gt, value: 50000}]}"]);
    for body in [
        r#"{"amount":50001}"#,
        r#"{"amount":50000.000000000000000000001}"#,
        r#"{"amount":5.0001e4}"#,
        r#"{"\u0061mount":50001}"#,
        r#"{"Amount":50001}"#,
        r#"{"amount":1,"AMOUNT":50001}"#,
        r#"{"amount":99999999999999999999999999}"#,
    ] {
        assert_eq!(post(body).ruled(&rules), "denied large", "{body}");
    }
    for body in [
        r#"{"amount":"50001"}"#,
        r#"{"amount":[50001]}"#,
        r#"{"amount":true}"#,
        r#"{"amount":1e99999999999}"#,
        r#"{"amount":1,"amount":50001}"#,
        "amount=50001",
        "<amount>50001</amount>",
    ] {
        assert_eq!(post(body).ruled(&rules), "unreadable", "{body}");
    }
    for body in
        [r#"{"amount":50000}"#, r#"{"amount":5e4}"#, r#"{"amount":-99999}"#, r#"{"amount":null}"#, "{}"]
    {
        assert_eq!(post(body).ruled(&rules), "passes", "{body}");
    }
    let form = |body: &str| {
        asked("POST", "/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .ruled(&rules)
    };
    for body in
        ["amount=50001", "amount=1&amount=50001", "amount=%35%30001", "amount=%2B50001", "Amount=50001"]
    {
        assert_eq!(form(body), "denied large", "{body}");
    }
    assert_eq!(form("amount=5_0001"), "unreadable");
    assert_eq!(form("amount=0xffff"), "unreadable");
    assert_eq!(form("amount=50000"), "passes");
}

/// A rule that allows is met only by what no server could take for anything else.
#[test]
fn what_allows_is_not_widened_by_a_second_value() {
    let rules = rules(&[
        "{name: a, action: allow, conditions: [{path: query.user, op: eq, value: me}]}",
        "{name: b, action: allow, conditions: [{path: header.x-user, op: eq, value: me}]}",
        "{name: c, action: allow, conditions: [{path: body.user, op: eq, value: me}]}",
        "{name: d, action: allow, conditions: [{path: method, op: eq, value: GET}]}",
        "{name: e, action: allow, conditions: [{path: path, op: regex, value: '/mine/.*'}]}",
    ]);
    assert_eq!(asked("POST", "/mine/x").ruled(&rules), "by e");
    assert_eq!(asked("POST", "/?user=me").ruled(&rules), "by a");
    assert_eq!(asked("POST", "/").header("x-user", "me").ruled(&rules), "by b");
    assert_eq!(post(r#"{"user":"me"}"#).ruled(&rules), "by c");
    assert_eq!(asked("GET", "/").ruled(&rules), "by d");
    for request in [
        asked("POST", "/?user=me&user=you"),
        asked("POST", "/?user=me&USER=you"),
        asked("POST", "/?a=1;user=me"),
        asked("POST", "/").header("x-user", "me").header("x-user", "you"),
        asked("POST", "/").header("x-user", "me").header("connection", "x-user"),
        post(r#"{"user":"me","User":"you"}"#),
        post(r#"{"User":"me"}"#),
        post("not json"),
        asked("GET", "/").header("x-http-method-override", "DELETE"),
        asked("GET", "/?_method=delete"),
        asked("POST", "/mine/x%2Fy"),
    ] {
        assert_eq!(
            request.ruled(&rules),
            "unmatched",
            "{} {:?} {:?}",
            request.path,
            request.query,
            request.body
        );
    }
}

#[test]
fn what_denies_looks_at_all_that_may_be_meant() {
    let rules = rules(&[
        "{name: query, action: deny, conditions: [{path: query.role, op: eq, value: admin}]}",
        "{name: header, action: deny, conditions: [{path: header.x-role, op: eq, value: admin}]}",
        "{name: method, action: deny, conditions: [{path: method, op: eq, value: DELETE}]}",
        "{name: path, action: deny, conditions: [{path: path, op: eq, value: /admin}]}",
        "{name: below, action: deny, conditions: [{path: path, op: regex, value: '/admin/.*'}]}",
    ]);
    for (request, ruled) in [
        (asked("GET", "/?role=user&role=admin"), "denied query"),
        (asked("GET", "/?Role=%61dmin"), "denied query"),
        (asked("GET", "/?a=1;role=admin"), "denied query"),
        (asked("GET", "/").header("x-role", "user").header("x-role", "admin"), "denied header"),
        (asked("GET", "/").header("x-role", "admin").header("connection", "x-role"), "denied header"),
        (asked("delete", "/"), "denied method"),
        (asked("POST", "/").header("x-method-override", "delete"), "denied method"),
        (asked("POST", "/?_method=DELETE"), "denied method"),
        (asked("GET", "/admin"), "denied path"),
        (asked("GET", "/admin%2Fx"), "denied below"),
        (asked("GET", "/?role=admins"), "passes"),
    ] {
        assert_eq!(request.ruled(&rules), ruled, "{} {} {:?}", request.method, request.path, request.query);
    }
}

/// A body that cannot be looked at matters only where it could decide.
#[test]
fn a_body_is_asked_for_only_where_it_could_decide() {
    let rules = rules(&[
        "{name: large, action: deny, conditions: [{path: body.amount, op: gt, value: 5}, {path: path, op: eq, value: /charges}]}",
        "{name: other, action: deny, conditions: [{path: header.x, op: exists}]}",
    ]);
    assert!(reads_body(&rules));
    assert_eq!(asked("POST", "/charges").body("PK\u{3}\u{4}").ruled(&rules), "unreadable");
    assert_eq!(asked("PUT", "/upload").body("PK\u{3}\u{4}").ruled(&rules), "passes");
    assert_eq!(asked("POST", "/charges").header("x", "1").body("PK").ruled(&rules), "denied other");
    let needs = |request: Asked| {
        request.with(|facts| needs_body(&rules, &Facts { body: BodyFacts::Unread, ..*facts }))
    };
    assert!(needs(asked("POST", "/charges")));
    assert!(!needs(asked("POST", "/upload")));
    let head = self::rules(&[
        "{name: a, action: deny, conditions: [{path: method, op: eq, value: PUT}]}",
        "{name: b, action: require_approval, bind: endpoint}",
    ]);
    assert!(!reads_body(&head));
    assert!(reads_body(&self::rules(&["{name: b, action: require_approval}"])), "it is bound to the body");
}

#[test]
fn a_counter_is_compared_as_it_is() {
    let rules = rules(&[
        "{name: enough, action: deny, conditions: [{path: state.bottle.spent, op: gte, value: 100}]}",
        "{name: count, action: allow, state: {counter: spent, window: day, increment_from: body.amount}}",
    ]);
    let request = |counted| {
        let request = post(r#"{"amount":7.2}"#);
        request.counter.set(counted);
        request
    };
    assert_eq!(request(Some(99)).ruled(&rules), "by count");
    assert_eq!(request(Some(100)).ruled(&rules), "denied enough");
    assert_eq!(request(None).ruled(&rules), "unreadable");
    assert_eq!(counters(&rules).collect::<Vec<_>>(), [(CounterScope::Bottle, "spent", CounterWindow::Day)]);
    let counted = request(Some(1)).with(|facts| {
        counting(&rules, facts)
            .into_iter()
            .map(|rule| (rule.name.clone(), increment(rule, facts)))
            .collect::<Vec<_>>()
    });
    assert_eq!(counted, [("count".to_owned(), Ok(8))]);
}

#[test]
fn what_is_added_is_never_less_than_what_is_sent() {
    let rules = rules(&[
        "{name: a, action: allow, state: {counter: a, window: day}}",
        "{name: b, action: allow, state: {counter: b, window: day, increment: 3}}",
        "{name: c, action: allow, state: {counter: c, window: day, increment_from: body.items.*.n}}",
        "{name: d, action: allow, state: {counter: d, window: day, increment_from: body.n, increment: 2}}",
    ]);
    let added = |body: &str| {
        post(body).with(|facts| rules.iter().map(|rule| increment(rule, facts)).collect::<Vec<_>>())
    };
    assert_eq!(added("{}"), [Ok(1), Ok(3), Ok(0), Ok(2)]);
    assert_eq!(added(r#"{"items":[{"n":1},{"n":2.5},{}],"n":7,"N":1}"#), [Ok(1), Ok(3), Ok(4), Ok(8)]);
    for bad in ["-1", "\"7\"", "[]", "1e30"] {
        let added = added(&format!(r#"{{"n":{bad}}}"#));
        assert!(added[3].is_err(), "{bad} {added:?}");
    }
}

proptest! {
    /// Whatever is sent, judging it ends, and a denial by its text is not got around by its spelling.
    #[test]
    fn no_body_is_too_much(body in "\\PC{0,80}", kind in prop_oneof![Just("application/json"), Just("application/x-www-form-urlencoded")]) {
        let rules = rules(&["{name: it, action: deny, conditions: [{path: body.a, op: eq, value: x}]}"]);
        let _ = asked("POST", "/").header("content-type", kind).body(&body).ruled(&rules);
    }

    /// Within its bounds, no condition on a counter changes its mind.
    #[test]
    fn a_counter_within_its_bounds_is_judged_alike(value in -20..20_i64, other in -20..20_i64, bounds in prop::collection::vec((-150..150_i64, 0..7_usize), 1..4)) {
        let operators = ["lt", "lte", "gt", "gte", "eq", "neq", "in"];
        let condition = |(tenths, operator): &(i64, usize)| {
            let number = if tenths % 10 == 0 { format!("{}", tenths / 10) } else { format!("{:.1}", *tenths as f64 / 10.0) };
            let number = if operators[*operator] == "in" { format!("[{number}]") } else { number };
            format!("{{path: state.bottle.n, op: {}, value: {number}}}", operators[*operator])
        };
        let lines: Vec<String> = bounds.iter().enumerate()
            .map(|(place, bound)| format!("{{name: r{place}, action: deny, conditions: [{}]}}", condition(bound)))
            .chain(["{name: count, action: allow, state: {counter: n, window: hour}}".to_owned()])
            .collect();
        let rules = rules(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let (least, most) = unchanged(&rules, CounterScope::Bottle, "n", value);
        prop_assert!(least <= value && value <= most);
        let ruled = |value| {
            let request = asked("GET", "/");
            request.counter.set(Some(value));
            request.ruled(&rules)
        };
        if least <= other && other <= most {
            prop_assert_eq!(ruled(value), ruled(other));
        }
    }
}
