//! Key files: made once, mode 0600, refused when others can read them.

use crate::CliError;
use crate::home::{Home, write_private};
use identity::{HostKey, KeyError, OwnerKey};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Largest key file that is read, in bytes.
const KEY_BYTES_MAX: u64 = 4_096;

/// Reads this host's keys.
///
/// # Errors
/// `not_initialised` when there are none, `key_permissions` when others can read them, `bad_key` when they are damaged.
pub fn host(home: &Home) -> Result<HostKey, CliError> {
    let path = home.host_key();
    match read(&path)? {
        Some(text) => HostKey::decode(&text).map_err(|err| damaged(&path, &err)),
        None => Err(CliError::new("not_initialised", format!("{} is no node's home yet", home.dir().display()))
            .hint("townmesh init")
            .hint("townmesh join TICKET")),
    }
}

/// Reads the owner's keys, if this machine has them.
///
/// # Errors
/// `key_permissions` or `bad_key`.
pub fn owner(home: &Home) -> Result<Option<OwnerKey>, CliError> {
    let path = home.owner_key();
    let Some(text) = read(&path)? else { return Ok(None) };
    OwnerKey::decode(&text).map(Some).map_err(|err| damaged(&path, &err))
}

/// Makes this host's keys unless they are there. Returns whether they were made.
///
/// # Errors
/// As [`host`], and `disk`.
pub fn ensure_host(home: &Home) -> Result<bool, CliError> {
    if home.host_key().exists() {
        return host(home).map(|_| false);
    }
    write(&home.host_key(), &HostKey::generate(random()?, random()?).encode())?;
    Ok(true)
}

/// Makes the owner's keys unless they are there. Returns whether they were made.
///
/// # Errors
/// As [`owner`], and `disk`.
pub fn ensure_owner(home: &Home) -> Result<bool, CliError> {
    if owner(home)?.is_some() {
        return Ok(false);
    }
    write(&home.owner_key(), &OwnerKey::generate(random()?, random()?).encode())?;
    Ok(true)
}

fn random() -> Result<[u8; 32], CliError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|err| CliError::new("internal", format!("the system has no randomness: {err}")))?;
    Ok(bytes)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    write_private(path, text.as_bytes()).map_err(|err| CliError::disk(path.display(), &err))
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, CliError> {
    let disk = |err: std::io::Error| CliError::disk(path.display(), &err);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(disk(err)),
    };
    let mode = file.metadata().map_err(disk)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CliError::new("key_permissions", format!("{} can be read by others ({mode:o})", path.display()))
            .hint(format!("chmod 600 {}", path.display())));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX as usize));
    file.take(KEY_BYTES_MAX).read_to_end(&mut bytes).map_err(disk)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => Err(damaged(path, &KeyError::NotAKeyFile)),
    }
}

fn damaged(path: &Path, err: &KeyError) -> CliError {
    CliError::new("bad_key", format!("{}: {err}", path.display())).hint("put the backup of the key file there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path()).unwrap();
        home.create().unwrap();
        (temp, home)
    }

    #[test]
    fn keys_are_made_once_and_private() {
        let (_temp, home) = home();
        assert_eq!(host(&home).unwrap_err().code, "not_initialised");
        assert!(ensure_host(&home).unwrap() && ensure_owner(&home).unwrap());
        let first = host(&home).unwrap().peer_id();
        assert!(!ensure_host(&home).unwrap() && !ensure_owner(&home).unwrap());
        assert_eq!(host(&home).unwrap().peer_id(), first);
        for path in [home.host_key(), home.owner_key()] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn readable_or_damaged_keys_are_refused() {
        let (_temp, home) = home();
        ensure_host(&home).unwrap();
        std::fs::set_permissions(home.host_key(), PermissionsExt::from_mode(0o640)).unwrap();
        let err = host(&home).unwrap_err();
        assert_eq!(err.code, "key_permissions");
        assert!(err.hints[0].starts_with("chmod 600 "));
        for damage in [&b""[..], b"\xff\xff", &[b'a'; 100_000]] {
            std::fs::write(home.host_key(), damage).unwrap();
            std::fs::set_permissions(home.host_key(), PermissionsExt::from_mode(0o600)).unwrap();
            assert_eq!(host(&home).unwrap_err().code, "bad_key");
        }
    }
}
