//! What a cutoff does to work in flight, which routes it drops, and an operator's orders: by host-side means, in every
//! process, within the bar.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hudson_tests::simulator::Options;
use hudson_tests::{Invocation, World, ledger};

use crate::cases::ANTHROPIC;
use crate::live_budgets::{ORDER, ordered, second, wall_clock};
use crate::raw::answer::read_answer;
use crate::raw::streams::{HOST, rest, streaming};
use crate::raw::{self, Agent, Stage};

const FILES: &str = "files.example.com";
const ROUTES: &str = "routes:
  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}
  - {host: api.openai.com, auth_scheme: Bearer, token_env: THE_KEY}
  - {host: files.example.com}
";
const KEY: &str = "tests-only-9fK2mP7qR4tW";
/// When an order has to be in force in every process, in milliseconds, on a machine that is busy. The bar of 200 is for
/// one that is not; the test prints what it takes.
const BAR: u64 = 2000;
/// When what is in flight has to be over, on a machine that is busy: far from when it would be by itself.
const OVER: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(10);

/// A stage whose streams take 20 ms for ten tokens.
fn stage(settings: &str) -> Stage {
    let options = Options { gap: Duration::from_millis(20), tokens_per_event: 10, ..Options::default() };
    let setting = raw::stage_with(options).file("bottles/ci/routes.yaml", ROUTES);
    setting.settings(settings).env("THE_KEY", KEY).start()
}

fn ask(agent: &Agent, host: &str) -> raw::Answer {
    match host {
        FILES => agent.get(FILES, "/hello.txt"),
        HOST => agent.post(HOST, "/v1/messages", &message("5-5")),
        _ => agent.post(
            host,
            "/v1/chat/completions",
            r#"{"model":"sim-5-5","max_completion_tokens":50,"messages":[]}"#,
        ),
    }
}

fn message(tokens: &str) -> String {
    format!(r#"{{"model":"sim-{tokens}","max_tokens":400,"messages":[{{"role":"user","content":"x"}}]}}"#)
}

/// The stream's rest, when it ended before `OVER`.
#[track_caller]
fn ended(stream: raw::agent::Tls, since: Instant) -> String {
    let (text, _) = rest(stream);
    assert!(since.elapsed() < OVER, "it went on for {:?}", since.elapsed());
    text
}

#[track_caller]
fn no_hold_is_left(stage: &Stage) {
    raw::wait_until(OVER, || (ledger::held(&stage.world.home()) == 0).then_some(())).expect("a hold is left");
}

#[test]
fn an_order_ends_what_is_in_flight_in_every_process_and_is_lifted_again() {
    let stage = stage("budget: {claude: 10M}\n");
    let told = stage.bottle_add("ci", &[]);
    let (_second, address) = second(&stage);
    let ca = stage.world.home().join("ca/ca.pem");
    let agents = [Agent::new(stage.address, &told, &ca), Agent::new(address, &told, &ca)];
    let streams: Vec<_> = agents.iter().map(|agent| streaming(agent, 5000)).collect();
    let order = stage.hudson(&["bottle", "cutoff", "ci", "--reason", "it digs for gold", "--json"]);
    let ordered = Instant::now();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&order.exited(0).stdout).expect("JSON")["new"],
        true
    );
    for stream in streams {
        let text = ended(stream, ordered);
        assert!(text.contains("event: error") && text.contains("it digs for gold"), "{text}");
        assert!(!text.contains("message_stop"), "a success is shown: {text}");
    }
    no_hold_is_left(&stage);
    for row in stage.world.usage() {
        assert_eq!(row.quality, "recovered", "{row:?}");
        assert!(row.charged >= 5000, "less is charged than was reserved: {row:?}");
    }
    for agent in &agents {
        for host in [HOST, FILES] {
            ask(agent, host).refused(403, "bottle_cut_off").says("it digs for gold");
        }
    }
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0).shows("already");
    stage.hudson(&["bottle", "resume", "ci"]).exited(0).shows("resumed");
    for agent in &agents {
        raw::wait_until(SOON, || (ask(agent, FILES).status == 200).then_some(())).expect("it is resumed");
        ask(agent, HOST).passed();
    }
    let again = stage.hudson(&["bottle", "resume", "ci"]);
    assert!(again.exited(4).everything().contains("not stopped"), "{again}");
}

#[test]
fn an_order_is_soon_in_force_everywhere() {
    let stage = stage("budget: {claude: 10M}\n");
    let told = stage.bottle_add("ci", &[]);
    let (_second, address) = second(&stage);
    let ca = stage.world.home().join("ca/ca.pem");
    let agents = [Agent::new(stage.address, &told, &ca), Agent::new(address, &told, &ca)];
    let mut took = Vec::new();
    for _ in 0..5 {
        let streams: Vec<_> =
            agents.iter().flat_map(|agent| (0..8).map(|_| streaming(agent, 5000))).collect();
        let ends = std::thread::scope(|scope| {
            let reading: Vec<_> =
                streams.into_iter().map(|stream| scope.spawn(|| (rest(stream), wall_clock()).1)).collect();
            stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
            reading.into_iter().map(|one| one.join().expect("it reads")).collect::<Vec<_>>()
        });
        let ordered = ordered_at(&stage);
        took.extend(ends.into_iter().map(|end| end.saturating_sub(ordered)));
        stage.hudson(&["bottle", "resume", "ci"]).exited(0);
        for agent in &agents {
            raw::wait_until(SOON, || (ask(agent, FILES).status == 200).then_some(())).expect("it is resumed");
        }
    }
    took.sort_unstable();
    let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
    report!(
        "ms from an order to the end of {} streams in two processes: median {median}, most {most}",
        took.len()
    );
    assert!(most < BAR, "{took:?}");
}

/// When the last order was given, as the audit has it: just before it was committed.
fn ordered_at(stage: &Stage) -> u64 {
    let audit = stage.hudson(&["audit", "export"]);
    let text = audit.text();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    rows.filter(|row| row["kind"] == "block_place")
        .filter_map(|row| row["ts"].as_u64())
        .max()
        .expect("it is told")
}

/// A stage whose only host leads to this listener.
fn leading_to(upstream: &TcpListener) -> Stage {
    let address = upstream.local_addr().expect("it has an address");
    let way = format!("upstream: {{connect_to: \"{address}\"}}");
    raw::routes(&format!("routes:\n  - {{host: {FILES}, scheme: http, port: 80, {way}}}\n")).start()
}

/// Begins a request with this head and these bytes of a body; both ends of it, the upstream's head read.
fn begun(agent: &Agent, upstream: &TcpListener, method: &str, headers: &str) -> (TcpStream, TcpStream) {
    let mut client = agent.socket();
    let request = agent.absolute(method, "http://files.example.com/", headers);
    client.write_all(request.as_bytes()).expect("the proxy reads");
    let (mut server, _) = upstream.accept().expect("it is dialled");
    server.set_read_timeout(Some(SOON)).expect("a socket takes options");
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte).expect("the request comes");
        seen.push(byte[0]);
    }
    (client, server)
}

/// Orders a cutoff, and what soon becomes of it.
#[track_caller]
fn cut<T>(stage: &Stage, what: impl FnOnce() -> T) -> T {
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let ordered = Instant::now();
    let became = what();
    assert!(ordered.elapsed() < OVER, "it went on for {:?}", ordered.elapsed());
    became
}

#[test]
fn a_request_that_waits_for_its_answer_is_refused() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let stage = leading_to(&upstream);
    let (mut client, _server) = begun(&stage.agent(), &upstream, "GET", "");
    cut(&stage, || read_answer(&mut client, false)).expect("it is answered").refused(403, "bottle_cut_off");
}

#[test]
fn a_download_breaks_off() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let stage = leading_to(&upstream);
    let (mut client, mut server) = begun(&stage.agent(), &upstream, "GET", "");
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nsome").expect("it is read");
    let mut seen = Vec::new();
    while !seen.ends_with(b"some") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("it is answered");
        seen.push(byte[0]);
    }
    assert!(!matches!(cut(&stage, || client.read(&mut [0; 9])), Ok(1..)), "more came");
}

#[test]
fn an_upload_goes_no_further() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let stage = leading_to(&upstream);
    let (mut client, mut server) = begun(&stage.agent(), &upstream, "POST", "content-length: 1000000000\r\n");
    client.write_all(b"a secret").expect("it is read");
    server.read_exact(&mut [0; 8]).expect("it goes on");
    let over = cut(&stage, || {
        client.write_all(b"another").ok();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).ok();
        rest
    });
    // What was written in the moment of the order may have passed; the upstream sees the end in any case.
    assert!(over.len() <= 7, "{over:?}");
}

#[test]
fn an_upload_whose_answer_is_there_already_goes_no_further_either() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let stage = leading_to(&upstream);
    let (mut client, mut server) = begun(&stage.agent(), &upstream, "POST", "content-length: 1000000000\r\n");
    client.write_all(b"a secret").expect("it is read");
    server.read_exact(&mut [0; 8]).expect("it goes on");
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it is read");
    read_answer(&mut client, false).expect("it is answered").passed();
    let ended = cut(&stage, || {
        server.set_read_timeout(Some(SOON)).expect("a socket takes options");
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).map(|_| rest.len())
    });
    assert!(
        matches!(ended, Ok(0))
            || ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{ended:?}"
    );
}

#[test]
fn by_default_a_spent_budget_lets_what_is_in_flight_finish_and_it_ends_where_the_settings_say_so() {
    for (settings, finishes) in [("", true), ("cutoff: {in_flight: end}\n", false)] {
        let stage = stage(&format!("budget: {{claude: 8000}}\n{settings}"));
        let agent = stage.agent();
        let stream = streaming(&agent, if finishes { 1000 } else { 5000 });
        // A second request spends what is left.
        agent.post(HOST, "/v1/messages", &message("7900-100")).passed();
        let spent = Instant::now();
        ask(&agent, FILES).refused(403, "bottle_cut_off");
        let (text, whole) = rest(stream);
        assert!(whole, "{text}");
        assert_eq!(text.contains("message_stop"), finishes, "{settings}: {text}");
        assert_eq!(text.contains("event: error"), !finishes, "{settings}: {text}");
        assert!(finishes || spent.elapsed() < OVER);
        no_hold_is_left(&stage);
        let qualities: Vec<_> = stage.world.usage().into_iter().map(|row| row.quality).collect();
        assert_eq!(qualities, ["exact", if finishes { "exact" } else { "recovered" }]);
    }
}

#[test]
fn a_stream_whose_client_has_left_is_settled_too() {
    let stage = stage("budget: {claude: 10M}\n");
    let agent = stage.agent();
    drop(streaming(&agent, 5000));
    std::thread::sleep(Duration::from_millis(100));
    assert!(ledger::held(&stage.world.home()) > 0, "it is not read on");
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    no_hold_is_left(&stage);
}

#[test]
fn a_partial_cutoff_drops_the_spent_providers_routes_alone() {
    let stage = stage("budget: {claude: 1000, codex: 100000}\ncutoff: {scope: provider}\n");
    let agent = stage.agent();
    agent.post(HOST, "/v1/messages", &message("950-100")).passed();
    ask(&agent, HOST).refused(403, "bottle_cut_off");
    // What is free at a provider that is spent is a route of its, too.
    agent.get(HOST, "/v1/models").refused(403, "bottle_cut_off");
    for host in [FILES, "api.openai.com"] {
        ask(&agent, host).passed();
    }
    stage.hudson(&["bottle", "cutoff", "ci"]).exited(0);
    for host in [HOST, FILES] {
        ask(&agent, host).refused(403, "bottle_cut_off");
    }
    ask(&agent, "api.openai.com").refused(400, "bottle_cut_off");
}

#[test]
fn an_operator_kills_what_runs_and_nothing_that_is_started_later() {
    let world = World::new();
    let script = format!("{ORDER}sleep 40\necho survived");
    let launch = || world.launch().option("--bottle", "ci").env(ANTHROPIC.variable, ANTHROPIC.value);
    let order = ["bottle", "kill", "ci", "--reason", "stop"];
    let outcome = ordered(&world, &order, || launch().run(&Invocation::shell(script)));
    assert!(!outcome.exited(137).text().contains("survived"), "{outcome}");
    assert!(outcome.elapsed < Duration::from_secs(15), "{outcome}");
    launch().run(&Invocation::shell("echo lives")).exited(0).shows("lives");
}

#[test]
fn a_bottle_that_is_cut_off_is_not_started_and_the_words_say_how_to_go_on() {
    let world = World::new();
    world.configure("bottles/ci/routes.yaml", "routes: []\n");
    let hudson = |words: &[&str]| {
        let mut command = hudson_tests::hudson::operator(hudson_tests::hudson::binary(), &world);
        command.arg("--home").arg(world.home()).args(words);
        hudson_tests::process::run(&mut command, Duration::from_secs(20))
    };
    hudson(&["bottle", "cutoff", "ci"]).exited(0);
    let refused = world.launch().option("--bottle", "ci").run(&Invocation::shell("echo started"));
    assert!(refused.exited(4).everything().contains("hudson bottle resume ci"), "{refused}");
    assert!(!refused.text().contains("started\n"), "{refused}");
    for (order, code, why) in
        [("kill ci", 4, "no live run"), ("cutoff nowhere", 3, "there is no bottle nowhere")]
    {
        let words: Vec<_> = ["bottle"].into_iter().chain(order.split(' ')).collect();
        let outcome = hudson(&words);
        assert!(outcome.exited(code).everything().contains(why), "{outcome}");
    }
}
