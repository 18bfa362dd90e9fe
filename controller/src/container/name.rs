//! What is made for a run is named after it, so that it can be found before it exists and after its maker has died.

use hudson_schema::RunId;
use hudson_schema::home::Home;
use sha2::{Digest, Sha256};

/// The names of all that a run in a container has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    /// The container and its network.
    pub container: String,
    /// The network's interface on the host; fifteen characters are the most that one can have.
    pub bridge: String,
    /// The packet filter's table.
    pub table: String,
}

impl Names {
    /// A run's, in a home.
    pub fn of(home: &Home, run: &RunId) -> Self {
        let plain: String = run.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
        // The end of a run's id is what is random in it; the beginning is the time.
        let end = plain.len().saturating_sub(10);
        let short = plain.get(end..).unwrap_or(&plain).to_ascii_lowercase();
        Self {
            container: format!("hudson-{run}"),
            bridge: format!("hb-{short}"),
            table: format!("{}{plain}", table_prefix(home)),
        }
    }
}

/// How the names of a home's tables begin: another home's are none of its business.
pub(super) fn table_prefix(home: &Home) -> String {
    let digest = Sha256::digest(home.path().as_os_str().as_encoded_bytes());
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("hudson_{short}_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_runs_own_and_fit() {
        let home = Home::new("/home/somebody/.bot-bottle");
        let names = Names::of(&home, &"0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap());
        assert_eq!(names.container, "hudson-0192f0c1-2345-7abc-8def-0123456789ab");
        assert_eq!(names.bridge, "hb-23456789ab");
        assert!(names.bridge.len() <= 15);
        assert!(names.table.ends_with("_0192f0c123457abc8def0123456789ab"), "{}", names.table);
        assert_ne!(
            names.table,
            Names::of(&Home::new("/elsewhere"), &"0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap())
                .table
        );
        assert_eq!(Names::of(&home, &"short".parse().unwrap()).bridge, "hb-short");
    }
}
