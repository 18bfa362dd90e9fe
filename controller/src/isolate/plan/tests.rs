//! What is shown and what is refused.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

/// A host with an operator's home, a project in it and Hudson's home; in a folder that no bottle shares.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["home/project", "home/tools/bin", "home/.bot-bottle/ca", "elsewhere"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        let tool = folder.path().join("home/tools/bin/tool");
        fs::write(&tool, "").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn at(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap().join(path)
    }

    fn plan(&self, directory: &str, show: &[&str], program: &str) -> Result<Plan> {
        let show: Vec<PathBuf> = show.iter().map(|path| self.at(path)).collect();
        Plan::new(&Wish {
            home: Some(self.at("home")),
            hudson: &self.at("home/.bot-bottle"),
            directory: self.at(directory),
            show: &show,
            made: Vec::new(),
            program: OsStr::new(program),
            path: self.at("home/tools/bin").into_os_string(),
        })
    }

    fn refused(&self, directory: &str, show: &[&str]) -> String {
        self.plan(directory, show, "true").unwrap_err().to_string()
    }
}

#[test]
fn a_working_directory_that_holds_a_home_is_refused() {
    let host = Host::new();
    assert!(host.refused("home", &[]).contains("it is your home"));
    assert!(host.refused("", &[]).contains("is in it"));
    assert!(host.refused("home/.bot-bottle", &[]).contains("project directory"));
    assert!(host.refused("home/.bot-bottle/ca", &[]).contains("Hudson's home"));
    for shared in ["/", "/tmp", "/var", "/etc", "/proc/self", "/run", "/dev/shm"] {
        assert!(host.refused(shared, &[]).contains("--isolation none"), "{shared}");
    }
    host.plan("home/project", &[], "true").unwrap();
    host.plan("elsewhere", &[], "true").unwrap();
}

#[test]
fn hudsons_home_is_shown_by_no_flag() {
    let host = Host::new();
    for path in ["home", "home/.bot-bottle", "home/.bot-bottle/ca"] {
        assert!(host.refused("home/project", &[path]).contains("Hudson's home"), "{path}");
    }
    assert!(host.refused("home/project", &["/proc"]).contains("--show"));
    assert!(host.refused("home/project", &["missing"]).contains("--show"));
}

#[test]
fn only_the_working_directory_and_places_of_the_bottles_own_are_writable() {
    let host = Host::new();
    let plan = host.plan("home/project", &["home/tools", "elsewhere"], "true").unwrap();
    for path in ["home/project", "home/project/mounted", "home"] {
        assert!(plan.is_writable(&host.at(path)), "{path}");
    }
    for path in ["home/tools", "home/.bot-bottle", "home/.bot-bottle/ca/ca.pem", "elsewhere"] {
        assert!(!plan.is_writable(&host.at(path)), "{path}");
    }
    for path in ["/", "/usr", "/usr/local", "/etc", "/proc", "/sys", "/dev", "/dev/null", "/data"] {
        assert!(!plan.is_writable(Path::new(path)), "{path}");
    }
    for path in ["/tmp", "/run", "/dev/shm", "/dev/pts"] {
        assert!(plan.is_writable(Path::new(path)), "{path}");
    }
}

#[test]
fn a_program_in_the_home_comes_with_its_folder_and_the_links_that_lead_to_it() {
    let host = Host::new();
    let shown = |plan: Plan| plan.binds.into_iter().map(|bind| bind.path).collect::<Vec<_>>();
    let plan = host.plan("home/project", &[], "tool").unwrap();
    assert_eq!(shown(plan), [host.at("home/project"), host.at("home/tools/bin")]);
    symlink("../../.local/tool", host.at("home/tools/bin/linked")).unwrap();
    fs::create_dir(host.at("home/.local")).unwrap();
    fs::copy(host.at("home/tools/bin/tool"), host.at("home/.local/tool")).unwrap();
    let plan = host.plan("home/project", &[], "linked").unwrap();
    assert_eq!(plan.links, [(host.at("home/tools/bin/linked"), PathBuf::from("../../.local/tool"))]);
    assert_eq!(shown(plan), [host.at("home/project"), host.at("home/.local"), host.at("home/tools/bin")]);
    // In the home itself it comes alone.
    fs::copy(host.at("home/tools/bin/tool"), host.at("home/alone")).unwrap();
    let plan = host.plan("home/project", &[], "../alone").unwrap();
    assert_eq!(shown(plan), [host.at("home/project"), host.at("home/alone")]);
}
