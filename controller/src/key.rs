//! The home's key, made once for a home: that of the hashes by which findings are told apart, and the one from which
//! the key of the approvals' fingerprints is derived.
//!
//! Invariant: whoever finds the file finds all of it, and of processes that make it at the same time one wins. It is never
//! replaced: hashes in reports and suppressions, and what approvals are bound to, are of the key that was there first.

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use hudson_dlp::HashKey;
use hudson_proxy::approval::FingerprintKey;
use hudson_schema::config::{ConfigError, Problem};
use hudson_schema::home::Home;
use sha2::Sha256;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;

/// Bytes of a key.
const LENGTH: usize = 32;
/// What the key of the fingerprints is derived with: what one key has made says nothing of the other.
const FINGERPRINTS: &[u8] = b"hudson approval fingerprints v1";

type Bytes = [u8; LENGTH];

/// The key of the findings' hashes, made where there is none.
pub(crate) fn hash_key(home: &Home) -> Result<HashKey> {
    Ok(HashKey::new(of(home)?))
}

/// The key of the findings' hashes, if there is one.
pub(crate) fn existing_hash_key(home: &Home) -> Result<Option<HashKey>, ConfigError> {
    Ok(existing(home)?.map(HashKey::new))
}

/// A key of the findings' hashes that nobody keeps.
pub(crate) fn random_hash_key() -> Result<HashKey> {
    Ok(HashKey::new(bytes()?))
}

/// The key of what approvals are bound to, the same in every process of the home. The home's key is made where there
/// is none.
pub(crate) fn fingerprint_key(home: &Home) -> Result<FingerprintKey> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&of(home)?).context("the home's key cannot be used")?;
    mac.update(FINGERPRINTS);
    Ok(FingerprintKey::new(mac.finalize().into_bytes().into()))
}

/// The home's key, made where there is none.
fn of(home: &Home) -> Result<Bytes> {
    if let Some(key) = existing(home)? {
        return Ok(key);
    }
    make(home)?;
    existing(home)?.with_context(|| format!("{}: was removed while it was made", home.dlp_key().display()))
}

/// The home's key, if there is one.
fn existing(home: &Home) -> Result<Option<Bytes>, ConfigError> {
    let path = home.dlp_key();
    let wrong = |what: String| Err(ConfigError::one(Problem::in_file(&path, 0, what)));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return wrong(format!("the home's key cannot be read: {error}")),
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
        let remedy = "put it back from a backup, or remove it: a new one is made, suppressions by hash have to be written \
                      anew, and what was approved has to be asked for again";
        return wrong(format!("is not a key of {LENGTH} bytes; {remedy}"));
    }
    Ok(Some(bytes))
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
    write().with_context(|| format!("{}: cannot make the home's key", place.display()))
}

fn bytes() -> Result<Bytes> {
    let mut bytes = [0; LENGTH];
    let random = getrandom::fill(&mut bytes);
    random.ok().context("the system's random number generator is not available")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudson_schema::ledger::ApprovalKind;
    use std::fs;

    #[test]
    fn processes_that_make_it_at_once_have_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let hashes: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| hash_key(&home).unwrap().hash(b"a value"))).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        assert_eq!(fs::metadata(home.dlp_key()).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read(home.dlp_key()).unwrap().len(), LENGTH);
        // What the losers made is gone.
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn fingerprints_have_a_key_of_their_own_and_a_home_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let bind = |key: FingerprintKey| key.bind(ApprovalKind::Http, [("host", &b"a"[..])]).unwrap();
        let home = |name| Home::new(folder.path().join(name));
        let fingerprint = bind(fingerprint_key(&home("one")).unwrap());
        assert_eq!(bind(fingerprint_key(&home("one")).unwrap()), fingerprint);
        assert_ne!(bind(fingerprint_key(&home("two")).unwrap()), fingerprint);
        assert_ne!(bind(FingerprintKey::new(of(&home("one")).unwrap())), fingerprint);
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
