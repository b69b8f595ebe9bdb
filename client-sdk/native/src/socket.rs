//! The signaling WebSocket: JSON in, JSON out.

use crate::Error;
use futures_util::{SinkExt, StreamExt};
use lyceum_wire::signal::{EdgeSays, ToClient, ToEdge};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// Longest wait for a socket, and for the `welcome` on it.
pub(crate) const OPEN_MAX: Duration = Duration::from_secs(10);
/// Largest message taken from an edge, in bytes: a roster of 2,000 people with the longest names.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What a socket keeps for reading, in bytes; usual messages fit.
const READ_BYTES: usize = 4 * 1024;

/// One socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens the edge's door.
    pub(crate) async fn open(edge: &str) -> Result<Self, Error> {
        let base = edge.trim_end_matches('/');
        // `http` becomes `ws`, `https` becomes `wss`.
        let url = format!("{}/v1/signal", base.replacen("http", "ws", 1));
        let bounds = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(READ_BYTES);
        let open = connect_async_with_config(&url, Some(bounds), true);
        match tokio::time::timeout(OPEN_MAX, open).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(error)) => Err(Error::Unreachable { url, why: error.to_string() }),
            Err(_) => Err(Error::Timeout("the signaling socket does not open")),
        }
    }

    /// Says something. False: the socket is broken.
    pub(crate) async fn say(&mut self, message: &ToEdge) -> bool {
        let Ok(text) = serde_json::to_string(message) else { return true };
        self.0.send(Message::text(text)).await.is_ok()
    }

    /// The next thing the edge says. None: the socket is broken or closed.
    pub(crate) async fn hear(&mut self) -> Option<ToClient> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Text(text) => match serde_json::from_str::<ToClient>(&text) {
                    Ok(message) => return Some(message),
                    Err(error) => {
                        // A newer edge may say what we do not know; its number counts all the same.
                        tracing::debug!(%error, "the edge said something unknown");
                        let seq = serde_json::from_str::<Numbered>(&text).ok()?.seq;
                        return Some(ToClient { seq, body: EdgeSays::Ack { seen: 0 } });
                    }
                },
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Closes it politely.
    pub(crate) async fn close(&mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.0.close(None)).await;
    }
}

#[derive(serde::Deserialize)]
struct Numbered {
    seq: u64,
}
