//! What the proxy listens on: TCP addresses and Unix sockets.
//!
//! Invariants: an address that is listened on is never dialled; a Unix socket never has wider permissions than it was
//! asked to have, takes the place of another only when nobody listens there any more, and is gone when its listener is.

use hudson_schema::config::ListenAddress;
use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that wait to be accepted; the kernel lowers it to its own limit.
const BACKLOG: i32 = 1024;

/// The TCP addresses that Hudson itself listens on at this moment; never dialled, whatever a route allows.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners(Arc<Mutex<Vec<SocketAddr>>>);

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    address: ListenAddress,
    /// Those among which its address is; `None` where that is an address of another network namespace.
    own: Option<OwnListeners>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// A connection that was accepted.
pub(crate) enum Accepted {
    Tcp(TcpStream, Peer),
    Unix(UnixStream, Peer),
}

/// Where a connection comes from, as far as connections are counted by it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Peer {
    /// An IPv4 address, or the first 64 bits of one of IPv6, which are one host's to choose the rest of.
    Address(IpAddr),
    /// A process of this user, through a Unix socket.
    User(u32),
}

impl Listener {
    /// Binds an address, which is among `own` from then on until the listener is dropped. Errors name what stands in
    /// the way.
    pub async fn bind(address: &ListenAddress, own: &OwnListeners) -> io::Result<Self> {
        let (kind, address) = match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                own.add(address);
                (Kind::Tcp(listener), ListenAddress::Tcp(address))
            }
            ListenAddress::Unix { path, mode } => {
                let (listener, file) = bind_unix(path, *mode)?;
                (Kind::Unix { listener, _file: file }, address.clone())
            }
        };
        Ok(Self { kind, address, own: Some(own.clone()) })
    }

    /// A socket that listens already, in this network namespace.
    pub fn here(listener: std::net::TcpListener, own: &OwnListeners) -> io::Result<Self> {
        let bound = listener.local_addr()?;
        let mut listener = Self::elsewhere(listener)?;
        own.add(bound);
        listener.own = Some(own.clone());
        Ok(listener)
    }

    /// A socket that listens already, in another network namespace: what has its address in this one is somebody else's.
    pub fn elsewhere(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = ListenAddress::Tcp(listener.local_addr()?);
        Ok(Self { kind: Kind::Tcp(TcpListener::from_std(listener)?), address, own: None })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, Peer::of(address.ip())))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred()?.uid();
                Ok(Accepted::Unix(stream, Peer::User(user)))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let (Some(own), Some(address)) = (&self.own, self.address.tcp()) {
            own.remove(address);
        }
    }
}

impl OwnListeners {
    /// This address is listened on from now on.
    pub fn add(&self, address: SocketAddr) {
        self.lock().push(address);
    }

    /// It is listened on no more.
    pub fn remove(&self, address: SocketAddr) {
        self.lock().retain(|own| *own != address);
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<SocketAddr> {
        self.lock().clone()
    }

    // A std mutex: never held over an await.
    fn lock(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) => {
                let network = ip.to_bits() & !u128::from(u64::MAX);
                Self::Address(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            ip => Self::Address(ip),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(ip @ IpAddr::V6(_)) => write!(f, "{ip}/64"),
            Self::Address(ip) => ip.fmt(f),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

/// The file of a socket; removed with its listener, unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // What cannot be removed is found stale by the next who binds it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds under another name in the same folder and moves it into place when it listens with its mode: there is no
/// moment in which the path has wider permissions, or looks as if nobody listened.
fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

    refuse_occupied(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let fresh = beside(path);
    bind(&socket, &SocketAddrUnix::new(&fresh)?)?;
    let mut file = SocketFile { identity: SocketFile::identity(&fresh)?, path: fresh };
    fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
    listen(&socket, BACKLOG)?;
    fs::rename(&file.path, path)?;
    file.path = path.to_owned();
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// A name in the same folder that nobody else uses. Short: the path of a socket has 107 bytes.
fn beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{:x}.{number:x}", std::process::id()))
}

/// A socket that nobody listens on may be replaced; anything else stays and is an error.
fn refuse_occupied(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let occupied = |what: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, what.to_owned()));
    if !metadata.file_type().is_socket() {
        return occupied("a file that is no socket is there");
    }
    match BlockingUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => occupied("another process listens there"),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(path: &Path, mode: u32) -> ListenAddress {
        ListenAddress::Unix { path: path.to_owned(), mode }
    }

    async fn bind(address: &ListenAddress) -> io::Result<Listener> {
        Listener::bind(address, &OwnListeners::default()).await
    }

    #[tokio::test]
    async fn an_address_is_own_for_as_long_as_it_is_listened_on() {
        let own = OwnListeners::default();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), &own).await.unwrap();
        assert_eq!(own.all(), [listener.address().tcp().unwrap()]);
        drop(listener);
        assert_eq!(own.all(), []);
    }

    #[tokio::test]
    async fn an_address_of_another_network_is_nobodys_here() {
        let own = OwnListeners::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        own.add(address);
        drop(Listener::elsewhere(listener).unwrap());
        assert_eq!(own.all(), [address]);
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.sock");
        for mode in [0o600, 0o660, 0o666] {
            let listener = bind(&address(&path, mode)).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn only_a_stale_socket_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.sock");
        let error = |result: io::Result<Listener>| result.unwrap_err().to_string();
        let living = bind(&address(&path, 0o600)).await.unwrap();
        assert!(error(bind(&address(&path, 0o600)).await).contains("another process"));
        drop(living);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a stale socket is left behind");
        let listener = bind(&address(&path, 0o600)).await.unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(listener);
        assert!(error(bind(&address(&path, 0o600)).await).contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn one_host_is_one_peer() {
        let peer = |text: &str| Peer::of(text.parse().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    }
}
