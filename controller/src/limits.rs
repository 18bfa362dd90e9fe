//! What the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one: a tunnel takes two, and the usual 1024 are kept that low for
/// programs that use select(2), which this is not.
///
/// What this process starts inherits it, so `hudson run` raises it after it has started its command.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where the system refuses, the old limit stands, and tunnels past it are refused as they come.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
