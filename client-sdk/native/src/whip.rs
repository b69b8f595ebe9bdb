//! Media over plain HTTP: a WHIP publisher (RFC 9725) and a WHEP player, without signaling and chat.

use crate::control::{ANSWER_MAX, chain, refused};
use crate::engine::{Engine, MediaState, Plan, Shared};
use crate::frames::Received;
use crate::media_file::MediaFile;
use crate::options::{OnFrame, Slots};
use crate::{Error, local};
use lyceum_wire::id::{RoomId, Source};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where, and with which token.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The edge's base URL, from a placement.
    pub edge: String,
    /// The room.
    pub room: RoomId,
    /// A join token.
    pub token: String,
    /// Local addresses for media. Without any, the one that leads to the edge.
    pub bind: Vec<SocketAddr>,
}

/// A resource at an edge that publishes or plays. Dropping it closes the media; [`Http::close`] also tells the edge.
pub struct Http {
    engine: Engine,
    shared: Arc<Shared>,
    states: mpsc::Receiver<MediaState>,
    http: reqwest::Client,
    resource: reqwest::Url,
    token: String,
}

impl Http {
    /// Publishes files, as an encoder would.
    pub async fn publish(options: HttpOptions, files: Vec<(Source, MediaFile)>, repeat: bool) -> Result<Self, Error> {
        let nothing = Slots { audio: 0, video: 0, screen: 0 };
        let (mut engine, states) = engine(&options, nothing, None).await?;
        let mut tracks = Vec::new();
        for (source, file) in files {
            tracks.push((engine.publish(source, &file).await?, file));
        }
        let session = Self::open(options, "whip", engine, states).await?;
        for (track, file) in tracks {
            tokio::spawn(track.play(file, repeat));
        }
        Ok(session)
    }

    /// Plays a room, as a player would.
    pub async fn play(options: HttpOptions, slots: Slots, on_frame: Option<OnFrame>) -> Result<Self, Error> {
        let (engine, states) = engine(&options, slots, on_frame).await?;
        Self::open(options, "whep", engine, states).await
    }

    async fn open(
        options: HttpOptions,
        door: &str,
        mut engine: Engine,
        states: mpsc::Receiver<MediaState>,
    ) -> Result<Self, Error> {
        let url = format!("{}/v1/{door}/{}", options.edge.trim_end_matches('/'), options.room);
        let unreachable = |error: reqwest::Error| Error::Unreachable { url: url.clone(), why: chain(&error) };
        let http = reqwest::Client::builder().timeout(ANSWER_MAX).build().map_err(unreachable)?;
        let offered = engine.offer(false).await?;
        let call =
            http.post(&url).bearer_auth(&options.token).header("content-type", "application/sdp").body(offered.sdp);
        let answer = refused(call.send().await.map_err(unreachable)?).await?;
        let location = answer.headers().get("location").and_then(|location| location.to_str().ok());
        let resource = location.and_then(|location| answer.url().join(location).ok());
        let resource = resource.ok_or_else(|| Error::Engine("the edge named no resource (Location)".into()))?;
        engine.answer(answer.text().await.map_err(unreachable)?).await?;
        Ok(Self { shared: engine.shared(), engine, states, http, resource, token: options.token })
    }

    /// Waits until media packets can flow.
    pub async fn connected(&mut self, at_most: Duration) -> Result<(), Error> {
        let settled = async {
            loop {
                match self.states.recv().await {
                    Some(MediaState::Connected) => return Ok(()),
                    Some(MediaState::Failed) => return Err(Error::Engine("ICE or DTLS failed".into())),
                    Some(_) => {}
                    None => return Err(Error::Over),
                }
            }
        };
        tokio::time::timeout(at_most, settled).await.map_err(|_| Error::Timeout("media do not connect"))?
    }

    /// What came, by m-line.
    #[must_use]
    pub fn received(&self) -> BTreeMap<String, Received> {
        self.shared.looked().received.clone()
    }

    /// Ends the resource at the edge and the media here.
    pub async fn close(self) -> Result<(), Error> {
        let unreachable =
            |error: reqwest::Error| Error::Unreachable { url: self.resource.to_string(), why: chain(&error) };
        let answer = self.http.delete(self.resource.clone()).bearer_auth(&self.token).send().await.map_err(unreachable);
        self.engine.close().await;
        refused(answer?).await.map(|_| ())
    }
}

async fn engine(
    options: &HttpOptions,
    slots: Slots,
    on_frame: Option<OnFrame>,
) -> Result<(Engine, mpsc::Receiver<MediaState>), Error> {
    let bind = match options.bind.is_empty() {
        true => vec![local::towards(&options.edge).await?],
        false => options.bind.clone(),
    };
    Engine::new(Plan { ice_servers: &[], bind, relay_only: false, slots, on_frame }).await
}
