//! A whole file's identity.

use sha1::{Digest, Sha1};

/// A whole file's identity: git's blob id of its bytes (SHA-1 of `"blob <len>\0"` and the content).
pub type Generation = [u8; 20];

/// The generation of a file that does not exist (git's null id).
pub const MISSING: Generation = [0; 20];

/// The generation of `content`, equal to what `git hash-object` says.
pub fn blob_id(content: &[u8]) -> Generation {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()).as_bytes());
    hash.update(content);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_git() {
        // git hash-object of the empty file and of "hello\n": fixed points that every git user has seen.
        assert_eq!(hex::encode(blob_id(b"")), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(hex::encode(blob_id(b"hello\n")), "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
