//! What enforcement does to a bottle in a container, from whatever process, again and again where it was interrupted.
//!
//! Invariant: each act ends in the same state however often it is begun, and wherever the process before it died: a
//! freeze saves one image, a resume leaves one container.

mod remake;

use super::engine::{COPY, found};
use super::image::{labelled, named};
use super::{Engine, FROZEN_AT, FROZEN_FROM, Fault, HOME, Names, Network, RUN, firewall};
use crate::exit::Exit;
use crate::place::Place;
use anyhow::{Context, Result, bail};
use bollard::models::{ContainerConfig, ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, TagImageOptionsBuilder,
};
use hudson_schema::RunId;
use hudson_schema::home::Home;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a container that was killed may take to be gone.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// What a container is called that is about to take another's place, behind that one's name.
const NEXT: &str = ".resumed";
/// What a container is called whose place was taken.
const LAST: &str = ".frozen";

/// A bottle's container.
#[derive(Clone, Debug)]
pub struct Bottle {
    engine: Engine,
    id: String,
    network: Option<String>,
    tied: bool,
}

/// What a container does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It was stopped, has ended, or was not started.
    Stopped,
    /// There is none.
    Gone,
}

impl Bottle {
    /// The bottle at a place; `None` where that is no container of this engine's.
    pub fn new(engine: Engine, place: &Place) -> Option<Self> {
        match place {
            Place::Container { socket, id, network, tied } if socket == engine.socket() => {
                Some(Self { engine, id: id.clone(), network: network.clone(), tied: *tied })
            }
            _ => None,
        }
    }

    /// A variable of the container's environment, as it was made with; `None` where it has none of that name.
    pub async fn variable(&self, name: &str) -> Result<Option<String>> {
        let container = match self.inspect(&self.id).await? {
            Some(container) => Some(container),
            // A resume was interrupted between two names.
            None => self.inspect(&format!("{}{LAST}", self.id)).await?,
        };
        let lines = container.and_then(|container| container.config?.env).unwrap_or_default();
        let value = |line: &String| {
            line.split_once('=').filter(|(of, _)| *of == name).map(|(_, value)| value.to_owned())
        };
        Ok(lines.iter().rev().find_map(value))
    }

    /// What it does.
    pub async fn state(&self) -> Result<State> {
        Ok(self.inspect(&self.id).await?.as_ref().map_or(State::Gone, state_of))
    }

    /// Lets it stand still, saves it as this image with these labels, and stops it; the image's name.
    ///
    /// `image` is a name with a tag. The labels have to tell this freeze from every other one of the run, so that one that
    /// was interrupted is found again.
    pub async fn freeze(&self, image: &str, labels: &BTreeMap<String, String>) -> Result<String> {
        let Some(container) = self.inspect(&self.id).await? else {
            bail!(Exit::not_found(format!(
                "the container {} is gone, and nothing of it can be saved",
                self.id
            )));
        };
        let id = container.id.clone().unwrap_or_else(|| self.id.clone());
        if state_of(&container) == State::Running {
            self.pause(&id).await?;
        }
        let mut labels = labels.clone();
        labels.insert(FROZEN_FROM.to_owned(), id.clone());
        let image = self.save(&id, image, labels).await?;
        // The engine takes such a container away when it stops, and with it what it is resumed by: it stands still instead.
        let vanishes = container.host_config.and_then(|host| host.auto_remove).unwrap_or_default();
        if !vanishes {
            self.stop(&id).await?;
        }
        Ok(image)
    }

    /// Puts a container in the place of the one that was frozen: from the image, with that one's configuration, but for
    /// these variables. Its id.
    pub async fn resume(&self, image: &str, variables: &BTreeMap<String, String>) -> Result<String> {
        let name = self.name().await?;
        let (next, last) = (format!("{name}{NEXT}"), format!("{name}{LAST}"));
        let wanted = self
            .engine
            .ask(format!("looking at the image {image}"), self.engine.docker().inspect_image(image))
            .await?
            .id
            .with_context(|| format!("the image {image} has no id"))?;
        let is_done = |container: &ContainerInspectResponse| {
            container.image.as_deref() == Some(wanted.as_str()) && remake::has(container, variables)
        };
        let current = self.inspect(&name).await?;
        let id = match current {
            Some(container) if is_done(&container) => {
                container.id.with_context(|| format!("the container {name} has no id"))?
            }
            current => {
                // One that an interrupted resume has made may have other credentials: it is made anew.
                self.remove(&next).await?;
                let source = match current {
                    Some(container) => container,
                    // Interrupted between two names.
                    None => self.inspect(&last).await?.ok_or_else(|| {
                        Exit::not_found(format!(
                            "the container {name} is gone, and with it what it is resumed by"
                        ))
                    })?,
                };
                let body = remake::body(&source, image, variables)?;
                let options = CreateContainerOptionsBuilder::default().name(&next).build();
                let made = self
                    .engine
                    .ask(
                        format!("making the container {next}"),
                        self.engine.docker().create_container(Some(options), body),
                    )
                    .await?;
                if self.inspect(&name).await?.is_some() {
                    self.rename(&name, &last).await?;
                }
                if state_of(&source) != State::Stopped {
                    // It stood still because it would have vanished; what it holds on to is needed now.
                    self.remove(&last).await?;
                }
                self.rename(&next, &name).await?;
                made.id
            }
        };
        let started = self.engine.docker().start_container(&id, None);
        match self.engine.ask(format!("starting the container {name}"), started).await {
            Err(fault) if !fault.is_conflict() => return Err(fault.into()),
            _ => {}
        }
        self.remove(&last).await?;
        self.remove(&next).await?;
        Ok(id)
    }

    /// Kills the container and removes it, and with it what was made for it. One that is gone is no error.
    pub async fn kill(&self) -> Result<()> {
        let names = self.filter_table().await?;
        for name in [self.id.clone(), format!("{}{NEXT}", self.id), format!("{}{LAST}", self.id)] {
            // As `docker run --rm`: with the volumes that the engine made up for it alone.
            self.remove_with(&name, !self.tied).await?;
        }
        if let (Some(network), false) = (&self.network, self.tied) {
            Network::remove(&self.engine, network).await?;
        }
        if let Some(names) = names {
            firewall::open(&names.table).await?;
        }
        Ok(())
    }

    /// Who made the network, by its labels: they tell the packet filter's table.
    async fn filter_table(&self) -> Result<Option<Names>> {
        let (Some(network), false) = (&self.network, self.tied) else { return Ok(None) };
        let asked = self.engine.docker().inspect_network(network, None);
        let labels = found(self.engine.ask(format!("looking at the network {network}"), asked).await)?
            .and_then(|network| network.labels)
            .unwrap_or_default();
        let (Some(home), Some(run)) = (labels.get(HOME), labels.get(RUN)) else { return Ok(None) };
        let Ok(run) = run.parse::<RunId>() else { return Ok(None) };
        Ok(Some(Names::of(&Home::new(home), &run)))
    }

    /// The container's name: it is kept where the container under it changes.
    async fn name(&self) -> Result<String> {
        let name = self.inspect(&self.id).await?.and_then(|container| container.name);
        let name = name.unwrap_or_else(|| self.id.clone());
        Ok(name.trim_start_matches('/').to_owned())
    }

    async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Fault> {
        self.engine.container(id).await
    }

    async fn pause(&self, id: &str) -> Result<()> {
        let paused = self
            .engine
            .ask(format!("pausing the container {id}"), self.engine.docker().pause_container(id))
            .await;
        // It may have ended at this moment, or be paused already.
        Ok(settled(paused)?)
    }

    /// The image of this freeze, made where it is not there yet.
    async fn save(&self, id: &str, image: &str, labels: BTreeMap<String, String>) -> Result<String> {
        let (repository, tag) =
            image.rsplit_once(':').with_context(|| format!("the image {image} has no tag"))?;
        let docker = self.engine.docker();
        let mut found = labelled(&self.engine, FROZEN_FROM, id).await?;
        // The time is told by the first attempt, and by that alone.
        let told = labels.iter().filter(|(label, _)| *label != FROZEN_AT).collect::<Vec<_>>();
        found.retain(|image| told.iter().all(|(label, value)| image.labels.get(*label) == Some(*value)));
        if let Some(saved) = found.into_iter().next() {
            if let Some(name) = named(&saved) {
                return Ok(name);
            }
            // The engine stopped between the image and its name.
            let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
            self.engine
                .ask(format!("naming the image {image}"), docker.tag_image(&saved.id, Some(options)))
                .await?;
            return Ok(image.to_owned());
        }
        let options = CommitContainerOptionsBuilder::default()
            .container(id)
            .repo(repository)
            .tag(tag)
            .pause(false)
            .changes(&instructions(&labels))
            .build();
        let committed = docker.commit_container(options, ContainerConfig::default());
        self.engine.ask_within(COPY, format!("saving the container {id} as {image}"), committed).await?;
        Ok(image.to_owned())
    }

    /// Ends what runs in a container, which stays.
    async fn stop(&self, id: &str) -> Result<()> {
        let docker = self.engine.docker();
        let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
        loop {
            let Some(container) = self.inspect(id).await? else { return Ok(()) };
            let state = state_of(&container);
            if state == State::Stopped {
                return Ok(());
            }
            let killed =
                self.engine.ask(format!("killing the container {id}"), docker.kill_container(id, None)).await;
            // Podman kills no container that stands still. It is saved, and its network is cut: it may move to die.
            if matches!(&killed, Err(fault) if !fault.is_missing()) && state == State::Paused {
                let moved = self
                    .engine
                    .ask(format!("continuing the container {id}"), docker.unpause_container(id))
                    .await;
                settled(moved)?;
                continue;
            }
            settled(killed)?;
            if tokio::time::Instant::now() > deadline {
                bail!("the container {id} was killed, and does not end for {} s", ENDS_WITHIN.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.remove_with(name, false).await
    }

    async fn remove_with(&self, name: &str, volumes: bool) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(volumes).build();
        let removed = self.engine.docker().remove_container(name, Some(options));
        Ok(settled(self.engine.ask(format!("removing the container {name}"), removed).await)?)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.remove(to).await?;
        let options = RenameContainerOptionsBuilder::default().name(to).build();
        let renamed = self.engine.docker().rename_container(from, options);
        Ok(self.engine.ask(format!("calling the container {from} {to}"), renamed).await?)
    }
}

fn state_of(container: &ContainerInspectResponse) -> State {
    use ContainerStateStatusEnum as Status;
    match container.state.as_ref().and_then(|state| state.status.as_ref()) {
        Some(Status::RUNNING | Status::RESTARTING | Status::STOPPING) => State::Running,
        Some(Status::PAUSED) => State::Paused,
        _ => State::Stopped,
    }
}

/// What is in the state that was asked for already, or gone, is what was asked for.
fn settled(answer: Result<(), Fault>) -> Result<(), Fault> {
    match answer {
        Err(fault) if fault.is_missing() || fault.is_conflict() => Ok(()),
        other => other,
    }
}

/// Labels as the instructions by which engines put them on a commit. Podman takes no empty line for one.
fn instructions(labels: &BTreeMap<String, String>) -> String {
    let line = |(name, value): (&String, &String)| {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
        format!("LABEL {name}=\"{}\"", quoted.replace(['\n', '\r'], " "))
    };
    labels.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_any_text_are_one_instruction_each() {
        let labels = BTreeMap::from([
            ("hudson.run".to_owned(), "a\"b\nRUN evil".to_owned()),
            ("x".to_owned(), "$HOME\\".to_owned()),
        ]);
        assert_eq!(instructions(&labels), "LABEL hudson.run=\"a\\\"b RUN evil\"\nLABEL x=\"\\$HOME\\\\\"");
    }
}
