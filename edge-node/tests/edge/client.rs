//! A client's half of the signaling socket.

use crate::plane::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use lyceum_edge::edge::Edge;
use lyceum_wire::signal::{ClientSays, EdgeSays, Refusal, Resume, ToClient, ToEdge, VERSION};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    seq: u64,
}

/// Who one is, as `welcome` says.
pub(crate) struct Welcome {
    pub(crate) session: String,
    pub(crate) participant: String,
    pub(crate) resumed: bool,
}

impl Client {
    /// A socket on which nothing was said yet.
    pub(crate) async fn connect(edge: &Edge, query: &str) -> Self {
        Self::try_connect(edge, query).await.unwrap()
    }

    pub(crate) async fn try_connect(edge: &Edge, query: &str) -> Result<Self, tungstenite::Error> {
        let url = format!("{}/v1/signal{query}", edge.url.replacen("http", "ws", 1));
        let (socket, _) = connect_async(url).await?;
        Ok(Self { socket, seq: 0 })
    }

    /// A socket with a welcome.
    pub(crate) async fn join(edge: &Edge, token: &str) -> (Self, Welcome) {
        let mut client = Self::connect(edge, "").await;
        client.hello(token, None).await;
        let welcome = client.welcome().await;
        (client, welcome)
    }

    /// A socket that goes on with an earlier one's session.
    pub(crate) async fn resume(edge: &Edge, session: &str, seen: u64) -> Self {
        let mut client = Self::connect(edge, "").await;
        client.hello("", Some(Resume { session: session.into(), seen })).await;
        client
    }

    pub(crate) async fn hello(&mut self, token: &str, resume: Option<Resume>) {
        let body = ClientSays::Hello { version: VERSION, token: token.into(), resume };
        self.send(&serde_json::to_string(&ToEdge { seq: 0, body }).unwrap()).await;
    }

    /// Says something numbered.
    pub(crate) async fn say(&mut self, body: ClientSays) {
        self.seq += 1;
        let message = ToEdge { seq: self.seq, body };
        self.send(&serde_json::to_string(&message).unwrap()).await;
    }

    pub(crate) async fn chat(&mut self, text: &str) {
        let body = serde_json::json!({ "text": text });
        self.say(ClientSays::Message { id: text.into(), kind: "chat".into(), body }).await;
    }

    /// Waits for the answer to a ping: all that was said before has been dealt with.
    pub(crate) async fn ping(&mut self) {
        let body = ClientSays::Ping { t: 7.0 };
        self.send(&serde_json::to_string(&ToEdge { seq: 0, body }).unwrap()).await;
        self.until("a pong", |says| matches!(says, EdgeSays::Pong { .. }).then_some(())).await;
    }

    /// Sends any text. A socket that the edge has closed meanwhile is no error here.
    pub(crate) async fn send(&mut self, text: &str) {
        let _ = self.socket.send(Message::Text(Utf8Bytes::from(text))).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        let _ = self.socket.send(Message::Binary(bytes.into())).await;
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        self.until("welcome", |says| match says {
            EdgeSays::Welcome { session, participant, resumed, .. } => {
                Some(Welcome { session: session.clone(), participant: participant.to_string(), resumed: *resumed })
            }
            _ => None,
        })
        .await
    }

    /// The next refusal: its code, and whether it ended the session.
    pub(crate) async fn refused(&mut self) -> (Refusal, bool) {
        self.until("refused", |says| match says {
            EdgeSays::Refused { code, fatal, .. } => Some((*code, *fatal)),
            _ => None,
        })
        .await
    }

    /// The texts of the next `n` chat messages.
    pub(crate) async fn read(&mut self, n: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < n {
            texts.push(
                self.until("a message", |says| match says {
                    EdgeSays::Message { message } => Some(message.body["text"].as_str().unwrap().to_owned()),
                    _ => None,
                })
                .await,
            );
        }
        texts
    }

    /// Hears on until something is what is looked for.
    pub(crate) async fn until<T>(&mut self, what: &str, mut is: impl FnMut(&EdgeSays) -> Option<T>) -> T {
        let heard = async {
            loop {
                let message = self.hear().await.unwrap_or_else(|| panic!("the socket closed before {what}"));
                if let Some(found) = is(&message.body) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("{what} never came"))
    }

    /// The next message; `None` when the socket is closed.
    pub(crate) async fn hear(&mut self) -> Option<ToClient> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Waits until the edge has closed the socket.
    pub(crate) async fn closed(&mut self) {
        let end = async { while self.hear().await.is_some() {} };
        tokio::time::timeout(PATIENCE, end).await.expect("the socket stayed open");
    }
}
