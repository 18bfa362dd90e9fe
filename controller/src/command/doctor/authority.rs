//! The CA: its key and certificate, how long it is valid, and whether the clients' bundle holds it.

use super::Finding;
use crate::instance::now;
use hudson_proxy::tls::CertificateAuthority;
use hudson_schema::home::Home;

const CHECK: &str = "CA";
/// How long before its end a warning is given, in seconds.
const SOON: i64 = 30 * 24 * 3600;

/// Looks at it.
pub(super) fn look(home: &Home) -> Vec<Finding> {
    if !home.ca_key().exists() && !home.ca_certificate().exists() {
        let found = "there is none yet; `hudson run`, `hudson up` and `hudson ca path` make it";
        return vec![Finding::ok(CHECK, found)];
    }
    let authority = match CertificateAuthority::read(home) {
        Ok(authority) => authority,
        Err(error) => {
            let fix = "mend what is named; `hudson ca rotate` makes a new CA, which bottles trust once they are \
                       started anew";
            return vec![Finding::failed(CHECK, error.to_string(), fix)];
        }
    };
    let valid = match authority.validity() {
        Ok((from, to)) => validity(from, to, now() / 1000),
        Err(error) => Finding::failed(CHECK, error.to_string(), "`hudson ca rotate` makes a new CA"),
    };
    let bundle = std::fs::read(home.ca_bundle()).unwrap_or_default();
    vec![valid, judge_bundle(home, &bundle, authority.certificate_pem())]
}

fn validity(from: i64, to: i64, now: i64) -> Finding {
    let rotate = "`hudson ca rotate` makes a new one; start `hudson up` and the bottles anew after it";
    let day = |seconds: i64| crate::command::output::instant(seconds.saturating_mul(1000));
    match now {
        now if now < from => Finding::failed(
            CHECK,
            format!("the certificate is valid from {} on, which is in the future", day(from)),
            "set this machine's clock",
        ),
        now if now >= to => Finding::failed(CHECK, format!("the certificate ended at {}", day(to)), rotate),
        now if to - now < SOON => {
            Finding::warning(CHECK, format!("the certificate ends at {}", day(to)), rotate)
        }
        _ => Finding::ok(CHECK, format!("key and certificate belong together, valid until {}", day(to))),
    }
}

fn judge_bundle(home: &Home, bundle: &[u8], certificate: &str) -> Finding {
    let path = home.ca_bundle();
    let place = path.display();
    let roots = String::from_utf8_lossy(bundle).matches("-----BEGIN CERTIFICATE-----").count();
    if !bundle.ends_with(certificate.as_bytes()) {
        let found = format!("{place} does not hold this CA");
        return Finding::failed(CHECK, found, "`hudson ca path` writes it anew");
    }
    match roots.saturating_sub(1) {
        0 => Finding::warning(
            CHECK,
            format!("{place} holds no other root, so bottles trust nothing in opaque tunnels"),
            format!(
                "install the system's roots (Debian: ca-certificates), then `rm {place}; hudson ca path`"
            ),
        ),
        roots => Finding::ok(CHECK, format!("{place} holds it and {roots} roots of the system")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_ca_ends_and_is_announced_before() {
        let at = |now| validity(1_000, 1_000 + 10 * SOON, now).state;
        assert_eq!(
            [at(0), at(1_000), at(1_001 + 9 * SOON), at(1_000 + 10 * SOON)],
            [State::Failed, State::Ok, State::Warning, State::Failed]
        );
    }

    #[test]
    fn the_bundle_holds_the_present_ca() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert_eq!(look(&home).first().unwrap().state, State::Ok);
        CertificateAuthority::open(&home).unwrap();
        assert!(look(&home).iter().all(|finding| finding.state != State::Failed));
        let old = std::fs::read(home.ca_bundle()).unwrap();
        CertificateAuthority::rotate(&home).unwrap();
        std::fs::write(home.ca_bundle(), old).unwrap();
        let stale = look(&home);
        assert!(stale.iter().any(|finding| finding.state == State::Failed), "{stale:?}");
        std::fs::write(home.ca_certificate(), "words").unwrap();
        assert_eq!(look(&home).first().unwrap().state, State::Failed);
    }
}
