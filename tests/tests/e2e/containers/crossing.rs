//! Many bottles that cross at once, a controller that dies between two steps, and an engine that is away.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use hudson_tests::engine::{Engine, IMAGE};
use hudson_tests::process::{self, Background};
use hudson_tests::simulator::Options;
use hudson_tests::{Outcome, World, clients, hudson};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::live_budgets::wall_clock;
use crate::raw::streams::{rest, streaming};
use crate::raw::{self, Agent, Stage, wait_until};

const SOON: Duration = Duration::from_secs(60);
const BOTTLES: usize = 50;
const POLICIES: [&str; 3] = ["cutoff", "freeze", "kill"];
const ROUTES: &str = "routes:\n  - {host: api.anthropic.com, auth_scheme: Bearer, token_env: THE_KEY}\n";

/// A container that does nothing, as somebody else would start one; its id.
fn container(engine: &Engine, name: &str) -> String {
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(["sh", "-c", "echo kept > /work/file; sleep 3600"].map(str::to_owned).to_vec()),
        host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    engine.ask(|docker| async move {
        let made = docker.create_container(Some(options), body).await.expect("it is made");
        docker.start_container(&made.id, None).await.expect("it starts");
        made.id
    })
}

/// What a container of this name does: `running`, `exited`, … or `gone`.
fn state(engine: &Engine, name: &str) -> String {
    engine.ask(|docker| async move {
        let found = docker.inspect_container(name, None).await;
        let state = found.ok().and_then(|found| found.state?.status);
        state.map_or("gone".to_owned(), |state| state.to_string())
    })
}

fn images(engine: &Engine, run: &str) -> Vec<String> {
    use bollard::query_parameters::ListImagesOptionsBuilder;
    let label = format!("hudson.run={run}");
    engine.ask(|docker| async move {
        let filters = std::collections::HashMap::from([("label", vec![label.as_str()])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = docker.list_images(Some(options)).await.expect("the engine lists images");
        images.into_iter().map(|image| image.id).collect()
    })
}

/// Takes away what a test has left with the engine that all tests share.
fn remove(engine: &Engine, names: &[String], runs: &[String]) {
    let images: Vec<String> = runs.iter().flat_map(|run| images(engine, run)).collect();
    engine.ask(|docker| async move {
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        for name in names {
            docker.remove_container(name, Some(force.clone())).await.ok();
        }
        for image in images {
            docker
                .remove_image(&image, None::<bollard::query_parameters::RemoveImageOptions>, None)
                .await
                .ok();
        }
    });
}

/// `hudson` of this home, with the engine in its environment.
fn command(engine: &Engine, world: &World, words: &[&str]) -> Command {
    let mut command = clients::clean(&hudson::binary().display().to_string());
    command.args(words).arg("--home").arg(world.home()).current_dir(world.work());
    command.env("HOME", world.operator_home());
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    command
}

fn tied(engine: &Engine, world: &World, bottle: &str, container: &str) -> Value {
    let words = ["bottle", "add", bottle, "--container", container, "--json"];
    let outcome = process::run(&mut command(engine, world, &words), SOON);
    serde_json::from_slice(&outcome.exited(0).stdout).expect("JSON")
}

fn order(engine: &Engine, world: &World, words: &[&str]) -> Outcome {
    process::run(&mut command(engine, world, words), SOON)
}

/// Every row of the journal, of whatever run.
fn journal(engine: &Engine, world: &World) -> Vec<Value> {
    let outcome = order(engine, world, &["audit", "export"]);
    let lines = outcome.exited(0).text();
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How each row has ended, by run.
fn ends(journal: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in journal.iter().filter(|row| row["kind"] == "enforcement_advance") {
        let data: Value = row["data"]
            .as_str()
            .map_or(row["data"].clone(), |text| serde_json::from_str(text).expect("JSON"));
        if matches!(data["state"].as_str(), Some("done" | "failed")) {
            let run = data["run"].as_str().expect("a run").to_owned();
            ends.entry(run).or_default().push(data["state"].as_str().expect("a state").to_owned());
        }
    }
    ends
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[test]
fn fifty_bottles_that_cross_at_once_stop_at_once_and_each_is_acted_on_once() {
    let engine = Engine::docker();
    engine.inside(|| {
        let options =
            Options { gap: Duration::from_millis(20), tokens_per_event: 10, ..Options::default() };
        let names: Vec<String> = (0..BOTTLES).map(|index| format!("b{index:02}")).collect();
        let policy = |index: usize| POLICIES[index % POLICIES.len()];
        let mut settings = "budget: {claude: 100M}\ncutoff: {in_flight: end}\nbottles:\n".to_owned();
        for (index, name) in names.iter().enumerate() {
            settings += &format!("  {name}: {{shutdown: {}}}\n", policy(index));
        }
        let mut setting = raw::stage_with(options).settings(&settings).env("THE_KEY", "tests-only-key-of-fifty");
        for name in &names {
            setting = setting.file(&format!("bottles/{name}/routes.yaml"), ROUTES);
        }
        let stage: Stage = setting.start();
        let scene = stage.address.port();
        let containers: Vec<String> = names.iter().map(|name| format!("hudson-test-{scene}-{name}")).collect();
        let ca = stage.world.home().join("ca/ca.pem");
        let (mut agents, mut runs) = (Vec::new(), Vec::new());
        for (name, container_name) in names.iter().zip(&containers) {
            let id = container(engine, container_name);
            let told = tied(engine, &stage.world, name, &id);
            runs.push(told["run"].as_str().expect("a run").to_owned());
            agents.push(Agent::new(stage.address, &told, &ca));
        }
        let streams: Vec<_> = agents.iter().map(|agent| streaming(agent, 50_000)).collect();
        let ended: Vec<u64> = std::thread::scope(|scope| {
            let reading: Vec<_> =
                streams.into_iter().map(|stream| scope.spawn(|| (rest(stream), wall_clock()).1)).collect();
            order(engine, &stage.world, &["budget", "set", "claude=1"]).exited(0);
            reading.into_iter().map(|one| one.join().expect("it reads")).collect()
        });
        let done = wait_until(SOON, || {
            let ends = ends(&journal(engine, &stage.world));
            (ends.len() == BOTTLES).then_some(ends)
        });
        let done = done.expect("every bottle is acted on");
        assert!(done.values().all(|ends| *ends == ["done"]), "once, and well: {done:#?}");
        let journal = journal(engine, &stage.world);
        let at = |row: &Value| row["ts"].as_u64().expect("a time");
        let crossing = journal.iter().filter(|row| row["kind"] == "block_place").map(at).min().expect("a crossing");
        assert_eq!(journal.iter().filter(|row| row["kind"] == "block_place").count(), 1, "one crossing");
        assert_eq!(journal.iter().filter(|row| row["kind"] == "enforcement_plan").count(), BOTTLES);
        let mut took: Vec<u64> = ended.iter().map(|end| end.saturating_sub(crossing)).collect();
        took.sort_unstable();
        let mut acted: Vec<u64> = journal
            .iter()
            .filter(|row| row["kind"] == "enforcement_advance")
            .map(|row| at(row).saturating_sub(crossing))
            .collect();
        acted.sort_unstable();
        report!(
            "{BOTTLES} bottles at once: ms from the crossing to the last byte let through: p50 {}, p99 {}, most {}; to the \
             last container saved or removed: {}",
            percentile(&took, 50),
            percentile(&took, 99),
            took[took.len() - 1],
            acted[acted.len() - 1]
        );
        // The bar of a second is for a machine that does nothing else; the figure above is for a person.
        assert!(took[took.len() - 1] < 5000, "{took:?}");
        for (index, name) in containers.iter().enumerate() {
            let expected = ["running", "exited", "gone"][index % POLICIES.len()];
            assert_eq!(state(engine, name), expected, "{}", policy(index));
            let saved = images(engine, &runs[index]).len();
            assert_eq!(saved, usize::from(policy(index) == "freeze"), "{}", policy(index));
        }
        remove(engine, &containers, &runs);
    });
}

#[test]
fn a_controller_that_is_killed_between_two_steps_leaves_what_the_next_completes() {
    let engine = Engine::docker();
    engine.inside(|| {
        let world = World::new();
        world.configure("bottles/ci/routes.yaml", ROUTES);
        let mut up = world.up();
        let name = format!("hudson-test-{}", world.scratch().file_name().expect("a name").display());
        let id = container(engine, &name);
        let run = tied(engine, &world, "ci", &id)["run"].as_str().expect("a run").to_owned();
        let mut freezes = 0;
        for step in 0..10_u64 {
            let pause = Duration::from_millis(30 + 45 * step);
            for (action, expected) in [("freeze", "exited"), ("resume", "running")] {
                let mut ordering = command(engine, &world, &["bottle", action, "ci"]);
                let ordering = Background::start(&mut ordering);
                std::thread::sleep(pause);
                up.kill_now();
                drop(up);
                drop(ordering);
                up = world.up();
                // Killed before it could be given, the order is given anew.
                let words = ["bottle", action, "ci"];
                let done = wait_until(SOON, || {
                    order(engine, &world, &words);
                    (state(engine, &name) == expected).then_some(())
                });
                done.unwrap_or_else(|| panic!("{action} after {pause:?}: {}", state(engine, &name)));
                wait_until(SOON, || {
                    let status = order(engine, &world, &["status", "--json"]);
                    let status: Value = serde_json::from_slice(&status.stdout).ok()?;
                    let rows = status["enforcements"].as_array()?.clone();
                    rows.iter().all(|row| row["state"] == "done" || row["state"] == "failed").then_some(())
                })
                .expect("the journal comes to its end");
            }
            freezes += 1;
            assert_eq!(images(engine, &run).len(), freezes, "a freeze saves one image");
            for left in [".resumed", ".frozen"] {
                assert_eq!(state(engine, &format!("{name}{left}")), "gone");
            }
        }
        order(engine, &world, &["bottle", "kill", "ci"]).exited(0);
        assert_eq!(state(engine, &name), "gone");
        remove(engine, std::slice::from_ref(&name), std::slice::from_ref(&run));
    });
}

#[test]
fn while_the_engine_is_away_the_bottle_is_cut_off_and_when_it_is_back_it_is_frozen() {
    let engine = Engine::own();
    engine.inside(|| {
        let world = World::new();
        world.configure("bottles/ci/routes.yaml", ROUTES);
        let _up = world.up();
        let id = container(&engine, "hudson-test-away");
        let told = tied(&engine, &world, "ci", &id);
        let agent = Agent::new(
            told["proxy_url"]
                .as_str()
                .and_then(|url| url.rsplit_once('@')?.1.parse().ok())
                .expect("an address"),
            &told,
            &world.home().join("ca/ca.pem"),
        );
        assert_ne!(agent.get("api.anthropic.com", "/v1/models").status, 0);
        let daemon = engine.daemon();
        kill_process(daemon, Signal::STOP).expect("it is ours");
        let ordered = order(&engine, &world, &["bottle", "freeze", "ci"]);
        assert_eq!(ordered.code, Some(1), "what is not done is not told as done: {ordered}");
        agent.get("api.anthropic.com", "/v1/models").refused(403, "bottle_frozen");
        let log = || std::fs::read_to_string(world.scratch().join("up.log")).unwrap_or_default();
        wait_until(SOON, || log().contains("enforcement_failing").then_some(())).expect("it is said aloud");
        kill_process(daemon, Signal::CONT).expect("it is ours");
        wait_until(SOON, || (state(&engine, "hudson-test-away") == "exited").then_some(()))
            .expect("it is frozen");
        assert_eq!(images(&engine, told["run"].as_str().expect("a run")).len(), 1);
    });
}
