//! Frames: a big-endian `u32` length, then as many bytes. The length `u32::MAX` is the mark of a proper end: a stream
//! that ends without it was cut (a closed Yamux connection looks like an ordinary end of file).

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use std::io;

/// The length that marks the proper end.
pub(crate) const END: u32 = u32::MAX;

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// Longer than allowed. Nothing of it was read.
    #[error("frame of {len} bytes, at most {max} are allowed")]
    TooLarge { len: usize, max: usize },
    /// The stream failed or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a length.
pub(crate) async fn read_len<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<u32> {
    let mut len = [0; 4];
    io.read_exact(&mut len).await?;
    Ok(u32::from_be_bytes(len))
}

/// Reads `len` bytes. Memory grows with what really comes, not with what was announced.
pub(crate) async fn read_body<T: AsyncRead + Unpin>(io: &mut T, len: usize, max: usize) -> Result<Vec<u8>, FrameError> {
    if len > max {
        return Err(FrameError::TooLarge { len, max });
    }
    let mut body = Vec::with_capacity(len.min(64 * 1024));
    io.take(len as u64).read_to_end(&mut body).await?;
    if body.len() < len {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(body)
}

/// Reads one frame; `None` is the proper end.
pub(crate) async fn read_frame<T: AsyncRead + Unpin>(io: &mut T, max: usize) -> Result<Option<Vec<u8>>, FrameError> {
    match read_len(io).await? {
        END => Ok(None),
        len => read_body(io, len as usize, max).await.map(Some),
    }
}

/// Writes one frame, without flushing.
pub(crate) async fn write_frame<T: AsyncWrite + Unpin>(io: &mut T, body: &[u8]) -> io::Result<()> {
    let len = u32::try_from(body.len()).ok().filter(|len| *len != END);
    let len = len.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    io.write_all(&len.to_be_bytes()).await?;
    io.write_all(body).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_round_trip(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8)) {
            block_on(async {
                let mut wire = Vec::new();
                for frame in &frames { write_frame(&mut wire, frame).await.unwrap(); }
                wire.extend(END.to_be_bytes());
                let mut io = Cursor::new(wire);
                for frame in &frames {
                    assert_eq!(read_frame(&mut io, 300).await.unwrap().as_ref(), Some(frame));
                }
                assert_eq!(read_frame(&mut io, 300).await.unwrap(), None);
                assert!(matches!(read_frame(&mut io, 300).await, Err(FrameError::Io(_))));
            });
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_never_exceed_the_limit(wire in proptest::collection::vec(any::<u8>(), 0..64)) {
            let got = block_on(read_frame(&mut Cursor::new(wire), 16));
            if let Ok(Some(body)) = got { prop_assert!(body.len() <= 16); }
        }
    }

    #[test]
    fn hostile_lengths_and_cuts_are_errors() {
        let mut huge = Cursor::new((END - 1).to_be_bytes().to_vec());
        assert!(matches!(block_on(read_frame(&mut huge, 1 << 20)), Err(FrameError::TooLarge { max: 0x10_0000, .. })));
        let mut over = Cursor::new([&17u32.to_be_bytes()[..], &[0; 17]].concat());
        assert!(matches!(block_on(read_frame(&mut over, 16)), Err(FrameError::TooLarge { len: 17, max: 16 })));
        let mut cut = Cursor::new([&4u32.to_be_bytes()[..], &[0; 3]].concat());
        assert!(
            matches!(block_on(read_frame(&mut cut, 16)), Err(FrameError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof)
        );
    }
}
