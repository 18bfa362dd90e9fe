//! `hudson bottle …`

use super::WatchArgs;
use super::budget::parse_budget;
use clap::{Args, Subcommand};
use hudson_schema::budget::BudgetMap;
use hudson_schema::config::BottleAddress;
use hudson_schema::{AgentName, BottleName, Policy};

/// `hudson bottle …`
#[derive(Debug, Subcommand)]
pub enum BottleCommand {
    /// Give a bottle started elsewhere a proxy URL and an environment
    Add(BottleAddArgs),
    /// List bottles
    List(WatchArgs),
    /// Show one bottle
    Show {
        /// Its name
        name: BottleName,
    },
    /// Let nothing out of a bottle, and end what it has in flight, until it is resumed
    ///
    /// What runs in it goes on. Every proxy of this home sees the order within 50 ms.
    Cutoff(StopArgs),
    /// Save what runs in a bottle and stop it, let nothing out of it, and start nothing in it, until it is resumed
    ///
    /// Processes are frozen where they are. A container is saved as an image and stopped.
    Freeze(StopArgs),
    /// Kill what runs in a bottle, and let nothing out of it
    Kill(StopArgs),
    /// Lift what operators have ordered for a bottle, and bring back what is frozen
    ///
    /// A bottle that a spent budget stopped goes on when its limit is raised: see `hudson budget set`. One that it froze is
    /// brought back by this after that.
    Resume {
        /// Its name
        name: BottleName,
    },
    /// End what `bottle add` began: the bottle's credentials are worth nothing from then on
    ///
    /// Its files stay, and so does what it used.
    Remove {
        /// Its name
        name: BottleName,
    },
}

/// Arguments of `hudson bottle cutoff`, `freeze` and `kill`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// The bottle's name
    pub name: BottleName,
    /// Why: it is told to the agent, and stands in the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Arguments of `hudson bottle add`.
#[derive(Debug, Args)]
pub struct BottleAddArgs {
    /// The bottle's name
    pub name: BottleName,
    /// The named agent whose usage this is
    #[arg(long, value_name = "NAME")]
    pub agent: Option<AgentName>,
    /// The parent of a bottle that has no `extends`
    #[arg(long, value_name = "NAME")]
    pub parent: Option<BottleName>,
    /// The provider whose preset is added
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// Token limits of this launch
    #[arg(long, value_name = "PROVIDER=TOKENS", value_parser = parse_budget)]
    pub budget: Vec<BudgetMap>,
    /// What happens when a budget is spent
    #[arg(long, value_name = "cutoff|freeze|kill")]
    pub on_exhausted: Option<Policy>,
    /// Listen here too, for this bottle's clients alone, which need no credentials there: an address of this host in the
    /// bottle's own network, or a socket that only the bottle can open
    #[arg(long, value_name = "ADDRESS:PORT|unix:/PATH[,mode=0660]")]
    pub listen: Option<BottleAddress>,
    /// The container that it runs in, by its name or id: a budget and `hudson bottle freeze`, `kill` and `resume` act on it
    ///
    /// Its networks stay as they are: close them yourself, or start it with `hudson run --container`.
    #[arg(long, value_name = "ID")]
    pub container: Option<String>,
}
