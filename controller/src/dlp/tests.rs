//! Promises of what is read from the operator's files.

use super::*;
use hudson_schema::config::parse_settings;
use secrecy::ExposeSecret;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const SECRET: &str = "h7Rq2Wv9kLm3XpZt8Yb5";
const CANARY: &str = "c4Nary2Wv9kLm3XpZt";

struct Place {
    folder: tempfile::TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        Self { folder, home }
    }

    fn write(&self, name: &str, mode: u32, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(&self, dlp: &str, variables: &[(&str, &str)]) -> Result<Loaded> {
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
        read(&self.home, &settings(dlp), environment, HashKey::new([9; 32]), Vec::new())
    }

    /// What went wrong.
    fn fault(&self, dlp: &str) -> String {
        let error = self.read(dlp, &[]).unwrap_err();
        assert_eq!(crate::exit::code_of(&error), crate::exit::USAGE, "{error:#}");
        format!("{error:#}")
    }
}

fn settings(dlp: &str) -> Settings {
    parse_settings(Path::new("settings.yml"), &format!("dlp:\n  strict_examples: false\n{dlp}")).unwrap()
}

fn names(known: &[KnownValue]) -> Vec<(&str, KnownKind)> {
    known.iter().map(|value| (value.name.as_str(), value.kind)).collect()
}

#[test]
fn what_is_not_set_is_the_rules_that_come_with_hudson() {
    let Loaded { setup, notices, .. } = Place::new().read("", &[]).unwrap();
    assert_eq!(setup.policy.rules.len(), RuleSet::builtin().unwrap().len());
    assert_eq!(setup.policy.profiles, BTreeSet::from([Profile::TokenPatterns, Profile::Financial]));
    assert!(setup.policy.known.is_empty() && notices.is_empty(), "{notices:?}");
    assert_eq!(setup.buffer_limit, 32 << 20);
}

#[test]
fn values_come_from_files_and_from_variables() {
    let place = Place::new();
    place.write("secrets.env", 0o600, &format!("# mine\nexport DEPLOY='{SECRET}'\nWEAK=Zq9!x7W\n"));
    place.write("canaries.env", 0o400, &format!("TRAP={CANARY}\n"));
    let dlp = "  secrets_file: secrets.env\n  canary_file: canaries.env\n  env_prefixes: [OWN_]\n";
    let variables = [
        ("OWN_A", "xK4pQ9tR2vL7nB3m"),
        ("BOT_X", "aK4pQ9tR2vL7nB3z"),
        ("HOME", "/x"),
        (values::PREFIXES, "BOT_, ,"),
    ];
    let Loaded { setup, notices, .. } = place.read(dlp, &variables).unwrap();
    let secret = KnownKind::Secret;
    // bot-bottle's own variable is no value, although its name begins so.
    let expected = [
        ("DEPLOY", secret),
        ("WEAK", secret),
        ("TRAP", KnownKind::Canary),
        ("OWN_A", secret),
        ("BOT_X", secret),
    ];
    assert_eq!(names(&setup.policy.known), expected);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].starts_with("the value \"WEAK\" is not looked for: it is too short"), "{notices:?}");
    let shown = format!("{setup:?}{notices:?}");
    for value in [SECRET, CANARY, "xK4pQ9tR2vL7nB3m", "Zq9!x7W"] {
        assert!(!shown.contains(value), "{value} is shown");
    }
}

#[test]
fn a_file_of_values_that_others_can_read_or_that_is_wrong_is_refused() {
    let place = Place::new();
    for (key, file) in [("secrets_file", "secrets.env"), ("canary_file", "canaries.env")] {
        let dlp = format!("  {key}: {file}\n");
        assert!(place.fault(&dlp).contains(&format!("{file}: the values cannot be read")));
        place.write(file, 0o640, "A=1\n");
        let told = place.fault(&dlp);
        assert!(told.contains("others can read the values (mode 0640): chmod 600"), "{told}");
        assert!(told.contains(&format!("dlp.{key}")), "{told}");
        place.write(file, 0o600, &format!("A=1\n{SECRET}\n"));
        let told = place.fault(&dlp);
        assert!(told.contains(&format!("{file}:2: expected NAME=VALUE")) && !told.contains(SECRET), "{told}");
    }
}

#[test]
fn rules_of_gitleaks_load_as_they_are_beside_ours() {
    let place = Place::new();
    place.write(
        "team.toml",
        0o644,
        concat!(
            "[extend]\nuseDefault = true\n[allowlist]\nstopwords = ['sample']\n",
            "[[rules]]\nid = 'github-pat'\nregex = '''ghp_[0-9A-Za-z]{36}'''\nkeywords = ['ghp_']\n",
            "[[rules]]\nid = 'acme'\nregex = '''acme_[0-9a-z]{20}'''\nkeywords = ['acme_']\n",
        ),
    );
    let Loaded { setup, notices, .. } = place.read("  rules_file: team.toml\n", &[]).unwrap();
    let rules = &setup.policy.rules;
    assert_eq!(rules.len(), RuleSet::builtin().unwrap().len() + 2);
    let taken = rules.iter().find(|rule| rule.id == "team:github-pat").unwrap();
    assert_eq!(taken.stopwords, ["sample"]);
    assert!(rules.iter().any(|rule| rule.id == "github-pat" && rule.validator.is_some()));
    let told = notices.join("\n");
    assert!(told.contains("rule \"github-pat\" has \"team:\" in front of its name"), "{told}");
    assert!(told.contains("`extend` is not supported"), "{told}");
}

#[test]
fn a_fault_in_rules_names_file_line_and_rule() {
    let place = Place::new();
    let dlp = |file: &str| format!("  rules_file: {file}\n");
    place.write(
        "team.yaml",
        0o644,
        "- id: one\n  keywords: [abc]\n  regex: abc\n- id: two\n  keywords: [abc]\n",
    );
    let told = place.fault(&dlp("team.yaml"));
    assert!(told.contains("team.yaml:4: rule \"two\": has to have one of"), "{told}");
    place.write("team.toml", 0o644, "[[rules]]\nid = 'a\n");
    assert!(place.fault(&dlp("team.toml")).contains("team.toml:2: "));
    place.write("team.json", 0o644, "[]");
    assert!(
        place.fault(&dlp("team.json")).contains("a rules file is called .toml (gitleaks) or .yaml (ours)")
    );
    assert!(place.fault(&dlp("gone.yml")).contains("gone.yml: the rules cannot be read"));
}

#[test]
fn ids_that_no_rule_has_are_refused_with_the_nearest() {
    let place = Place::new();
    for (dlp, expected) in [
        (
            "  thresholds: {email-adress: 3}\n",
            "there is no rule \"email-adress\"; did you mean \"email-address\"?",
        ),
        ("  thresholds: {card-numbr: 3}\n", "did you mean \"card-number\"?"),
        ("  thresholds: {canary: 3}\n", "canary stands for values that must not leave at all"),
        (
            "  suppressions: [{rule: jwtt, host: a.b.c, reason: x, expires: 2999-01-31}]\n",
            "dlp.suppressions: there is no rule",
        ),
        (
            "  suppressions: [{rule: known-value, host: a.b.c, reason: x, expires: 2999-01-31}]\n",
            "must not leave at all",
        ),
    ] {
        let told = place.fault(dlp);
        assert!(told.contains(expected), "{told}");
    }
    assert!(place.read("  thresholds: {card-number: 3, email-address: 1}\n", &[]).is_ok());
}

#[test]
fn everything_else_is_handed_on() {
    let place = Place::new();
    let dlp = concat!(
        "  profiles: [pii, crypto]\n  thresholds: {email-address: 20}\n  on_canary: kill\n  on_unscannable: warn\n",
        "  buffer_limit: 65536\n  suppressions:\n",
        "    - {finding: 0123456789abcdef0123456789abcdef, reason: a fixture, expires: 2999-01-31}\n",
        "    - {rule: github-pat, host: '*.example.com', location: body /a, reason: old, expires: 2020-01-31}\n",
    );
    let Loaded { setup, notices, .. } = place.read(dlp, &[]).unwrap();
    let profiles = [Profile::TokenPatterns, Profile::Financial, Profile::Pii, Profile::Crypto];
    assert_eq!(setup.policy.profiles, BTreeSet::from(profiles));
    assert_eq!(setup.thresholds["email-address"].get(), 20);
    assert_eq!((setup.on_canary, setup.buffer_limit), (hudson_schema::Policy::Kill, 65536));
    let [by_hash, by_place] = setup.suppressions.as_slice() else { panic!("{setup:?}") };
    assert!(matches!(&by_hash.what, SuppressedFinding::Hash(hash) if hash.starts_with("0123")));
    assert_eq!((by_place.ends, by_place.reason.as_str()), (1_580_515_200_000, "old"));
    assert!(notices[0].contains("that of github-pat has ended with 2020-01-31"), "{notices:?}");
}

#[test]
fn nothing_is_written_by_who_only_looks() {
    let place = Place::new();
    look(&place.home, &settings("")).unwrap();
    assert!(!place.home.dlp_key().exists() && !has_key(&place.home));
    let hash = |loaded: Loaded| loaded.setup.policy.key.hash(b"a value");
    let made = hash(load(&place.home, &settings("")).unwrap());
    assert_eq!(made, hash(look(&place.home, &settings("")).unwrap()));
    assert_eq!(made, setup(&place.home, &settings("")).unwrap().policy.key.hash(b"a value"));
}

#[test]
fn a_bottles_own_variables_are_values_too() {
    let written = [("OWN_A", "${WHERE}/x"), ("OWN_B", "${GONE}"), ("OTHER", "y"), ("OWN_C", "?prompt")];
    let written = written.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let variable = |name: &str| (name == "WHERE").then(|| SECRET.to_owned());
    let known = bottle_values_of(&["OWN_".to_owned()], &written, &variable);
    assert_eq!(names(&known), [("OWN_A", KnownKind::Secret)]);
    assert_eq!(known[0].value.expose_secret(), format!("{SECRET}/x"));
}

#[test]
fn every_file_is_named_that_this_depends_on() {
    let home = Home::new("/h");
    let dlp = "  rules_file: a.toml\n  secrets_file: /etc/b.env\n  canary_file: c/d.env\n";
    let expected = ["/h/a.toml", "/etc/b.env", "/h/c/d.env", "/h/dlp.key"].map(PathBuf::from);
    assert_eq!(files(&home, &settings(dlp)), expected);
}
