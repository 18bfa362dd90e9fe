//! A run's table of the host's packet filter: from its network's interface, the proxy's listener is all that is reached.
//!
//! Invariant: a table is put in place as a whole or not at all, and taken away after the interface that it closes.

use super::name;
use anyhow::{Context, Result, bail};
use hudson_schema::home::Home;
use std::net::SocketAddrV4;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long the packet filter may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Where the program is on hosts whose PATH does not lead there.
const PATHS: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// Ends with an error where this process may not use the packet filter; the error says why.
pub async fn probe() -> Result<()> {
    nft(&["list", "tables"], "").await.map(drop)
}

/// Closes an interface but for one listener; what was in place for it before is replaced in the same step.
pub async fn close(table: &str, bridge: &str, listener: SocketAddrV4) -> Result<()> {
    nft(&["-f", "-"], &rules(table, bridge, listener)).await.map(drop)
}

/// Whether a table is in place.
pub async fn is_closed(table: &str) -> Result<bool> {
    Ok(tables().await?.iter().any(|name| name == table))
}

/// Takes a table away; one that is not there is no error.
pub async fn open(table: &str) -> Result<()> {
    // Declared first, as taking away what is not there is refused.
    nft(&["-f", "-"], &format!("add table inet {table}\ndelete table inet {table}\n")).await.map(drop)
}

/// The tables of a home's runs.
pub(super) async fn of_home(home: &Home) -> Result<Vec<String>> {
    let prefix = name::table_prefix(home);
    Ok(tables().await?.into_iter().filter(|name| name.starts_with(&prefix)).collect())
}

async fn tables() -> Result<Vec<String>> {
    let listed = nft(&["list", "tables"], "").await?;
    Ok(listed
        .lines()
        .filter_map(|line| line.strip_prefix("table inet "))
        .map(|name| name.trim().to_owned())
        .collect())
}

/// What the packet filter is told. Input is what ends at the host, forward what goes through it; both of any protocol
/// above the link, IPv6 too. Answers to what the host asks of a container are dropped with the rest: the host has nothing
/// to ask. No other container and no other machine reaches the listener that is the bottle's own.
fn rules(table: &str, bridge: &str, listener: SocketAddrV4) -> String {
    let (address, port) = (listener.ip(), listener.port());
    format!(
        "add table inet {table}\n\
         delete table inet {table}\n\
         table inet {table} {{\n\
         \tchain input {{\n\
         \t\ttype filter hook input priority -10; policy accept;\n\
         \t\tiifname \"{bridge}\" ip daddr {address} tcp dport {port} accept\n\
         \t\tiifname \"{bridge}\" drop\n\
         \t\tiifname != \"lo\" ip daddr {address} tcp dport {port} drop\n\
         \t}}\n\
         \tchain forward {{\n\
         \t\ttype filter hook forward priority -10; policy accept;\n\
         \t\tiifname \"{bridge}\" drop\n\
         \t\toifname \"{bridge}\" drop\n\
         \t}}\n\
         }}\n"
    )
}

async fn nft(arguments: &[&str], script: &str) -> Result<String> {
    let mut child = Command::new("nft")
        .args(arguments)
        .env_clear()
        .env("PATH", PATHS)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("the packet filter's program nft (the package nftables) cannot be started")?;
    let mut input = child.stdin.take().context("nft takes no input")?;
    let told = async {
        // A program that ends early says why on its standard error.
        let _ = input.write_all(script.as_bytes()).await;
        drop(input);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, told)
        .await
        .with_context(|| format!("nft did not end within {} s", LIMIT.as_secs()))?
        .context("waiting for nft")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it does not say why").trim();
    match said.contains("Operation not permitted") {
        true => bail!(
            "nft may not change the packet filter ({said}); that takes root, or the capability NET_ADMIN"
        ),
        false => bail!("nft: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_is_let_through_before_the_rest_is_dropped() {
        let text = rules("hudson_x", "hb-0123456789", "10.9.8.1:4711".parse().unwrap());
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}"));
        let through = place("iifname \"hb-0123456789\" ip daddr 10.9.8.1 tcp dport 4711 accept");
        let dropped = place("iifname \"hb-0123456789\" drop");
        assert!(through < dropped && dropped < place("hook forward"));
        assert!(place("hook forward") < place("oifname \"hb-0123456789\" drop"));
        assert!(place("delete table inet hudson_x") < place("table inet hudson_x {"));
    }
}
