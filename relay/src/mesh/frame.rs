//! Messages on a control stream: 4 bytes length, big-endian, then JSON.

use bytes::{BufMut, Bytes, BytesMut};
use lyceum_wire::link::{MESSAGE_BYTES_MAX, Message};
use quinn::{ReadExactError, RecvStream};

/// Why a control stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The other side ended the stream.
    #[error("the control stream ended")]
    Ended,
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// Longer than the protocol allows.
    #[error("a message of {0} bytes is longer than the protocol allows")]
    TooLong(usize),
    /// Not a message.
    #[error("a message cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A message as it is written.
pub(super) fn encode(message: &Message) -> Result<Bytes, FrameError> {
    let mut frame = BytesMut::with_capacity(256);
    frame.put_u32(0);
    let mut writer = frame.writer();
    serde_json::to_writer(&mut writer, message)?;
    let mut frame = writer.into_inner();
    let length = frame.len() - 4;
    if length > MESSAGE_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let Ok(prefix) = u32::try_from(length) else { return Err(FrameError::TooLong(length)) };
    if let Some(head) = frame.get_mut(..4) {
        head.copy_from_slice(&prefix.to_be_bytes());
    }
    Ok(frame.freeze())
}

/// Reads messages one by one. Types of a newer version come as [`Message::Unknown`].
#[derive(Debug)]
pub(super) struct Reader {
    stream: RecvStream,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(super) async fn next(&mut self) -> Result<Message, FrameError> {
        let mut prefix = [0; 4];
        self.fill(&mut prefix).await?;
        let length = u32::from_be_bytes(prefix) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(FrameError::TooLong(length));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(length, 0);
        let filled = self.fill(&mut buffer).await;
        self.buffer = buffer;
        filled?;
        Ok(serde_json::from_slice(&self.buffer)?)
    }

    async fn fill(&mut self, into: &mut [u8]) -> Result<(), FrameError> {
        self.stream.read_exact(into).await.map_err(|error| match error {
            ReadExactError::FinishedEarly(_) => FrameError::Ended,
            ReadExactError::ReadError(error) => FrameError::Lost(error.to_string()),
        })
    }
}
