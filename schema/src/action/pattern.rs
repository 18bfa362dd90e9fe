//! What makes a command risky. Every pattern is tried, and the highest tier counts.
//!
//! Invariant: a pattern asks only for words that are there, in their order, never for words that are not: more text
//! matches no less.

use super::command::{Command, Word};
use crate::Tier;

/// One pattern.
pub(super) struct Pattern {
    /// Its stable name.
    pub(super) name: &'static str,
    /// What it makes of a command at least.
    pub(super) tier: Tier,
    pub(super) look: Look,
}

/// What is looked at.
pub(super) enum Look {
    /// The words of what may be one simple command.
    Run(fn(&[Word]) -> bool),
    /// All words, for what is no command of a shell.
    Words(fn(&[Word]) -> bool),
    /// The text as it is.
    Text(fn(&Command) -> bool),
}

/// Every pattern, from the most harm.
pub(super) static PATTERNS: &[Pattern] = &[
    run("rm_recursive_force", Tier::Critical, rm_recursive_force),
    run("make_filesystem", Tier::Critical, make_filesystem),
    run("write_device", Tier::Critical, |words| {
        has(words, &["dd"])
            .is_some_and(|rest| any(rest, |word| word.starts_with("if=") || word.starts_with("of=")))
    }),
    run("stop_machine", Tier::Critical, stop_machine),
    words("drop_data", Tier::Critical, drop_data),
    run("destroy_infrastructure", Tier::Critical, |words| {
        let tools = ["terraform", "tofu", "terragrunt", "pulumi", "cdk", "vagrant", "serverless"];
        has(words, &tools).is_some_and(|rest| any(rest, |word| word.trim_start_matches('-') == "destroy"))
    }),
    run("reverse_shell", Tier::Critical, |words| {
        let remote = |word: &Word| word.contains("/dev/tcp/") || word.contains("/dev/udp/");
        any(words, remote)
            || has(words, &["nc", "ncat", "netcat", "socat"]).is_some_and(|rest| {
                any(rest, |word| is_flag(word, 'e') || word.starts_with("exec") || word == "--exec")
            })
    }),
    text("too_long", Tier::Critical, |command| command.is_long),
    text("fork_bomb", Tier::Critical, |command| command.has_dense(":|:&")),
    run("rm_recursive", Tier::High, |words| {
        deletion(words).is_some_and(|rest| any(rest, |word| is_recursive(word)))
            || any(words, |word| word.ends_with("rmtree"))
    }),
    run("find_delete", Tier::High, |words| {
        has(words, &["find", "fd", "fdfind"])
            .is_some_and(|rest| any(rest, |word| word == "-delete") || deletion(rest).is_some())
    }),
    run("erase", Tier::High, |words| {
        has(words, &["shred", "srm", "wipefs", "blkdiscard", "diskpart", "fdisk", "parted"]).is_some()
            || has(words, &["crontab"]).is_some_and(|rest| any(rest, |word| is_flag(word, 'r')))
            || has(words, &["git"])
                .and_then(|rest| has(rest, &["clean"]))
                .is_some_and(|rest| any(rest, |word| is_forced(word)))
    }),
    run("block_device", Tier::High, |words| any(words, |word| is_block_device(word))),
    words("delete_rows", Tier::High, |words| {
        is_near(words, "delete", &["from"])
            || has(words, &["truncate"]).is_some()
            || any(words, |word| word.ends_with("flushall") || word.ends_with("flushdb"))
    }),
    run("open_permissions", Tier::High, open_permissions),
    run("pipe_to_interpreter", Tier::High, pipe_to_interpreter),
    run("evaluate", Tier::High, |words| has(words, &["eval", "invoke-expression", "iex"]).is_some()),
    run("force_push", Tier::High, force_push),
    run("kubectl_delete", Tier::High, |words| {
        let ends = ["delete", "drain", "uninstall", "--replicas=0"];
        has(words, &["kubectl", "oc", "helm", "k3s", "kubens"]).and_then(|rest| has(rest, &ends)).is_some()
    }),
    run("docker_prune", Tier::High, |words| {
        let rest = docker(words);
        rest.and_then(|rest| has(rest, &["prune"])).is_some()
            || rest
                .and_then(|rest| has(rest, &["volume"]))
                .and_then(|rest| has(rest, &["rm", "remove"]))
                .is_some()
    }),
    run("cloud_delete", Tier::High, |words| {
        let tools = ["aws", "gcloud", "az", "gsutil", "doctl", "heroku", "flyctl", "gh", "s3cmd", "rclone"];
        let deletes = |word: &Word| {
            let ends = ["rm", "rb", "purge", "destroy", "apps:destroy"];
            ends.contains(&&**word)
                || ["delete", "terminate", "remove"].iter().any(|verb| word.starts_with(verb))
        };
        has(words, &tools).is_some_and(|rest| any(rest, deletes))
    }),
    run("stop_service", Tier::High, |words| {
        let tools = ["systemctl", "service", "launchctl", "rc-service", "supervisorctl", "pm2", "sc"];
        let stops = ["stop", "disable", "mask", "kill", "delete", "unload", "bootout"];
        has(words, &tools).and_then(|rest| has(rest, &stops)).is_some()
            || has(words, &["killall", "pkill"]).is_some()
    }),
    run("publish_package", Tier::High, |words| {
        let tools = ["npm", "pnpm", "yarn", "cargo", "gem", "twine", "poetry", "uv", "flit", "mvn"];
        has(words, &tools).and_then(|rest| has(rest, &["publish", "upload", "yank", "unpublish"])).is_some()
            || has(words, &["gem"]).and_then(|rest| has(rest, &["push"])).is_some()
    }),
    run("secret_files", Tier::High, |words| {
        let files = ["/etc/passwd", "/etc/shadow", "/etc/sudoers", "authorized_keys", ".ssh/id_"];
        any(words, |word| files.iter().any(|file| word.contains(file)))
    }),
    text("hidden_characters", Tier::High, |command| command.is_hiding),
    run("field_separator", Tier::High, |words| {
        // `IFS=,` makes one word of `r,m` two; `IFS= read` is a common thing to write.
        any(words, |word| word.strip_prefix("ifs=").is_some_and(|separator| !separator.is_empty()))
    }),
    text("expanded_program", Tier::Medium, |command| command.is_expanded),
    run("superuser", Tier::Medium, |words| {
        has(words, &["sudo", "doas", "su", "pkexec", "runas", "gosu"]).is_some()
    }),
    run("docker_remove", Tier::Medium, |words| {
        docker(words).and_then(|rest| has(rest, &["rm", "rmi", "remove", "kill", "stop", "down"])).is_some()
    }),
    run("git_push", Tier::Medium, |words| {
        has(words, &["git"]).and_then(|rest| has(rest, &["push"])).is_some()
    }),
    run("remove", Tier::Medium, |words| {
        deletion(words).is_some() || has(words, &["rmdir", "unlink"]).is_some()
    }),
    run("kill", Tier::Medium, |words| has(words, &["kill"]).is_some()),
];

const fn run(name: &'static str, tier: Tier, is: fn(&[Word]) -> bool) -> Pattern {
    Pattern { name, tier, look: Look::Run(is) }
}

const fn words(name: &'static str, tier: Tier, is: fn(&[Word]) -> bool) -> Pattern {
    Pattern { name, tier, look: Look::Words(is) }
}

const fn text(name: &'static str, tier: Tier, is: fn(&Command) -> bool) -> Pattern {
    Pattern { name, tier, look: Look::Text(is) }
}

fn rm_recursive_force(words: &[Word]) -> bool {
    let windows = |rest: &[Word]| any(rest, |word| word == "/s" || word == "-recurse");
    deletion(words)
        .is_some_and(|rest| any(rest, |word| is_recursive(word)) && any(rest, |word| is_forced(word)))
        || has(words, &["rd", "rmdir", "del", "remove-item", "ri"]).is_some_and(windows)
}

fn make_filesystem(words: &[Word]) -> bool {
    any(words, |word| word.name().starts_with("mkfs"))
        || has(words, &["mke2fs", "newfs", "mkswap", "mkntfs"]).is_some()
        || has(words, &["format", "format.com"]).is_some_and(|rest| any(rest, |word| is_drive(word)))
}

fn stop_machine(words: &[Word]) -> bool {
    let levels = |pair: &[Word]| match pair {
        [tool, level] => is_program(tool, &["init", "telinit"]) && matches!(&**level, "0" | "6"),
        _ => false,
    };
    has(words, &["shutdown", "halt", "reboot", "poweroff", "kexec", "stop-computer", "restart-computer"])
        .is_some()
        || words.windows(2).any(levels)
}

fn drop_data(words: &[Word]) -> bool {
    let things = ["table", "database", "schema", "collection", "keyspace", "tablespace", "owned"];
    is_near(words, "drop", &things)
        || any(words, |word| word.name() == "dropdb" || word.ends_with("dropdatabase"))
        || has(words, &["mysqladmin"]).and_then(|rest| has(rest, &["drop"])).is_some()
}

fn open_permissions(words: &[Word]) -> bool {
    let opens = |word: &Word| {
        let octal = word.len() >= 3 && word.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let everyone = word.split(',').any(|one| {
            one.split_once(['+', '='])
                .is_some_and(|(who, what)| what.contains('w') && who.contains(['a', 'o']))
        });
        (octal && word.ends_with(['2', '3', '6', '7'])) || everyone
    };
    has(words, &["chmod", "setfacl"]).is_some_and(|rest| any(rest, opens))
        || has(words, &["icacls"]).is_some_and(|rest| any(rest, |word| word.starts_with("everyone")))
}

/// Text that something made or fetched is run: `… | sh`, `sh <(curl …)`, `sh -c "$(curl …)"`, `. <(curl …)`.
fn pipe_to_interpreter(words: &[Word]) -> bool {
    let makers = ["curl", "wget", "aria2c", "iwr", "irm", "base64", "xxd"];
    let from = |place: Option<usize>| place.and_then(|place| words.get(place..)).unwrap_or_default();
    let piped = from(words.iter().position(|word| word == "|"));
    let run = from(words.iter().position(|word| is_interpreter(word) || is_program(word, &["source"])));
    let sourced = |pair: &[Word]| matches!(pair, [dot, maker] if &**dot == "." && is_program(maker, &makers));
    any(piped, is_interpreter) || has(run, &makers).is_some() || words.windows(2).any(sourced)
}

fn force_push(words: &[Word]) -> bool {
    let forces = |word: &Word| {
        let long = ["--force", "--mirror", "--delete", "--prune"].iter().any(|flag| word.starts_with(flag));
        let refspec = word.len() > 1 && word.starts_with(['+', ':']);
        long || is_flag(word, 'f') || is_flag(word, 'd') || refspec
    };
    has(words, &["git"])
        .and_then(|rest| has(rest, &["push", "send-pack"]))
        .is_some_and(|rest| any(rest, forces))
}

/// What follows a program that deletes.
fn deletion(words: &[Word]) -> Option<&[Word]> {
    has(words, &["rm", "remove-item", "unlink", "srm"])
}

fn docker(words: &[Word]) -> Option<&[Word]> {
    has(words, &["docker", "podman", "nerdctl", "docker-compose", "podman-compose"])
}

fn is_recursive(word: &str) -> bool {
    is_rm_flag(word, 'r', "recursive")
}

fn is_forced(word: &str) -> bool {
    is_rm_flag(word, 'f', "force")
}

/// A flag of rm, alone or among others, or any beginning of the long one.
fn is_rm_flag(word: &str, short: char, long: &str) -> bool {
    match word.strip_prefix("--") {
        Some(begun) => !begun.is_empty() && long.starts_with(begun),
        None => word.strip_prefix('-').is_some_and(|flags| {
            flags.contains(short) && flags.chars().all(|flag| "dfinprvwx".contains(flag))
        }),
    }
}

/// A short flag, alone or among others.
fn is_flag(word: &str, flag: char) -> bool {
    word.strip_prefix('-').is_some_and(|flags| {
        flags.contains(flag) && flags.len() <= 5 && flags.bytes().all(|letter| letter.is_ascii_alphabetic())
    })
}

fn is_interpreter(word: &Word) -> bool {
    let name = word.name();
    let versions = ["python", "perl", "ruby", "lua", "php", "node"];
    let version = |rest: &str| rest.bytes().all(|letter| matches!(letter, b'0'..=b'9' | b'.'));
    let shells =
        ["sh", "bash", "zsh", "dash", "ash", "ksh", "fish", "csh", "tcsh", "pwsh", "powershell", "cmd"];
    is_program(word, &shells)
        || is_program(word, &["deno", "bun", "osascript", "psql", "mysql", "sqlite3"])
        || versions.iter().any(|stem| name.strip_prefix(stem).is_some_and(version))
}

fn is_block_device(word: &str) -> bool {
    let kinds = ["sd", "hd", "vd", "xvd", "nvme", "mmcblk", "disk", "rdisk", "mapper/", "md", "dm-"];
    word.split_once("/dev/").is_some_and(|(_, name)| kinds.iter().any(|kind| name.starts_with(kind)))
}

fn is_drive(word: &str) -> bool {
    matches!(word.as_bytes(), [b'a'..=b'z', b':', ..])
}

/// What follows the first of these programs.
fn has<'a>(words: &'a [Word], programs: &[&str]) -> Option<&'a [Word]> {
    let at = words.iter().position(|word| is_program(word, programs))?;
    words.get(at + 1..)
}

/// Whether one of these follows soon: what a line or a comment parts is one statement all the same.
fn is_near(words: &[Word], verb: &str, things: &[&str]) -> bool {
    const SOON: usize = 8;
    let places = words.iter().enumerate().filter(|(_, word)| is_program(word, &[verb]));
    places
        .into_iter()
        .any(|(at, _)| words.iter().skip(at + 1).take(SOON).any(|word| is_program(word, things)))
}

fn any(words: &[Word], is: impl Fn(&Word) -> bool) -> bool {
    words.iter().any(is)
}

/// Whether a word is one of these programs, wherever it is, or a pattern of files that it may come out of.
fn is_program(word: &Word, programs: &[&str]) -> bool {
    let name = word.name();
    programs.contains(&name)
        || (name.contains(['?', '*'])
            && is_in_bin(word)
            && programs.iter().any(|program| is_like(name, program)))
}

/// Whether the folder is, or may be, one of programs. Elsewhere `s*` is any file.
fn is_in_bin(word: &str) -> bool {
    let folder = word.trim_end_matches('/').rsplit('/').nth(1).unwrap_or_default();
    !folder.is_empty() && (is_like(folder, "bin") || is_like(folder, "sbin"))
}

/// Whether a pattern of a shell, in which something is written out, matches a name.
fn is_like(pattern: &str, name: &str) -> bool {
    pattern.contains(|letter| letter != '*' && letter != '?') && is_match(pattern.as_bytes(), name.as_bytes())
}

/// `*` and `?`. Names are short: one place to go back to is enough.
fn is_match(mut pattern: &[u8], mut name: &[u8]) -> bool {
    let mut back: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, name) {
            ([b'*', rest @ ..], _) => {
                back = Some((rest, name));
                pattern = rest;
            }
            ([], []) => return true,
            ([one, rest @ ..], [letter, behind @ ..]) if *one == b'?' || one == letter => {
                (pattern, name) = (rest, behind);
            }
            _ => match back {
                Some((rest, [_, behind @ ..])) => {
                    back = Some((rest, behind));
                    (pattern, name) = (rest, behind);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_files_is_a_program_where_programs_are() {
        for word in ["/bin/r?", "/usr/bin/*m", "/b?n/r*", "/sbin/rm"] {
            assert!(is_program(&Word::of(word.to_owned()), &["rm"]), "{word}");
        }
        for word in ["src/r*", "*", "r*", "/bin/*", "/tmp/??", "rms", "/bin/a*"] {
            assert!(!is_program(&Word::of(word.to_owned()), &["rm"]), "{word}");
        }
        assert!(is_match(b"a*b*c", b"axxbxxbc") && !is_match(b"a*b*c", b"axxc") && is_match(b"**", b""));
    }
}
