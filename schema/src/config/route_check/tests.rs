//! Good and bad routes files, with the errors people see.

use super::*;
use crate::Format;
use crate::config::{
    CounterScope, CounterWindow, HeaderTest, InboundOnMatch, IpNetwork, LogLevel, OnMatch, OutboundDetector,
    PathMatch, Source, Subject, Unmetered, parse_routes,
};

fn parse(text: &str) -> Result<Routes, String> {
    parse_routes(Path::new("/etc/hudson/routes.yaml"), text).map_err(|error| error.to_string())
}

fn one(route: &str) -> Route {
    parse(&format!("routes:\n  - host: a.example.com\n{route}")).unwrap().routes.remove(0)
}

/// The problems of a route whose keys begin in line 3, without the file's name.
fn problems(route: &str) -> Vec<String> {
    let text = format!("routes:\n  - host: a.example.com\n{route}");
    let error = parse_routes(Path::new("r"), &text).unwrap_err();
    error
        .problems()
        .iter()
        .map(|problem| format!("{}:{}: {}", problem.line, problem.column, problem.message))
        .collect()
}

#[test]
fn the_smallest_file_has_every_default() {
    let routes = parse("routes:\n  - host: api.example.com\n").unwrap();
    let expected = Route { line: 2, ..Route::new("api.example.com".parse().unwrap()) };
    assert_eq!(routes, Routes::new(LogLevel::Off, vec![expected]));
    assert_eq!(routes.unsupported(), []);
}

#[test]
fn bot_bottles_wire_form_and_manifest_form_mean_the_same() {
    let wire = one("    auth_scheme: Bearer\n    token_env: EGRESS_TOKEN_0\n    git_fetch: true\n");
    let manifest = one("    auth: {scheme: Bearer, token_ref: EGRESS_TOKEN_0}\n    git: {fetch: true}\n");
    assert_eq!(wire, manifest);
    let from = Source::Env("EGRESS_TOKEN_0".to_owned());
    let expected =
        Credential::Header { name: "authorization".to_owned(), prefix: Some("Bearer ".to_owned()), from };
    assert_eq!(wire.credentials, [expected]);
    assert!(wire.git_fetch);
}

#[test]
fn every_form_of_credential_is_read() {
    let route = one(concat!(
        "    credentials:\n",
        "      - {header: X-Api-Key, from: {env: KEY}}\n",
        "      - {query: key, from: {file: secret/key}}\n",
        "      - basic: {username: ci, from: {command: [gh, auth, token]}}\n",
    ));
    assert_eq!(
        route.credentials,
        [
            Credential::Header {
                name: "x-api-key".to_owned(),
                prefix: None,
                from: Source::Env("KEY".to_owned())
            },
            Credential::Query { name: "key".to_owned(), from: Source::File("/etc/hudson/secret/key".into()) },
            Credential::Basic {
                username: "ci".to_owned(),
                from: Source::Command(vec!["gh".to_owned(), "auth".to_owned(), "token".to_owned()]),
            },
        ]
    );
    let routes = parse("routes:\n  - {host: a.b, credentials: [{header: x, from: {env: A}}]}\n  - {host: c.d, auth_scheme: token, token_env: B}\n").unwrap();
    assert_eq!(routes.env_names().into_iter().collect::<Vec<_>>(), ["A", "B"]);
}

#[test]
fn every_other_key_is_read() {
    let route = one(concat!(
        "    scheme: http\n    port: 8080\n",
        "    matches:\n      - paths: [{type: prefix, value: /v1/}, {value: /x}, {type: exact, value: /y}]\n",
        "        methods: [post]\n",
        "        headers: [{name: Anthropic-Version, type: exact, value: '2023-06-01'}]\n",
        "    meter: {provider: claude, format: anthropic}\n    unmetered: allow\n",
        "    allowance: {server_tools: 5k, background: 10}\n    allow_addresses: [10.1.0.0/16, 'fd00::/8']\n",
        "    dlp: {outbound_detectors: false, inbound_detectors: false}\n",
        "    upstream: {connect_to: '127.0.0.1:9443'}\n",
    ));
    assert_eq!((route.scheme, route.port), (Scheme::Http, 8080));
    let [entry] = route.matches.as_slice() else { panic!("{:?}", route.matches) };
    assert_eq!(
        entry.paths,
        [PathMatch::Prefix("/v1/".into()), PathMatch::Prefix("/x".into()), PathMatch::Exact("/y".into())]
    );
    assert_eq!(entry.methods, ["POST"]);
    assert_eq!(entry.headers[0].name, "anthropic-version");
    assert_eq!(entry.headers[0].test, HeaderTest::Exact("2023-06-01".to_owned()));
    assert_eq!(
        route.meter,
        MeterSetting::As { provider: "claude".parse().unwrap(), format: Format::Anthropic }
    );
    assert_eq!(route.unmetered, Unmetered::Allow);
    assert_eq!(route.allowance, Allowance { server_tools: 5000, background: 10 });
    assert_eq!(
        route.allow_addresses,
        ["10.1.0.0/16".parse::<IpNetwork>().unwrap(), "fd00::/8".parse().unwrap()]
    );
    assert_eq!(route.dlp, Dlp { outbound: Detectors::Off, inbound: Detectors::Off, ..Dlp::default() });
    assert_eq!(route.upstream.unwrap().connect_to, Some("127.0.0.1:9443".parse().unwrap()));
    assert_eq!(one("    meter: off\n").meter, MeterSetting::Off);
    assert_eq!(one("    meter: false\n").meter, MeterSetting::Off);
    assert_eq!(
        one("    upstream: {ca_file: corp.pem}\n").upstream.unwrap().ca_file,
        Some("/etc/hudson/corp.pem".into())
    );
}

#[test]
fn a_corporate_network_is_described_by_proxy_and_certificates() {
    let upstream = one(concat!(
        "    upstream:\n      proxy: 'http://corp:3128/'\n      ca_file: corp.pem\n",
        "      proxy_credentials: {username: hudson, from: {env: CORP_PASSWORD}}\n",
        "      client_certificate: {certificate_file: me.pem, key_file: /keys/me.key}\n",
    ))
    .upstream
    .unwrap();
    let proxy = upstream.proxy.unwrap();
    assert_eq!(proxy.authority, "corp:3128".parse().unwrap());
    let credentials = proxy.credentials.unwrap();
    assert_eq!(
        (credentials.username.as_str(), credentials.from),
        ("hudson", Source::Env("CORP_PASSWORD".into()))
    );
    let certificate = upstream.client_certificate.unwrap();
    assert_eq!(certificate.certificate_file, Path::new("/etc/hudson/me.pem"));
    assert_eq!(certificate.key_file, Path::new("/keys/me.key"));
}

#[test]
fn every_variable_that_holds_a_secret_is_named() {
    let routes = parse(concat!(
        "routes:\n  - host: a.b\n    auth_scheme: Bearer\n    token_env: ONE\n",
        "    upstream: {proxy: 'http://corp:3128', proxy_credentials: {username: u, from: {env: TWO}}}\n",
    ))
    .unwrap();
    assert_eq!(routes.env_names(), ["ONE".to_owned(), "TWO".to_owned()].into());
}

#[test]
fn a_host_is_opaque_for_every_request_or_for_none() {
    let text =
        "routes:\n  - host: a.b\n    matches: [{methods: [GET]}]\n  - host: a.b\n    intercept: false\n";
    let error = parse_routes(Path::new("r"), text).unwrap_err();
    assert!(error.to_string().contains("the route in line 2 intercepts the same host"), "{error}");
    assert!(!one("    intercept: false\n").intercept);
}

#[test]
fn what_takes_more_than_one_key_is_checked() {
    for (route, expected) in [
        ("    auth_scheme: Bearer\n", "3:5: auth_scheme needs token_env"),
        ("    token_env: X\n", "3:5: token_env needs auth_scheme"),
        ("    auth: {}\n", "3:11: the key \"scheme\" is missing here"),
        (
            "    auth: {scheme: a, token_ref: B}\n    auth_scheme: a\n    token_env: B\n",
            "3:5: auth is the same as auth_scheme",
        ),
        ("    role: x\n", "3:11: role is reserved"),
        ("    port: 0\n", "3:11: 0 is not a port"),
        ("    git: {fetch: true}\n    git_fetch: true\n", "3:5: git.fetch and git_fetch are the same"),
        ("    credentials: [{header: x}]\n", "3:19: from is missing"),
        (
            "    credentials: [{header: x, query: y, from: {env: X}}]\n",
            "3:19: a credential has exactly one of",
        ),
        ("    credentials: [{header: Host, from: {env: X}}]\n", "3:28: \"host\" cannot carry a credential"),
        ("    credentials: [{header: 'x y', from: {env: X}}]\n", "3:28: \"x y\" cannot carry a credential"),
        (
            "    credentials: [{header: x, from: {env: X, file: y}}]\n",
            "3:37: expected exactly one of {env: NAME}",
        ),
        (
            "    credentials: [{header: x, from: {command: []}}]\n",
            "3:37: expected exactly one of {env: NAME}",
        ),
        ("    credentials: [{header: x, from: {file: ~/key}}]\n", "3:44: '~' is not expanded"),
        (
            "    credentials: [{header: x, from: {env: A}}, {header: X, from: {env: B}}]\n",
            "3:48: another credential",
        ),
        ("    credentials: [{query: x, prefix: y, from: {env: A}}]\n", "3:30: prefix goes with header only"),
        ("    matches: [{}]\n", "3:15: an empty entry would allow every request"),
        ("    matches: [{paths: []}]\n", "3:23: an empty list restricts nothing"),
        (
            "    matches: [{paths: [{value: v1}]}]\n",
            "3:32: no request can have this path: it has to begin with '/'",
        ),
        (
            "    matches: [{paths: [{value: /a/../b}]}]\n",
            "3:32: no request can have this path: paths are compared without",
        ),
        (
            "    matches: [{paths: [{value: /a?b}]}]\n",
            "3:32: no request can have this path: query and fragment",
        ),
        (
            "    matches: [{paths: [{value: /a%2fb}]}]\n",
            "3:32: no request can have this path: write percent-encoded bytes in upper",
        ),
        (
            "    matches: [{paths: [{value: /a%2Fb}]}]\n",
            "3:32: no request can have this path: encoded slashes",
        ),
        ("    matches: [{paths: [{value: /%41}]}]\n", "3:32: no request can have this path: letters, digits"),
        (
            "    matches: [{paths: [{type: regex, value: '/a('}]}]\n",
            "3:45: not a regular expression: unclosed group",
        ),
        ("    matches: [{methods: ['G ET']}]\n", "3:26: expected a method such as GET"),
        ("    matches: [{methods: [CONNECT]}]\n", "3:26: CONNECT opens a tunnel"),
        (
            "    matches: [{headers: [{name: 'a b', value: x}]}]\n",
            "3:33: \"a b\" is not the name of a header",
        ),
        ("    meter: {provider: any, format: gemini}\n", "3:23: \"any\" counts every provider together"),
        (
            "    allow_addresses: [10.0.0.1/8]\n",
            "3:23: \"10.0.0.1/8\" has bits behind its prefix; did you mean 10.0.0.0/8?",
        ),
        ("    upstream: {proxy: 'https://corp:3128'}\n", "3:23: expected http://HOST:PORT"),
        ("    upstream: {proxy: 'http://u:p@corp:3128'}\n", "3:23: expected http://HOST:PORT"),
        ("    upstream: {connect_to: nowhere}\n", "3:28: \"nowhere\" is not HOST:PORT"),
        (
            "    upstream: {proxy_credentials: {username: u, from: {env: X}}}\n",
            "3:16: proxy_credentials needs proxy",
        ),
        (
            "    scheme: http\n    upstream: {client_certificate: {certificate_file: a, key_file: b}}\n",
            "4:16: client_certificate is for TLS",
        ),
        (
            "    intercept: false\n    matches: [{methods: [GET]}]\n",
            "3:5: intercept: false hides the requests that matches",
        ),
        (
            "    rules: [{name: x, action: deny, conditions: [{path: nope, op: exists}]}]\n",
            "3:57: \"nope\" is not something of a request",
        ),
        (
            "    rules: [{name: x, action: deny, conditions: [{path: method, op: gt, value: x}]}]\n",
            "3:80: this comparison needs a number",
        ),
        (
            "    rules: [{name: x, action: require_approval, rate_limit: 1/hour}]\n",
            "3:61: rate_limit does not go with require_approval",
        ),
        (
            "    rules: [{name: x, action: deny, state: {counter: n, window: day}}]\n",
            "3:44: state counts what passes",
        ),
        ("    rules: [{name: x, action: deny, classify: pay}]\n", "3:47: this is about asking people"),
        (
            "    rules: [{name: x, action: allow, rate_limit: 1/second}]\n",
            "3:50: expected N/minute, N/hour or N/day",
        ),
        (
            "    rules: [{name: x, action: deny}, {name: x, action: allow}]\n",
            "3:45: another rule of this route has the same name",
        ),
        (
            "    rules: [{name: x, action: deny, conditions: [{path: state.bottle.n, op: gt, value: 5}]}]\n",
            "3:57: nothing counts n of the bottle",
        ),
        (
            "    rules: [{name: x, action: deny, conditions: [{path: args.n, op: gt, value: 5}]}]\n",
            "3:57: args are those of MCP tools",
        ),
        (
            "    rules: [{name: x, action: deny, conditions: [{path: path, op: eq, value: a/b}]}]\n",
            "3:78: no request can have this path",
        ),
        (
            "    rules: [{name: x, action: allow, state: {counter: n, window: day, increment_from: method}}]\n",
            "3:87: expected body.NAME",
        ),
        (
            "    rules: [{name: x, action: require_approval, approval_timeout: 25h}]\n",
            "3:67: nobody is asked for longer",
        ),
        ("    mcp: {tools: {x: {action: alow}}}\n", "3:31: unknown value \"alow\""),
        ("    dlp: {outbound_detectors: [entropi]}\n", "3:32: unknown value \"entropi\""),
    ] {
        let problems = problems(route);
        assert!(problems[0].starts_with(expected), "{route}{problems:?}");
    }
}

#[test]
fn a_credential_for_a_wildcard_has_to_be_meant() {
    let text = "routes:\n  - host: '*.example.com'\n    auth_scheme: Bearer\n    token_env: X\n";
    assert_eq!(
        parse(text).unwrap_err(),
        "\
/etc/hudson/routes.yaml:3:5: credentials would go to every host that *.example.com names; list the hosts, or state \
wildcard_credentials: true
   |
 3 |     auth_scheme: Bearer
   |     ^^^^^^^^^^^"
    );
    assert!(parse(&format!("{text}    wildcard_credentials: true\n")).is_ok());
}

#[test]
fn a_secret_in_the_place_of_a_name_is_not_shown() {
    for route in [
        "    auth_scheme: Bearer\n    token_env: sk-live-123\n",
        "    token: sk-live-123\n",
        "    auth_scheme: Bearer sk-live-123\n    token_env: X\n",
    ] {
        let error = parse(&format!("routes:\n  - host: a.b\n{route}")).unwrap_err();
        assert!(!error.contains("sk-live-123"), "{error}");
    }
}

#[test]
fn all_problems_of_a_file_are_reported_from_top_to_bottom() {
    let text = "routes:\n  - host: a.b\n    auth_scheme: x\n  - host: c.d\n    port: 0\n    token_env: X\n";
    let error = parse_routes(Path::new("r"), text).unwrap_err();
    let lines: Vec<_> = error.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [3, 5, 6]);
}

#[test]
fn what_a_finding_does_is_read() {
    let route = one(
        "    dlp: {outbound_detectors: [entropy], inbound_on_match: block}\n    outbound_on_match: redact\n",
    );
    assert_eq!(route.dlp.outbound, Detectors::Only(vec![OutboundDetector::Entropy]));
    assert_eq!(
        (route.outbound_on_match, route.dlp.inbound_on_match),
        (OnMatch::Redact, InboundOnMatch::Block)
    );
    assert_eq!(one("").outbound_on_match, OnMatch::Supervise);
}

/// Rules of every route add to the same counters, and a condition knows for how long they count.
#[test]
fn a_counter_has_one_window_in_a_file() {
    let file = |window: &str| {
        format!(
            "routes:\n  - host: a.b\n    rules: [{{name: x, action: deny, conditions: [{{path: state.run.n, op: gt, value: 5}}]}}]\n  \
             - host: c.d\n    rules: [{{name: y, action: allow, state: {{counter: n, window: hour, scope: run}}}}]\n  \
             - host: e.f\n    rules: [{{name: z, action: allow, state: {{counter: n, window: {window}, scope: run}}}}]\n"
        )
    };
    let routes = parse(&file("hour")).unwrap();
    let subject = &routes.routes[0].rules[0].conditions[0].compiled().unwrap().subject;
    let window = Some(CounterWindow::Hour);
    assert_eq!(*subject, Subject::State { scope: CounterScope::Run, counter: "n".to_owned(), window });
    assert_eq!((routes.routes[0].rules[0].line, routes.routes[2].rules[0].line), (3, 7));
    let error = parse(&file("day")).unwrap_err();
    assert!(error.contains(":7:66: another rule counts n of the run by the hour"), "{error}");
}

#[test]
fn all_faults_of_rules_are_reported_each_at_its_place() {
    let text = concat!(
        "routes:\n  - host: a.b\n    rules:\n",
        "      - name: ' '\n        action: require_approval\n        rate_limit: 5/hour\n",
        "        conditions:\n          - {path: body.a, op: gt, value: x}\n          - {path: boddy.a, op: exists}\n",
    );
    let error = parse_routes(Path::new("r"), text).unwrap_err();
    let places: Vec<_> = error.problems().iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(4, 15), (6, 21), (8, 43), (9, 20)]);
}

#[test]
fn keys_without_enforcement_are_named_with_their_place() {
    let text = concat!(
        "routes:\n  - host: a.example.com\n",
        "    rules: [{name: x, action: deny, conditions: [{path: body.amount, op: gt, value: 5}]}]\n",
        "    mcp: {tools: {'*': {action: allow}}}\n",
        "  - host: b.example.com\n",
        "    rules: [{name: x, action: require_approval, approvers: [ops]}]\n",
    );
    let routes = parse(text).unwrap();
    let mut named: Vec<_> = routes
        .unsupported()
        .iter()
        .map(|problem| (problem.line, problem.message.split(" is valid").next().unwrap().to_owned()))
        .collect();
    named.sort();
    let expected = [(4, "mcp"), (6, "approvers of a rule")];
    assert_eq!(named, expected.map(|(line, key)| (line, key.to_owned())));
}

#[test]
fn the_example_is_valid_and_uses_only_what_is_enforced() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../routes.example.yaml");
    let routes = crate::config::load_routes(&path).unwrap_or_else(|error| panic!("{error}"));
    assert!(routes.routes.len() >= 6);
    assert_eq!(routes.unsupported(), []);
}

#[test]
fn a_missing_file_allows_nothing_and_an_unreadable_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(crate::config::load_routes(&folder.path().join("none.yaml")), Ok(Routes::default()));
    let error = crate::config::load_routes(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}
