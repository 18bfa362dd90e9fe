//! Which process is at the other end of a connection from this host: one in a bottle decides nothing, whatever token it
//! has come by.
//!
//! Invariant: a process of this user that cannot be found is taken for one in a bottle; one of another user is none of
//! this Hudson's bottles.

use crate::approvals::place;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

/// The kernel's tables of TCP sockets.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// Refuses a connection from inside of a bottle.
pub(super) fn refuse_bottle(peer: SocketAddr, bound: SocketAddr) -> Result<()> {
    let socket = find(peer, bound)?.context("who is connected has gone")?;
    if socket.user != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let holders = holders(socket.inode)?;
    if holders.is_empty() {
        bail!("no process holds the connection, so that it cannot be told from one in a bottle");
    }
    holders.into_iter().try_for_each(place::refuse_bottle)
}

struct Socket {
    user: u32,
    inode: u64,
}

/// The peer's end of the connection, in the tables.
fn find(peer: SocketAddr, bound: SocketAddr) -> Result<Option<Socket>> {
    let ends = [plain(peer), plain(bound)];
    for table in TABLES {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            // A kernel without IPv6 has one table.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context(table),
        };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, remote, _, _, _, _, user, _, inode, ..] = fields.as_slice() else { continue };
            if [local, remote].map(|end| address(end)) == ends.map(Some) {
                let (user, inode) = (user.parse().context(table)?, inode.parse().context(table)?);
                return Ok(Some(Socket { user, inode }));
            }
        }
    }
    Ok(None)
}

/// The processes that hold a socket.
fn holders(inode: u64) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // Of another user's process the files cannot be read; of one that ends meanwhile neither.
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = files.flatten().any(|file| {
            fs::metadata(file.path()).is_ok_and(|about| about.ino() == inode) && {
                let target = fs::read_link(file.path()).unwrap_or_default();
                target.to_string_lossy() == format!("socket:[{inode}]")
            }
        });
        if holds {
            found.push(pid);
        }
    }
    Ok(found)
}

/// An address in one form, whichever table it is in.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address as the tables have it: `0100007F:1770`, each word of four bytes in the order of this machine.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(ip)?)),
        32 => {
            let mut bytes = [0; 16];
            for (place, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(ip.get(8 * place..8 * place + 8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(plain(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the test is the client")]
    fn the_process_at_the_other_end_is_found() {
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(own) else { continue };
            let bound = listener.local_addr().unwrap();
            let client = std::net::TcpStream::connect(bound).unwrap();
            let peer = client.local_addr().unwrap();
            let socket = find(peer, bound).unwrap().expect("it is in the tables");
            assert_eq!(socket.user, rustix::process::geteuid().as_raw());
            let process = i32::try_from(std::process::id()).unwrap();
            assert_eq!(holders(socket.inode).unwrap(), [process], "{own}");
            // Another connection is not this one.
            assert!(find(bound, SocketAddr::new(peer.ip(), 1)).unwrap().is_none());
        }
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        if cfg!(target_endian = "little") {
            assert_eq!(address("0100007F:1770"), Some("127.0.0.1:6000".parse().unwrap()));
            let mapped = "0000000000000000FFFF00000100007F:1770";
            assert_eq!(address(mapped), Some("127.0.0.1:6000".parse().unwrap()));
            assert_eq!(address("00000000000000000000000001000000:0050"), Some("[::1]:80".parse().unwrap()));
        }
        for bad in ["", "0100007F", "0100007G:1770", "01:1770"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
