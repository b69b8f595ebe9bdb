//! Data channels (RFC 8831, RFC 8832) over SCTP over DTLS.

/// A data channel: its SCTP stream number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u16);

/// Text or bytes (RFC 8831 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// UTF-8, as the sender promises.
    Text,
    /// Anything.
    Binary,
}

/// How hard a channel tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Reliability {
    /// Until it arrives.
    #[default]
    Reliable,
    /// At most this many times again.
    Retransmits(u32),
    /// At most this long, in milliseconds.
    LifetimeMs(u32),
}

/// What a channel is opened with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelOptions {
    /// Its label.
    pub label: String,
    /// Its subprotocol, mostly empty.
    pub protocol: String,
    /// Messages may overtake each other.
    pub unordered: bool,
    /// How hard it tries.
    pub reliability: Reliability,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No such channel, or it is closed. Forget it.
    #[error("the channel is not open")]
    NotOpen,
    /// Longer than the peer takes. Do not send it again.
    #[error("the message is longer than the peer takes")]
    TooLong,
    /// Too much is waiting already. Try again when the channel has drained, or drop it.
    #[error("the channel's buffer is full")]
    Full,
    /// No stream number is left, or no SCTP was negotiated.
    #[error("no further channel can be opened")]
    NoChannel,
}
