//! Encoding and decoding with a limit in front.

use prost::Message;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Larger than the message's limit.
    #[error("{len} bytes where at most {max} are allowed")]
    TooLarge {
        /// Bytes that came.
        len: usize,
        /// Bytes that are allowed.
        max: usize,
    },
    /// Not the protobuf that was expected.
    #[error("malformed message: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// Reads a message of at most `max` bytes.
///
/// # Errors
/// [`DecodeError`] when it is larger or malformed.
pub fn decode<M: Message + Default>(bytes: &[u8], max: usize) -> Result<M, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLarge { len: bytes.len(), max });
    }
    Ok(M::decode(bytes)?)
}

/// Writes a message.
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use proptest::prelude::*;

    #[test]
    fn oversize_is_refused_before_decoding() {
        let err = decode::<wire::Gossip>(&[0; 10], 9).unwrap_err();
        assert!(matches!(err, DecodeError::TooLarge { len: 10, max: 9 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode::<wire::Request>(&bytes, 512);
            let _ = decode::<wire::Response>(&bytes, 512);
            let _ = decode::<wire::PullPage>(&bytes, 512);
        }
    }
}
