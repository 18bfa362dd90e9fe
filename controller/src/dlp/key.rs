//! The key of the hashes by which findings are told apart: made once for a home.
//!
//! Invariant: whoever finds the file finds all of it, and of processes that make it at the same time one wins. It is never
//! replaced: hashes in reports and suppressions are of the key that was there first.

use anyhow::{Context, Result};
use hudson_dlp::HashKey;
use hudson_schema::config::{ConfigError, Problem};
use hudson_schema::home::Home;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;

/// Bytes of a key.
const LENGTH: usize = 32;

/// The home's key, made where there is none.
pub(super) fn of(home: &Home) -> Result<HashKey> {
    if let Some(key) = existing(home)? {
        return Ok(key);
    }
    make(home)?;
    existing(home)?.with_context(|| format!("{}: was removed while it was made", home.dlp_key().display()))
}

/// The home's key, if there is one.
pub(super) fn existing(home: &Home) -> Result<Option<HashKey>, ConfigError> {
    let path = home.dlp_key();
    let wrong = |what: String| Err(ConfigError::one(Problem::in_file(&path, 0, what)));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return wrong(format!("the key of the findings' hashes cannot be read: {error}")),
    };
    let about = match file.metadata() {
        Ok(about) => about,
        Err(error) => return wrong(format!("cannot be looked at: {error}")),
    };
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return wrong(format!("others can read the key (mode {mode:04o}): chmod 600 it"));
    }
    let (mut bytes, mut more) = ([0; LENGTH], [0; 1]);
    let whole = file.read_exact(&mut bytes).is_ok() && file.read(&mut more).is_ok_and(|count| count == 0);
    if !about.is_file() || !whole {
        let remedy = "put it back from a backup, or remove it: a new one is made, and suppressions by hash have to be \
                      written anew";
        return wrong(format!("is not a key of {LENGTH} bytes; {remedy}"));
    }
    Ok(Some(HashKey::new(bytes)))
}

/// A key that nobody keeps.
pub(super) fn random() -> Result<HashKey> {
    Ok(HashKey::new(bytes()?))
}

/// Makes the key beside its place and puts it there, unless another process has been quicker.
fn make(home: &Home) -> Result<()> {
    crate::instance::make_home(home)?;
    let place = home.dlp_key();
    let write = || {
        // Opened with O_EXCL and mode 0600.
        let mut file = tempfile::Builder::new().prefix(".dlp.key").tempfile_in(home.path())?;
        file.write_all(&bytes().map_err(std::io::Error::other)?)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&place) {
            Err(refused) if refused.error.kind() != ErrorKind::AlreadyExists => Err(refused.error),
            _ => Ok(()),
        }
    };
    write().with_context(|| format!("{}: cannot make the key of the findings' hashes", place.display()))
}

fn bytes() -> Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let random = getrandom::fill(&mut bytes);
    random.ok().context("the system's random number generator is not available")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn processes_that_make_it_at_once_have_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let hashes: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| of(&home).unwrap().hash(b"a value"))).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        assert_eq!(fs::metadata(home.dlp_key()).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read(home.dlp_key()).unwrap().len(), LENGTH);
        // What the losers made is gone.
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        of(&home).unwrap();
        let mode = |mode| fs::set_permissions(home.dlp_key(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        let told = of(&home).unwrap_err().to_string();
        assert!(told.contains("dlp.key: others can read the key (mode 0640): chmod 600"), "{told}");
        mode(0o600);
        for bytes in [&[7; 31][..], &[7; 33], &[]] {
            fs::write(home.dlp_key(), bytes).unwrap();
            let told = of(&home).unwrap_err().to_string();
            assert!(told.contains("is not a key of 32 bytes; put it back"), "{told}");
        }
    }
}
