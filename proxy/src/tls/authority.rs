//! The interception CA: made on first use, its key readable by nobody else, its certificate bundled with the
//! system's roots for the clients.
//!
//! Invariant: the key file is created exclusively with mode 0600 and never leaves the CA's folder; two processes that
//! start at once end with one CA, because making it happens under a file lock.

use hudson_schema::home::Home;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a CA lives: long enough not to surprise, short enough that a forgotten one ends.
const LIFETIME: Duration = Duration::from_secs(2 * 365 * 24 * 3600);

/// Clocks of containers and hosts differ: certificates begin an hour ago.
pub(super) const BACKDATE: Duration = Duration::from_secs(3600);

/// The CA, ready to sign leaves.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    /// Where the certificate is.
    path: PathBuf,
}

/// Why there is no CA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A file of the CA cannot be read or written.
    #[error("{}: {what}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The system's words; not the error's source, or a printed chain would say them twice.
        error: io::Error,
    },
    /// A file of the CA is not what it should be.
    #[error("{}: {why}; `hudson ca rotate` makes a new CA", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl CertificateAuthority {
    /// Loads the CA of a home, making it where there is none, and the client bundle where it does not hold this CA.
    pub fn open(home: &Home) -> Result<Self, AuthorityError> {
        let _lock = lock(home)?;
        let (key, certificate) = (home.ca_key(), home.ca_certificate());
        match (key.exists(), certificate.exists()) {
            (true, true) => {
                let authority = load(home)?;
                // A crash between the steps of `rotate` leaves the old CA's bundle, or none.
                let bundle = fs::read(home.ca_bundle()).unwrap_or_default();
                if !bundle.ends_with(authority.certificate_pem.as_bytes()) {
                    write_bundle(home, &authority.certificate_pem)?;
                }
                Ok(authority)
            }
            (false, false) => make(home),
            (true, false) => Err(half(certificate, "ca.key")),
            (false, true) => Err(half(key, "ca.pem")),
        }
    }

    /// Replaces the CA of a home by a new one. Running proxies go on with the old one until they are restarted.
    pub fn rotate(home: &Home) -> Result<Self, AuthorityError> {
        let _lock = lock(home)?;
        for path in [home.ca_key(), home.ca_certificate()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(AuthorityError::Io { path, what: "cannot remove the old CA", error });
                }
                _ => {}
            }
        }
        make(home)
    }

    /// Reads the CA of a home and nothing else: none is made, and the client bundle stays as it is.
    pub fn read(home: &Home) -> Result<Self, AuthorityError> {
        load(home)
    }

    /// From when to when the certificate is valid, in unix seconds.
    pub fn validity(&self) -> Result<(i64, i64), AuthorityError> {
        let invalid = |error: String| AuthorityError::Invalid {
            path: self.path.clone(),
            why: format!("no certificate that can be read: {error}"),
        };
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.certificate_pem.as_bytes())
            .map_err(|error| invalid(error.to_string()))?;
        let validity =
            pem.parse_x509().map_err(|error| invalid(error.to_string()))?.tbs_certificate.validity.clone();
        Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

/// One of the two files without the other: what is left of a CA that somebody moved, or of a crash while it was made.
fn half(path: PathBuf, other: &str) -> AuthorityError {
    AuthorityError::Invalid { path, why: format!("the file is missing beside {other}") }
}

fn load(home: &Home) -> Result<CertificateAuthority, AuthorityError> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => AuthorityError::Invalid { path, why: "no PEM file".to_owned() },
            _ => AuthorityError::Io { path, what: "cannot read the CA", error },
        })
    };
    let key_path = home.ca_key();
    let mode = fs::metadata(&key_path).map(|meta| meta.permissions().mode() & 0o777).unwrap_or(0o600);
    if mode & 0o077 != 0 {
        let why =
            format!("the CA's key has mode {mode:o}, so others can read it; `chmod 600` it if nobody has");
        return Err(AuthorityError::Invalid { path: key_path, why });
    }
    let certificate_pem = read(home.ca_certificate())?;
    let key = KeyPair::from_pem(&read(key_path.clone())?)
        .map_err(|error| AuthorityError::Invalid { path: key_path.clone(), why: error.to_string() })?;
    check_pair(home, &certificate_pem, &key)?;
    let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
        .map_err(|error| AuthorityError::Invalid { path: home.ca_certificate(), why: error.to_string() })?;
    Ok(CertificateAuthority { issuer, certificate_pem, path: home.ca_certificate() })
}

/// A certificate beside another certificate's key would sign leaves that nobody trusts, and say so only at the client.
fn check_pair(home: &Home, certificate_pem: &str, key: &KeyPair) -> Result<(), AuthorityError> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let invalid = |why: String| AuthorityError::Invalid { path: home.ca_certificate(), why };
    let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|error| invalid(format!("no PEM certificate: {error}")))?;
    let public = key.public_key_raw();
    match certificate.windows(public.len()).any(|window| window == public) {
        true => Ok(()),
        false => Err(invalid("the certificate does not belong to ca.key".to_owned())),
    }
}

fn make(home: &Home) -> Result<CertificateAuthority, AuthorityError> {
    let invalid = |error: rcgen::Error| AuthorityError::Invalid { path: home.ca(), why: error.to_string() };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(invalid)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Hudson interception CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LIFETIME).into();
    let certificate_pem = params.self_signed(&key).map_err(invalid)?.pem();
    write_new(&home.ca_key(), key.serialize_pem().as_bytes(), 0o600)?;
    write_new(&home.ca_certificate(), certificate_pem.as_bytes(), 0o644)?;
    write_bundle(home, &certificate_pem)?;
    load(home)
}

/// System roots first: a client that has a tunnel Hudson does not intercept still verifies it.
fn write_bundle(home: &Home, certificate_pem: &str) -> Result<(), AuthorityError> {
    use std::fmt::Write as _;

    let mut bundle = String::new();
    for root in rustls_native_certs::load_native_certs().certs {
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, root.as_ref());
        bundle.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            let _ = writeln!(bundle, "{}", String::from_utf8_lossy(line));
        }
        bundle.push_str("-----END CERTIFICATE-----\n");
    }
    bundle.push_str(certificate_pem);
    let path = home.ca_bundle();
    let fresh = path.with_extension("pem.new");
    let _ = fs::remove_file(&fresh);
    write_new(&fresh, bundle.as_bytes(), 0o644)?;
    fs::rename(&fresh, &path).map_err(|error| AuthorityError::Io {
        path,
        what: "cannot write the bundle",
        error,
    })
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| AuthorityError::Io {
        path: path.to_owned(),
        what: "cannot create the file",
        error,
    })
}

fn lock(home: &Home) -> Result<File, AuthorityError> {
    let folder = home.ca();
    let io = |path: &Path, what| {
        let path = path.to_owned();
        move |error: io::Error| AuthorityError::Io { path, what, error }
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(io(&folder, "cannot create the folder"))?;
    let path = folder.join(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io(&path, "cannot open the lock"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|errno| io(&path, "cannot take the lock")(errno.into()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_gets_one_ca_however_many_ask_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let pems: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| CertificateAuthority::open(&home).unwrap().certificate_pem().to_owned())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(pems.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(fs::metadata(home.ca_key()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(home.ca_bundle()).unwrap().ends_with(&pems[0]));
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_another_cas_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        CertificateAuthority::open(&home).unwrap();
        fs::set_permissions(home.ca_key(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(CertificateAuthority::open(&home).err().unwrap().to_string().contains("mode 644"));

        fs::set_permissions(home.ca_key(), fs::Permissions::from_mode(0o600)).unwrap();
        let other = KeyPair::generate().unwrap();
        fs::write(home.ca_key(), other.serialize_pem()).unwrap();
        let error = CertificateAuthority::open(&home).err().unwrap().to_string();
        assert!(error.contains("does not belong") && error.contains("hudson ca rotate"), "{error}");

        let before = fs::read_to_string(home.ca_certificate()).unwrap();
        CertificateAuthority::rotate(&home).unwrap();
        assert_ne!(fs::read_to_string(home.ca_certificate()).unwrap(), before);
    }

    #[test]
    fn half_a_ca_and_a_file_that_is_none_are_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        CertificateAuthority::open(&home).unwrap();
        let (key, certificate) = (home.ca_key(), home.ca_certificate());
        let invalid = |named: &Path| {
            let error = CertificateAuthority::open(&home).err().unwrap();
            assert!(matches!(&error, AuthorityError::Invalid { path, .. } if path == named), "{error}");
            assert!(error.to_string().contains("hudson ca rotate"), "{error}");
            assert!(std::error::Error::source(&error).is_none(), "{error}");
        };
        for path in [&key, &certificate] {
            let kept = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            invalid(path);
            assert!(!path.exists(), "a new half would not belong to the old one");
            for bytes in [&b"\xff\xfe"[..], b"words", b""] {
                write_new(path, bytes, 0o600).unwrap();
                invalid(path);
                fs::remove_file(path).unwrap();
            }
            write_new(path, &kept, 0o600).unwrap();
        }
        CertificateAuthority::open(&home).unwrap();
    }

    #[test]
    fn reading_makes_nothing_and_tells_how_long_it_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert!(CertificateAuthority::read(&home).is_err());
        assert!(!home.ca().exists());
        CertificateAuthority::open(&home).unwrap();
        let (from, to) = CertificateAuthority::read(&home).unwrap().validity().unwrap();
        assert_eq!(to - from, i64::try_from((LIFETIME + BACKDATE).as_secs()).unwrap());
    }

    #[test]
    fn the_bundle_always_ends_in_the_present_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        CertificateAuthority::open(&home).unwrap();
        let old = fs::read(home.ca_bundle()).unwrap();
        let present = CertificateAuthority::rotate(&home).unwrap().certificate_pem;
        // As if the rotation had ended before its last step.
        fs::write(home.ca_bundle(), &old).unwrap();
        CertificateAuthority::open(&home).unwrap();
        assert!(fs::read_to_string(home.ca_bundle()).unwrap().ends_with(&present));
        fs::remove_file(home.ca_bundle()).unwrap();
        CertificateAuthority::open(&home).unwrap();
        assert!(fs::read_to_string(home.ca_bundle()).unwrap().ends_with(&present));
    }
}
