//! The real clients: where `tests/clients/install` has put them, and how each one is called.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A client's command line.
#[derive(Clone, Debug)]
pub struct Invocation(Vec<String>);

impl Invocation {
    /// Any program with its arguments.
    pub fn new(program: impl Into<String>, arguments: &[&str]) -> Self {
        let mut words = vec![program.into()];
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        Self(words)
    }

    /// A line for the shell.
    pub fn shell(script: impl Into<String>) -> Self {
        Self(vec!["sh".to_owned(), "-c".to_owned(), script.into()])
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.0.push(argument.into());
        self
    }

    /// The words, program first.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// First this line for the shell, then, when it has ended, the client in the same process.
    #[must_use]
    pub fn after(self, script: &str) -> Self {
        let mut words =
            vec!["sh".to_owned(), "-c".to_owned(), format!("{script}\nexec \"$@\""), "sh".to_owned()];
        words.extend(self.0);
        Self(words)
    }
}

/// Where the installed clients are.
#[derive(Clone, Debug)]
pub struct Clients {
    root: PathBuf,
}

impl Clients {
    /// The installed clients. Missing ones fail the test: nothing is skipped in silence.
    pub fn installed() -> &'static Self {
        static CLIENTS: OnceLock<Clients> = OnceLock::new();
        CLIENTS.get_or_init(|| {
            let default = || repository().join("target/clients");
            let root = std::env::var_os("HUDSON_CLIENTS").map_or_else(default, PathBuf::from);
            let installer = repository().join("tests/clients/install");
            assert!(
                root.join("stamp").is_file(),
                "the real clients are not installed in {}; install them with {} (or point HUDSON_CLIENTS to them)",
                root.display(),
                installer.display(),
            );
            Self { root }
        })
    }

    /// Their directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The Python that the installed environment is made from.
    pub fn python_home(&self) -> PathBuf {
        let program = self.root.join("python/bin/python");
        let program = program.canonicalize().expect("python is installed");
        program.parent().and_then(Path::parent).expect("it is in a folder `bin`").to_owned()
    }

    /// What `PATH` a person who has installed them would have.
    pub fn search_path(&self) -> String {
        let own =
            ["node/bin", "npm/node_modules/.bin"].map(|part| self.root.join(part).display().to_string());
        format!("{}:{SYSTEM_PATH}", own.join(":"))
    }

    /// A driver of `tests/clients` on the installed Python.
    pub fn python(&self, driver: &str, arguments: &[&str]) -> Invocation {
        let python = self.root.join("python/bin/python").display().to_string();
        let script = driver_path(driver);
        Invocation::new(python, &[&[script.as_str()], arguments].concat())
    }

    /// A driver of `tests/clients` on Node 24.
    pub fn node(&self, driver: &str, arguments: &[&str]) -> Invocation {
        let script = driver_path(driver);
        Invocation::new("node", &[&[script.as_str()], arguments].concat())
    }

    /// Claude Code with one prompt.
    pub fn claude(&self) -> Invocation {
        Invocation::new("claude", &["-p", "hi"])
    }

    /// Codex with one prompt.
    pub fn codex(&self) -> Invocation {
        Invocation::new("codex", &["exec", "--skip-git-repo-check", "say hi"])
    }

    /// Gemini CLI with one prompt. The model is named, else it first asks a model which model to ask.
    pub fn gemini(&self) -> Invocation {
        Invocation::new("gemini", &["--skip-trust", "-m", "gemini-2.5-flash", "-p", "say hi"])
    }
}

/// Where the system's own programs are.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository")
}

/// A command that inherits nothing: a machine's own CA and proxy variables would hide mistakes.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LANG", "C.UTF-8").env("PATH", SYSTEM_PATH);
    command
}

fn driver_path(driver: &str) -> String {
    repository().join("tests/clients").join(driver).display().to_string()
}
