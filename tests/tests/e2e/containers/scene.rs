//! A host with an engine, an operator and the providers, all in the engine's network namespace.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, ContainerSummary, HostConfig, Network};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
};
use futures_util::StreamExt as _;
use hudson_tests::engine::{Engine, IMAGE};
use hudson_tests::hudson::Launch;
use hudson_tests::process::Background;
use hudson_tests::simulator::{Options, Simulator};
use hudson_tests::{Clients, Outcome, clients, hudson, process};

pub(super) const SOON: Duration = Duration::from_secs(30);
pub(super) const ROUTES: &str =
    "routes:\n  - {host: files.example.com}\n  - {host: git.example.com, git_fetch: true}\n";

/// Gone when it is dropped.
pub(super) struct Scene {
    pub(super) engine: &'static Engine,
    pub(super) simulator: Simulator,
    folder: tempfile::TempDir,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::on(Engine::docker())
    }

    pub(super) fn on(engine: &'static Engine) -> Self {
        let simulator = engine.inside(|| Simulator::start(Options::default()).expect("the simulator starts"));
        let folder = tempfile::Builder::new().prefix("hudson-scene-").tempdir().expect("a folder");
        let scene = Self { engine, simulator, folder };
        for part in ["home/project", "home/.bot-bottle/bottles/ci", "elsewhere"] {
            fs::create_dir_all(scene.at(part)).expect("a folder");
        }
        fs::write(scene.at("home/.bot-bottle/bottles/ci/routes.yaml"), ROUTES).expect("it takes files");
        fs::write(scene.at("home/.bot-bottle/settings.yml"), "budget: {claude: 1000000}\n")
            .expect("it takes files");
        scene
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// `hudson` with these words, as the operator types them in the project.
    pub(super) fn hudson(&self, words: &[&str]) -> Command {
        let mut command = clients::clean(&hudson::binary().display().to_string());
        command.args(words).env("HOME", self.at("home")).current_dir(self.at("home/project"));
        command.env("DOCKER_HOST", format!("unix://{}", self.engine.socket().display()));
        command
    }

    /// `hudson run` in the bottle `ci` in a container, as a command.
    pub(super) fn bottle(&self, options: &[&str], argv: &[&str]) -> Command {
        let mut command = self.hudson(&["run", "--bottle", "ci", "--container", IMAGE]);
        if options.contains(&"up") {
            command.args(options.iter().filter(|option| **option != "up"));
        } else {
            command.args(hudson::redirection(&self.simulator)).args(options);
        }
        command.arg("--").args(argv);
        command
    }

    /// Runs something on the engine's host to its end.
    pub(super) fn finish(&self, command: &mut Command) -> Outcome {
        let mut owned = std::mem::replace(command, Command::new("true"));
        self.engine.inside(move || process::run(&mut owned, Duration::from_secs(90)))
    }

    /// Starts something on the engine's host.
    pub(super) fn start(&self, command: &mut Command) -> Background {
        let mut owned = std::mem::replace(command, Command::new("true"));
        self.engine.inside(move || Background::start(&mut owned))
    }

    /// A line for the shell in a container.
    pub(super) fn run(&self, options: &[&str], script: &str) -> Outcome {
        self.finish(&mut self.bottle(options, &["sh", "-c", script]))
    }

    pub(super) fn status(&self) -> serde_json::Value {
        let outcome = self.finish(&mut self.hudson(&["status", "--json"]));
        serde_json::from_slice(&outcome.exited(0).stdout).expect("`--json` prints JSON")
    }

    /// The label by which what belongs to this home is known.
    fn label(&self) -> String {
        format!("hudson.home={}", self.at("home/.bot-bottle").display())
    }

    /// The containers of this home's runs.
    pub(super) fn containers(&self) -> Vec<ContainerSummary> {
        let label = self.label();
        self.engine.ask(|docker| async move {
            let filters = HashMap::from([("label", vec![label.as_str()])]);
            let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            docker.list_containers(Some(options)).await.expect("the engine lists containers")
        })
    }

    /// The networks of this home's runs.
    pub(super) fn networks(&self) -> Vec<Network> {
        let label = self.label();
        self.engine.ask(|docker| async move {
            let filters = HashMap::from([("label", vec![label.as_str()])]);
            let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
            docker.list_networks(Some(options)).await.expect("the engine lists networks")
        })
    }

    /// The images that were saved of this home's runs, by name.
    pub(super) fn images(&self) -> Vec<String> {
        let label = self.label();
        self.engine.ask(|docker| async move {
            let filters = HashMap::from([("label", vec![label.as_str()])]);
            let options = ListImagesOptionsBuilder::default().filters(&filters).build();
            let images = docker.list_images(Some(options)).await.expect("the engine lists images");
            images.into_iter().map(|image| image.repo_tags.join(" ")).collect()
        })
    }

    /// Waits for a run's container, and for this file in it; the container's name.
    #[track_caller]
    pub(super) fn running(&self, file: &str) -> String {
        let found = crate::raw::wait_until(SOON, || {
            let name =
                self.containers().into_iter().find_map(|one| Some(one.names?.first()?[1..].to_owned()))?;
            self.inside(&name, &["test", "-e", file]).then_some(name)
        });
        found.expect("the container starts")
    }

    /// Runs something in a container beside its command; whether it went well.
    pub(super) fn inside(&self, container: &str, argv: &[&str]) -> bool {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        self.engine.ask(|docker| async move {
            let options = CreateExecOptions {
                cmd: Some(argv),
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                ..CreateExecOptions::default()
            };
            let Ok(made) = docker.create_exec(container, options).await else { return false };
            let Ok(StartExecResults::Attached { mut output, .. }) = docker.start_exec(&made.id, None).await
            else {
                return false;
            };
            // To its end: Podman says of what is looked at by nobody that it runs for ever.
            while output.next().await.is_some() {}
            let ended = docker.inspect_exec(&made.id).await;
            ended.is_ok_and(|now| now.exit_code == Some(0) && now.running != Some(true))
        })
    }

    /// The same in a container that is none of Hudson's, as an engine makes them; its exit code.
    pub(super) fn plain(&self, network: &str, script: &str) -> i64 {
        let binds =
            PROGRAMS.iter().filter(|word| word.starts_with('/')).map(|word| (*word).to_owned()).collect();
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()]),
            host_config: Some(HostConfig {
                network_mode: Some(network.to_owned()),
                binds: Some(binds),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.engine.ask(|docker| async move {
            let made =
                docker.create_container(None::<CreateContainerOptions>, body).await.expect("it is made");
            docker.start_container(&made.id, None).await.expect("it starts");
            let ended = docker.wait_container(&made.id, None).next().await.expect("it ends");
            let force = RemoveContainerOptionsBuilder::default().force(true).build();
            docker.remove_container(&made.id, Some(force)).await.expect("it goes");
            match ended {
                Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => code,
                other => other.expect("it is waited for").status_code,
            }
        })
    }

    /// The packet filter's tables for a network.
    pub(super) fn tables(&self) -> String {
        let outcome = self.finish(clients::clean("nft").args(["list", "tables"]));
        outcome.exited(0).text()
    }

    /// Ends the test unless nothing of this home's runs is left.
    #[track_caller]
    pub(super) fn nothing_is_left(&self) {
        assert!(self.containers().is_empty(), "containers are left: {:?}", self.containers());
        assert!(self.networks().is_empty(), "networks are left: {:?}", self.networks());
        assert_eq!(self.status()["runs"], serde_json::json!([]));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // For a test that failed, and for images that were saved.
        let containers = self.containers();
        let networks = self.networks();
        let images = self.images();
        self.engine.ask(|docker| async move {
            let force = RemoveContainerOptionsBuilder::default().force(true).build();
            for container in containers {
                docker.remove_container(&container.id.unwrap_or_default(), Some(force.clone())).await.ok();
            }
            for network in networks {
                docker.remove_network(&network.name.unwrap_or_default()).await.ok();
            }
            for image in images.iter().flat_map(|names| names.split(' ')) {
                docker.remove_image(image, None::<RemoveImageOptions>, None).await.ok();
            }
        });
    }
}

/// The host's programs, read-only, for containers whose image has none.
pub(super) const PROGRAMS: [&str; 10] = [
    "--volume",
    "/usr:/usr:ro",
    "--volume",
    "/bin:/bin:ro",
    "--volume",
    "/lib:/lib:ro",
    "--volume",
    "/lib64:/lib64:ro",
    "--volume",
    "/etc/ssl:/etc/ssl:ro",
];

/// The options of a client in a container, for an operator who has none of the scene's.
pub(super) fn contained<'w>(engine: &Engine, launch: Launch<'w>) -> Launch<'w> {
    let launch = launch.option("--isolation", "full").option("--container", IMAGE);
    let launch = launch.option("--env", "HOME=/tmp").option("--workdir", "/work");
    let launch = launch.env("DOCKER_HOST", &format!("unix://{}", engine.socket().display()));
    clients_volumes().chunks(2).fold(launch, |launch, pair| launch.option(&pair[0], &pair[1]))
}

/// The installed clients, read-only at their own place.
fn clients_volumes() -> Vec<String> {
    let clients = Clients::installed();
    let drivers = clients::repository().join("tests/clients");
    let mut options: Vec<String> = PROGRAMS.iter().map(|word| (*word).to_owned()).collect();
    for path in [clients.root().to_owned(), drivers, clients.python_home()] {
        let path = path.canonicalize().expect("it is installed");
        options.extend(["--volume".to_owned(), format!("{0}:{0}:ro", path.display())]);
    }
    options.extend(["--env".to_owned(), format!("PATH={}", clients.search_path())]);
    options
}
