//! How credentials are shown: where they go and where they come from. Never a value.

use hudson_schema::config::{Credential, Source};
use serde_json::{Value, json};

/// For programs.
pub(super) fn object(credential: &Credential) -> Value {
    let from = match credential.source() {
        Source::Env(name) => json!({"env": name}),
        Source::File(path) => json!({"file": path}),
        // Arguments may hold what should not be shown: the program's name tells which one it is.
        Source::Command(argv) => json!({"command": argv.first()}),
    };
    match credential {
        Credential::Header { name, .. } => json!({"header": name, "from": from}),
        Credential::Query { name, .. } => json!({"query": name, "from": from}),
        Credential::Basic { username, .. } => json!({"basic": username, "from": from}),
        Credential::AwsSigv4 { region, service, .. } => {
            json!({"aws_sigv4": {"region": region, "service": service}, "from": from})
        }
    }
}

/// For people.
pub(super) fn words(credential: &Credential) -> String {
    let place = match credential {
        Credential::Header { name, .. } => format!("header {name}"),
        Credential::Query { name, .. } => format!("query parameter {name}"),
        Credential::Basic { username, .. } => format!("basic authentication as {username}"),
        Credential::AwsSigv4 { region, service, .. } => format!("AWS signature for {service} in {region}"),
    };
    let from = match credential.source() {
        Source::Env(name) => format!("the variable {name}"),
        Source::File(path) => path.display().to_string(),
        Source::Command(argv) => format!("the command {}", argv.first().map_or("", String::as_str)),
    };
    format!("{place} from {from}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_its_arguments() {
        let from = Source::Command(vec!["vault".to_owned(), "token=s3cret".to_owned()]);
        let credential = Credential::Header { name: "x-key".to_owned(), prefix: None, from };
        assert_eq!(words(&credential), "header x-key from the command vault");
        assert_eq!(object(&credential), json!({"header": "x-key", "from": {"command": "vault"}}));
    }
}
