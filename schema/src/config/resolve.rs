//! One bottle from all its files and its parents'. Routes are the nearest declared ones as a whole, the environment is
//! merged with the child's winning, budgets stay apart for each scope.

use super::bottle::{AgentProvider, BottleFile};
use super::error::Problem;
use super::files;
use super::tree::Trail;
use super::yaml::Document;
use super::{ConfigError, Manifest, Routes, ScopeSettings, load_manifest, parse_routes};
use crate::BottleName;
use crate::home::Home;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest chain of parents.
const MAX_PARENTS: usize = 16;

/// A bottle with everything it inherits.
#[derive(Clone, Debug, PartialEq)]
pub struct BottleConfig {
    /// The bottle.
    pub name: BottleName,
    /// Its parents, nearest first.
    pub parents: Vec<BottleName>,
    /// Its routes: the nearest declared ones, else none.
    pub routes: Routes,
    /// The file the routes come from; `None` when none declares any.
    pub routes_path: Option<PathBuf>,
    /// The agent's environment as written.
    pub env: BTreeMap<String, String>,
    /// Which agent runs in it: the nearest that says.
    pub agent_provider: Option<AgentProvider>,
    /// What the bottle's own file says of its budget.
    pub own: ScopeSettings,
    /// The same of each parent, nearest first.
    pub ancestors: Vec<Ancestor>,
    /// Every file that was looked for, there or not: a change of one changes the bottle.
    pub files: Vec<PathBuf>,
}

/// What a parent's file says of its budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Ancestor {
    /// The parent.
    pub name: BottleName,
    /// Its budget, window and policy.
    pub own: ScopeSettings,
}

/// What the files of one bottle say.
struct Layer {
    file: BottleFile,
    manifest: Manifest,
    routes: Option<(PathBuf, Routes)>,
    parent: Option<Parent>,
    files: Vec<PathBuf>,
    exists: bool,
}

/// A parent and where it is named; `None` for `--parent`.
struct Parent {
    name: BottleName,
    named_by: Option<Problem>,
}

/// Reads a bottle and its parents. `parent_flag` is `--parent`: the parent of a bottle that has no `extends`.
///
/// A bottle without any file is valid and empty; a parent without any is an error.
pub fn load_bottle(
    home: &Home,
    name: &BottleName,
    parent_flag: Option<&BottleName>,
) -> Result<BottleConfig, ConfigError> {
    let mut layer = Layer::load(home, name)?;
    if let Some(flag) = parent_flag {
        layer.apply_flag(flag)?;
    }
    let mut bottle = BottleConfig {
        name: name.clone(),
        parents: Vec::new(),
        routes: Routes::default(),
        routes_path: None,
        env: BTreeMap::new(),
        agent_provider: None,
        own: layer.scope(),
        ancestors: Vec::new(),
        files: Vec::new(),
    };
    let mut declared = false;
    loop {
        let parent = layer.parent.take();
        declared = bottle.inherit(layer, declared);
        let Some(Parent { name: parent, named_by }) = parent else { return Ok(bottle) };
        let fault = |message: String| {
            let mut problem = named_by.clone().unwrap_or_else(|| Problem::of_file(Path::new("--parent"), ""));
            problem.message = message;
            ConfigError::one(problem)
        };
        if parent == *name || bottle.parents.contains(&parent) {
            let chain: Vec<_> =
                std::iter::once(name).chain(&bottle.parents).map(BottleName::as_str).collect();
            return Err(fault(match chain.as_slice() {
                [_] => format!("the bottle {parent} cannot be its own parent"),
                _ => format!("the parents go round in a circle: {} → {parent}", chain.join(" → ")),
            }));
        }
        if bottle.parents.len() >= MAX_PARENTS {
            return Err(fault(format!("a bottle has at most {MAX_PARENTS} parents")));
        }
        layer = Layer::load(home, &parent)?;
        if !layer.exists {
            return Err(fault(format!(
                "there is no bottle {parent}; expected {}",
                home.bottle(&parent).display()
            )));
        }
        bottle.ancestors.push(Ancestor { name: parent.clone(), own: layer.scope() });
        bottle.parents.push(parent);
    }
}

impl BottleConfig {
    /// Takes from an older layer what no nearer one has said; returns whether routes are declared by now.
    fn inherit(&mut self, layer: Layer, declared: bool) -> bool {
        self.files.extend(layer.files);
        for (key, value) in layer.file.env.into_iter().chain(layer.manifest.env) {
            self.env.entry(key.0).or_insert(value.0);
        }
        if self.agent_provider.is_none() {
            self.agent_provider = layer.file.agent_provider;
        }
        match layer.routes {
            Some((path, routes)) if !declared => {
                self.routes = routes;
                self.routes_path = Some(path);
                true
            }
            _ => declared,
        }
    }
}

impl Layer {
    fn load(home: &Home, name: &BottleName) -> Result<Self, ConfigError> {
        let (file_path, manifest_path, routes_path) =
            (home.bottle(name), home.manifest(name), home.routes(name));
        let file_text = files::text(&file_path)?;
        let (file, named_by_file) = match &file_text {
            Some(text) => bottle_file(&file_path, text)?,
            None => (BottleFile::default(), None),
        };
        let manifest = load_manifest(&manifest_path)?;
        let routes_text = files::text(&routes_path)?;
        let exists = manifest.is_some() || file_path.parent().is_some_and(Path::is_dir);
        let mut manifest = manifest.unwrap_or_default();
        let routes = match routes_text {
            Some(text) => Some((routes_path.clone(), parse_routes(&routes_path, &text)?)),
            None => manifest.egress.take().map(|routes| (manifest_path.clone(), routes)),
        };
        let named_by_manifest = manifest.named_parent.take();
        let parent = match (&file.extends, &manifest.extends) {
            (Some(one), Some(other)) if one != other => {
                let mut problem = named_by_file.unwrap_or_else(|| Problem::of_file(&file_path, ""));
                problem.message =
                    format!("extends {one}, but {} says extends {other}", manifest_path.display());
                return Err(ConfigError::one(problem.with_help("keep one of the two")));
            }
            (Some(name), _) => Some(Parent { name: name.clone(), named_by: named_by_file }),
            (None, Some(name)) => Some(Parent { name: name.clone(), named_by: named_by_manifest }),
            (None, None) => None,
        };
        Ok(Self {
            file,
            manifest,
            routes,
            parent,
            files: vec![file_path, manifest_path, routes_path],
            exists,
        })
    }

    fn scope(&self) -> ScopeSettings {
        ScopeSettings {
            budget: self.file.budget.clone(),
            shutdown: self.file.shutdown,
            window: self.file.window,
        }
    }

    fn apply_flag(&mut self, flag: &BottleName) -> Result<(), ConfigError> {
        match &self.parent {
            None => self.parent = Some(Parent { name: flag.clone(), named_by: None }),
            Some(parent) if parent.name == *flag => {}
            Some(parent) => {
                let mut problem =
                    parent.named_by.clone().unwrap_or_else(|| Problem::of_file(Path::new("--parent"), ""));
                problem.message = format!("extends {}, but --parent says {flag}", parent.name);
                return Err(ConfigError::one(
                    problem.with_help("leave --parent out, or change one of the two"),
                ));
            }
        }
        Ok(())
    }
}

/// A bottle.yml and the place of its `extends`.
fn bottle_file(path: &Path, text: &str) -> Result<(BottleFile, Option<Problem>), ConfigError> {
    let (file, document) = Document::parse::<Option<BottleFile>>(path, text)?;
    let file = file.unwrap_or_default();
    let place =
        file.extends.is_some().then(|| document.problem_at_value(&Trail::default().key("extends"), ""));
    Ok((file, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Amount, BudgetMap, Window};
    use crate::config::{Settings, parse_settings};
    use crate::{AgentName, Policy, RunId};
    use tempfile::TempDir;

    struct Fixture(TempDir);

    impl Fixture {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join("bottles").join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(folder)
        }

        fn load(&self, name: &str, flag: Option<&str>) -> Result<BottleConfig, String> {
            let flag: Option<BottleName> = flag.map(|flag| flag.parse().unwrap());
            load_bottle(&Home::new(self.0.path()), &name.parse().unwrap(), flag.as_ref())
                .map_err(|error| error.to_string().replace(&self.0.path().display().to_string(), "HOME"))
        }
    }

    fn hosts(bottle: &BottleConfig) -> Vec<String> {
        bottle.routes.routes.iter().map(|route| route.host.to_string()).collect()
    }

    #[test]
    fn a_bottle_without_files_is_empty() {
        let bottle = Fixture::new(&[]).load("ci", None).unwrap();
        assert_eq!(bottle.routes, Routes::default());
        assert_eq!((bottle.routes_path, bottle.parents, bottle.agent_provider), (None, vec![], None));
    }

    #[test]
    fn the_nearest_declared_routes_hold_as_a_whole() {
        let fixture = Fixture::new(&[
            ("base/routes.yaml", "routes: [{host: base.example.com}]\n"),
            ("base/bottle.yml", "env: {A: base, B: base}\nagent_provider: claude\nbudget: {claude: 10k}\n"),
            ("mid.md", "---\nextends: base\nenv: {B: mid, C: mid}\n---\n"),
            ("leaf/bottle.yml", "extends: mid\nenv: {C: leaf}\n"),
            ("own.md", "---\nextends: base\negress: {routes: [{host: manifest.example.com}]}\n---\n"),
            ("both.md", "---\negress: {routes: [{host: manifest.example.com}]}\n---\n"),
            ("both/routes.yaml", "routes: [{host: file.example.com}]\n"),
            ("shut/bottle.yml", "extends: base\n"),
            ("shut/routes.yaml", "routes: []\n"),
        ]);
        let leaf = fixture.load("leaf", None).unwrap();
        assert_eq!(leaf.parents.iter().map(BottleName::as_str).collect::<Vec<_>>(), ["mid", "base"]);
        assert_eq!(hosts(&leaf), ["base.example.com"]);
        assert!(leaf.routes_path.unwrap().ends_with("bottles/base/routes.yaml"));
        assert_eq!(
            leaf.env.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
            ["A=base", "B=mid", "C=leaf"]
        );
        assert_eq!(leaf.agent_provider, Some(AgentProvider { template: "claude".to_owned() }));
        assert_eq!(leaf.files.len(), 9);
        assert_eq!(hosts(&fixture.load("own", None).unwrap()), ["manifest.example.com"]);
        assert_eq!(hosts(&fixture.load("both", None).unwrap()), ["file.example.com"]);
        assert_eq!(
            hosts(&fixture.load("shut", None).unwrap()),
            Vec::<String>::new(),
            "an empty list is declared"
        );
    }

    #[test]
    fn a_wrong_chain_is_an_error_at_its_extends() {
        let fixture = Fixture::new(&[
            ("self/bottle.yml", "extends: self\n"),
            ("a/bottle.yml", "env: {}\nextends: b\n"),
            ("b.md", "---\nextends: a\n---\n"),
            ("orphan/bottle.yml", "extends: gone\n"),
            ("base/bottle.yml", ""),
            ("child/bottle.yml", "extends: base\n"),
            ("torn/bottle.yml", "extends: base\n"),
            ("torn.md", "---\nextends: child\n---\n"),
        ]);
        for (name, flag, expected) in [
            ("self", None, "HOME/bottles/self/bottle.yml:1:10: the bottle self cannot be its own parent"),
            ("a", None, "HOME/bottles/b.md:2:10: the parents go round in a circle: a → b → a"),
            (
                "orphan",
                None,
                "HOME/bottles/orphan/bottle.yml:1:10: there is no bottle gone; expected HOME/bottles/gone/bottle.yml",
            ),
            ("child", Some("a"), "HOME/bottles/child/bottle.yml:1:10: extends base, but --parent says a"),
            (
                "torn",
                None,
                "HOME/bottles/torn/bottle.yml:1:10: extends base, but HOME/bottles/torn.md says extends child",
            ),
            ("base", Some("gone"), "--parent: there is no bottle gone"),
            ("base", Some("base"), "--parent: the bottle base cannot be its own parent"),
            (
                "base",
                Some("child"),
                "HOME/bottles/child/bottle.yml:1:10: the parents go round in a circle: base → child → base",
            ),
        ] {
            let error = fixture.load(name, flag).unwrap_err();
            assert!(error.starts_with(expected), "{name}: {error}");
        }
        assert_eq!(fixture.load("child", Some("base")).unwrap().parents.len(), 1, "both may agree");
        assert_eq!(fixture.load("new", Some("base")).unwrap().parents.len(), 1);
    }

    #[test]
    fn an_unknown_key_of_a_bottle_is_an_error() {
        let error = Fixture::new(&[("ci/bottle.yml", "budgte: {}\n")]).load("ci", None).unwrap_err();
        assert!(
            error.contains("bottle.yml:1:1: unknown key \"budgte\"")
                && error.contains("did you mean \"budget\"?"),
            "{error}"
        );
    }

    #[test]
    fn where_every_limit_must_have_room_a_parents_own_runs_count_with_those_below_it() {
        let fixture = Fixture::new(&[("base/bottle.yml", "budget: {claude: 3}\n")]);
        let base = fixture.load("base", None).unwrap();
        for (precedence, expected) in [
            ("nearest", vec!["bottle base", "global"]),
            ("all", vec!["bottle base", "parent base", "global"]),
        ] {
            let settings = parse_settings(Path::new("s"), &format!("precedence: {precedence}\n")).unwrap();
            let scopes = settings.scope_budgets(None, None, &base);
            let shown: Vec<_> = scopes.iter().map(|scope| scope.scope.to_string()).collect();
            assert_eq!(shown, expected, "{precedence}");
        }
    }

    #[test]
    fn budgets_and_policies_come_nearest_first_and_the_hosts_settings_win() {
        let fixture = Fixture::new(&[
            ("base/bottle.yml", "budget: {claude: 3}\nshutdown: freeze\n"),
            ("ci/bottle.yml", "extends: base\nbudget: {claude: 2, codex: 2}\nwindow: day\n"),
        ]);
        let bottle = fixture.load("ci", None).unwrap();
        let settings = parse_settings(
            Path::new("s"),
            "budget: {any: 9}\nwindow: month\nagents: {r: {budget: {claude: 1}, shutdown: kill}}\nbottles: {ci: {budget: {claude: 7}}}\n",
        )
        .unwrap();
        let run: RunId = "r1".parse().unwrap();
        let agent: AgentName = "r".parse().unwrap();
        let launch = BudgetMap::from([("claude".parse().unwrap(), Amount(5))]);
        let scopes = settings.scope_budgets(Some((&run, &launch)), Some(&agent), &bottle);
        let shown: Vec<_> = scopes
            .iter()
            .map(|scope| {
                let budget: Vec<_> =
                    scope.budget.iter().map(|(name, tokens)| format!("{name}={tokens}")).collect();
                format!("{} {} {}", scope.scope, budget.join(","), scope.window.name())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "run r1 claude=5 lifetime",
                "agent r claude=1 month",
                "bottle ci claude=7,codex=2 day",
                "parent base claude=3 month",
                "global any=9 month"
            ]
        );
        assert_eq!(settings.policy(Some(Policy::Cutoff), Some(&agent), &bottle), Policy::Cutoff);
        assert_eq!(settings.policy(None, Some(&agent), &bottle), Policy::Kill);
        assert_eq!(settings.policy(None, None, &bottle), Policy::Freeze);
        let bare = Settings::default();
        assert_eq!(bare.policy(None, None, &fixture.load("x", None).unwrap()), Policy::Cutoff);
        assert_eq!(
            bare.scope_budgets(None, None, &bottle).first().map(|scope| scope.window),
            Some(Window::Day)
        );
    }
}
