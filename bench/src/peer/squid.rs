//! Squid with ssl_bump, in the foreground: it peeks at the hello, connects to the upstream, and ends TLS on both sides.
//!
//! It is told the upstream's addresses by a hosts file, which has no ports, so CONNECT names the upstream's own port.

use super::Site;
use super::program::{find, write_bundle};
use crate::authority::Authority;
use crate::client::{Port, Way};
use crate::files;
use crate::process::Process;
use anyhow::{Context as _, Result, ensure};
use nix::unistd::{Uid, User};
use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Squid's helper that signs leaves, as Debian installs it.
const SIGNER: &str = "/usr/lib/squid/security_file_certgen";
/// Squid refuses to stay root, and becomes this user of Debian's.
const USER: &str = "proxy";
/// How long a look at its port may take.
const LOOK: Duration = Duration::from_millis(100);

/// The one that is installed; Squid without its signer cannot intercept.
pub(super) fn program() -> Option<PathBuf> {
    find("SQUID", "squid").filter(|_| Path::new(SIGNER).exists())
}

/// Starts it.
pub(super) fn start(site: &Site<'_>, scratch: &Path) -> Result<(Process, Way)> {
    let program = program().context("Squid is not installed")?;
    let user = if Uid::effective().is_root() {
        Some(
            User::from_name(USER)?
                .with_context(|| format!("Squid runs as {USER}, and there is no such user"))?,
        )
    } else {
        None
    };
    // Whoever Squid becomes has to get through to its own files.
    fs::set_permissions(site.scratch, Permissions::from_mode(0o711))?;
    fs::create_dir_all(scratch).with_context(|| format!("making {}", scratch.display()))?;
    if let Some(user) = &user {
        chown(scratch, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    let authority = Authority::generate("Hudson benchmark Squid")?;
    let ca_file = scratch.join("ca.pem");
    fs::write(&ca_file, format!("{}{}", authority.ca_pem, authority.key_pem))?;
    write_bundle(site.origin, &scratch.join("upstream.pem"))?;
    let hosts = site.origin.hosts.iter().map(|(name, address)| format!("{} {name}\n", address.ip()));
    fs::write(scratch.join("hosts"), hosts.collect::<String>())?;
    make_certificate_store(scratch, user.as_ref())?;

    let address = free_address()?;
    let configuration = scratch.join("squid.conf");
    fs::write(&configuration, configured(scratch, address))?;
    let mut command = Command::new(program);
    command.arg("-N").arg("-f").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null());
    let log = scratch.join("log");
    command.stderr(File::create(&log)?);
    let listens = || TcpStream::connect_timeout(&address, LOOK).is_ok();
    let started = Process::start_until("squid", &mut command, &site.cpus.peer, listens);
    let process = started.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    Ok((process, Way::open(address, Port::Own, &ca_file)?))
}

fn configured(scratch: &Path, address: SocketAddr) -> String {
    let (scratch, files) = (scratch.display(), files::limit());
    format!(
        "http_port {address} ssl-bump tls-cert={scratch}/ca.pem generate-host-certificates=on \
         dynamic_cert_mem_cache_size=4MB\n\
         sslcrtd_program {SIGNER} -s {scratch}/certificates -M 4MB\n\
         sslcrtd_children 1\n\
         acl hello at_step SslBump1\n\
         ssl_bump peek hello\n\
         ssl_bump bump all\n\
         tls_outgoing_options cafile={scratch}/upstream.pem\n\
         hosts_file {scratch}/hosts\n\
         http_access allow all\n\
         cache deny all\n\
         cache_mem 0\n\
         max_filedescriptors {files}\n\
         client_idle_pconn_timeout 1 hour\n\
         server_idle_pconn_timeout 1 hour\n\
         shutdown_lifetime 0 seconds\n\
         pinger_enable off\n\
         access_log none\n\
         cache_log {scratch}/cache.log\n\
         pid_filename {scratch}/squid.pid\n\
         coredump_dir {scratch}\n\
         visible_hostname squid.example.com\n"
    )
}

/// Where the helper keeps its leaves; it must belong to whom Squid becomes.
fn make_certificate_store(scratch: &Path, user: Option<&User>) -> Result<()> {
    let mut command = Command::new(SIGNER);
    command.arg("-c").arg("-s").arg(scratch.join("certificates")).args(["-M", "4MB"]);
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let output = command.output().with_context(|| format!("starting {SIGNER}"))?;
    ensure!(output.status.success(), "{SIGNER}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// An address that was free a moment ago: Squid cannot be asked to take any.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
