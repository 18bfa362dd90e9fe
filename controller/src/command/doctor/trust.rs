//! The clients' trust: each one that is installed is started once with a bottle's environment, and what arrives inside
//! TLS at a proxy of our own proves that it trusts the CA.
//!
//! Invariants: a client gets a home of its own and no credential but dummies; it ends, with all that it has started,
//! when it is judged; all it reaches by the proxy is the [`Witness`].

mod client;
mod witness;

use super::{Finding, Scratch};
use anyhow::Result;
use client::{CLIENTS, Client};
use futures_util::StreamExt;
use std::io::IsTerminal;
use witness::{Seen, Witness};

const CHECK: &str = "trust";
/// Clients that are started at the same time.
const AT_ONCE: usize = 3;

/// Looks at every client in `PATH`, and tells of each in their order.
pub(super) async fn look(scratch: &Scratch, mut tell: impl AsyncFnMut(Finding) -> Result<()>) -> Result<()> {
    if !scratch.own {
        let found = "with a CA made for this look, as this home has none that can be used yet:";
        tell(Finding::ok(CHECK, found)).await?;
    }
    if std::io::stderr().is_terminal() {
        eprintln!(
            "hudson: starting the clients that are installed; each has {} s",
            client::PATIENCE.as_secs()
        );
    }
    let witness = Witness::start(&scratch.home).await?;
    let looked = CLIENTS.iter().map(|client| client.try_out(scratch, &witness));
    let mut looked = futures_util::stream::iter(looked).buffered(AT_ONCE);
    while let Some(outcome) = looked.next().await {
        if let Some(finding) = outcome? {
            tell(finding).await?;
        }
    }
    Ok(())
}

/// What a client's try came to.
struct Tried {
    /// Where the program is.
    program: String,
    seen: Seen,
    /// The last line that it printed.
    said: String,
}

fn judge(client: &Client, tried: Tried) -> Finding {
    let Tried { program, seen, said } = tried;
    let (name, variable) = (client.name, client.variable);
    let last = if said.is_empty() { String::new() } else { format!("; it says: {said}") };
    match seen {
        Seen::Request => Finding::ok(CHECK, format!("{name} ({program}) trusts the CA, by {variable}")),
        Seen::Tunnel(fault) => {
            let found = format!("{name} ({program}) does not trust the CA{fault}{last}");
            match client.remedy {
                Some(remedy) => Finding::warning(CHECK, found, remedy),
                None => Finding::failed(
                    CHECK,
                    found,
                    format!("look for a configuration of the machine that overrides {variable}, or update {name}"),
                ),
            }
        }
        Seen::Nothing => Finding::warning(
            CHECK,
            format!("{name} ({program}) did not come by the proxy{last}"),
            client.detour.unwrap_or(
                "in an isolated bottle it reaches nothing; look for a configuration that overrides HTTPS_PROXY",
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use hudson_proxy::tls::CertificateAuthority;
    use hudson_schema::home::Home;

    fn curl() -> &'static Client {
        CLIENTS.iter().find(|client| client.name == "curl").unwrap()
    }

    async fn tried(home: &Home) -> Option<Finding> {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch { folder, home: home.clone(), own: true };
        let witness = Witness::start(home).await.unwrap();
        curl().try_out(&scratch, &witness).await.unwrap()
    }

    #[tokio::test]
    async fn a_real_client_is_trusted_by_the_bundle_and_not_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        CertificateAuthority::open(&home).unwrap();
        let well = tried(&home).await.unwrap();
        assert!(well.state == State::Ok && well.found.contains("CURL_CA_BUNDLE"), "{well:?}");
        let other = tempfile::tempdir().unwrap();
        let other = Home::new(other.path());
        CertificateAuthority::open(&other).unwrap();
        std::fs::copy(other.ca_bundle(), home.ca_bundle()).unwrap();
        let ill = tried(&home).await.unwrap();
        assert!(ill.state == State::Failed && ill.found.contains("does not trust"), "{ill:?}");
    }

    #[test]
    fn what_passes_the_proxy_by_is_no_failure_of_the_ca() {
        let tried = |seen| Tried { program: "/bin/curl".to_owned(), seen, said: "no route".to_owned() };
        let passed = judge(curl(), tried(Seen::Nothing));
        assert!(passed.state == State::Warning && passed.found.ends_with("it says: no route"), "{passed:?}");
        let refused = judge(curl(), tried(Seen::Tunnel(" (unknown ca)".to_owned())));
        assert_eq!(refused.state, State::Failed);
    }
}
