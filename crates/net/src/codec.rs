//! The bytes of request-response: a big-endian `u32` length and the body, of at most `RPC_BYTES_MAX`. In an answer
//! the two highest lengths stand for "busy" and "the answer would be too large".

use crate::counters::{self, count};
use crate::frames::{self, FrameError};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use libp2p::{StreamProtocol, request_response};
use proto::limits::RPC_BYTES_MAX;
use std::io;
use std::sync::Arc;

const BUSY: u32 = u32::MAX;
const TOO_LARGE: u32 = u32::MAX - 1;

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The answer.
    Body(Vec<u8>),
    /// The peer has too much to do.
    Busy,
    /// The peer's answer is larger than a message may be.
    TooLarge,
}

/// A body that is larger than a message may be, inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("body of {len} bytes, at most {max} are allowed")]
pub(crate) struct TooLarge {
    len: usize,
    max: usize,
}

/// Length-prefixed bytes; knows nothing about their meaning.
///
/// Counts the questions that cannot be read itself: libp2p does not tell of them.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    counters: Arc<counters::Shared>,
    /// The longest question that is read, in bytes.
    question_max: usize,
}

impl Codec {
    pub(crate) fn new(counters: Arc<counters::Shared>, question_max: usize) -> Codec {
        Codec { counters, question_max }
    }
}

fn flatten(error: FrameError) -> io::Error {
    match error {
        FrameError::TooLarge { len, max } => io::Error::new(io::ErrorKind::InvalidData, TooLarge { len, max }),
        FrameError::Io(error) => error,
    }
}

/// Whether a stream failed because a body was too large.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooLarge>())
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let question = async {
            let len = frames::read_len(io).await?;
            frames::read_body(io, len as usize, self.question_max).await.map_err(flatten)
        };
        question.await.inspect_err(|error| {
            tracing::debug!(%error, "a peer's question cannot be read");
            count(&self.counters.requests_broken);
        })
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        match frames::read_len(io).await? {
            BUSY => Ok(Answer::Busy),
            TOO_LARGE => Ok(Answer::TooLarge),
            len => frames::read_body(io, len as usize, RPC_BYTES_MAX).await.map(Answer::Body).map_err(flatten),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, body: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        frames::write_frame(io, &body).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, answer: Answer) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match answer {
            Answer::Body(body) => frames::write_frame(io, &body).await,
            Answer::Busy => io.write_all(&BUSY.to_be_bytes()).await,
            Answer::TooLarge => io.write_all(&TOO_LARGE.to_be_bytes()).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;
    use request_response::Codec as _;

    const P: StreamProtocol = StreamProtocol::new(proto::names::RPC);

    fn codec() -> Codec {
        Codec::new(Arc::default(), RPC_BYTES_MAX)
    }

    #[test]
    fn answers_round_trip() {
        for answer in [Answer::Body(Vec::new()), Answer::Body(vec![7; 1000]), Answer::Busy, Answer::TooLarge] {
            let mut wire = Vec::new();
            block_on(codec().write_response(&P, &mut wire, answer.clone())).unwrap();
            assert_eq!(block_on(codec().read_response(&P, &mut Cursor::new(wire))).unwrap(), answer);
        }
    }

    #[test]
    fn a_large_body_is_refused_by_its_length_alone() {
        let len = u32::try_from(RPC_BYTES_MAX + 1).unwrap().to_be_bytes();
        let error = block_on(codec().read_request(&P, &mut Cursor::new(len))).unwrap_err();
        assert!(is_too_large(&error), "{error}");
        let error = block_on(codec().read_response(&P, &mut Cursor::new(len))).unwrap_err();
        assert!(is_too_large(&error), "{error}");
        let cut = block_on(codec().read_request(&P, &mut Cursor::new([0, 0, 0, 9, 1]))).unwrap_err();
        assert!(!is_too_large(&cut));
    }
}
