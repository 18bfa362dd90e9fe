//! Where `hudson up` listens: whether one runs and answers, and whether somebody else has taken its place.

use super::Finding;
use crate::control;
use hudson_schema::config::{ListenAddress, load_settings};
use hudson_schema::home::Home;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

const CHECK: &str = "listeners";

/// Looks at them.
pub(super) async fn look(home: &Home) -> Vec<Finding> {
    match control::status(home).await {
        Ok(Some(up)) => {
            let addresses: Vec<String> = up.addresses.iter().map(ToString::to_string).collect();
            let found = format!("`hudson up` is process {} and listens on {}", up.pid, addresses.join(", "));
            let mut findings = vec![Finding::ok(CHECK, found)];
            let fix = "mend the file: it is taken over at once";
            findings.extend(up.configuration_fault.map(|fault| Finding::failed(CHECK, fault, fix)));
            findings
        }
        Ok(None) => {
            let settings = load_settings(&home.settings()).unwrap_or_default();
            settings.proxy.listen.iter().map(free).collect()
        }
        Err(error) => {
            let fix = "continue the process (`kill -CONT`), or end it and start `hudson up` anew";
            vec![Finding::failed(CHECK, format!("{error:#}"), fix)]
        }
    }
}

/// Whether `hudson up` could listen there.
fn free(address: &ListenAddress) -> Finding {
    match address {
        ListenAddress::Tcp(address) => free_port(*address),
        ListenAddress::Unix { path, .. } => free_socket(path),
    }
}

fn free_port(address: SocketAddr) -> Finding {
    let port = address.port();
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(CHECK, format!("`hudson up` does not run, and {address} is free for it")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::failed(
            CHECK,
            format!("{address} is taken by another program"),
            format!(
                "see which with `ss -ltnp 'sport = :{port}'` and end it, or have `hudson up` listen elsewhere \
                 (`proxy.listen` in settings.yml, or --listen)"
            ),
        ),
        Err(error) => Finding::failed(
            CHECK,
            format!("{address}: {error}"),
            "name an address of this machine and a port that this user may use in `proxy.listen`",
        ),
    }
}

fn free_socket(path: &Path) -> Finding {
    let place = path.display();
    match (UnixStream::connect(path), path.parent().is_some_and(Path::is_dir)) {
        (Ok(_), _) => Finding::failed(
            CHECK,
            format!("{place} is taken by another program"),
            "end it, or name another socket in `proxy.listen`",
        ),
        (Err(_), false) => {
            Finding::failed(CHECK, format!("the folder of {place} is missing"), "make it, for this user")
        }
        (Err(_), true) => Finding::ok(CHECK, format!("`hudson up` does not run, and {place} is free for it")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_place_that_is_taken_is_found() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(free_port(address).state, State::Failed);
        drop(taken);
        assert_eq!(free_port(address).state, State::Ok);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert_eq!(free_socket(&path).state, State::Ok);
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(free_socket(&path).state, State::Failed);
        assert_eq!(free_socket(&folder.path().join("none/socket")).state, State::Failed);
    }
}
