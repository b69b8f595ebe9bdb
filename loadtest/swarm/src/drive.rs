//! One bot on real sockets: a task that turns the machine.

use crate::inbox::Inbox;
use crate::place::Door;
use anyhow::{Context, Result};
use futures_util::{SinkExt, Stream, StreamExt};
use lyceum_bot::{Bot, Config, Output, Report, Stage};
use lyceum_session::Config as SessionConfig;
use lyceum_wire::id::{Region, RoomId};
use lyceum_wire::signal::ToClient;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

/// Trains of datagrams taken in one go before what the machine wants is done.
const TRAINS_MAX: usize = 64;
/// Messages of the edge that wait for their bot: beyond them the socket waits.
const HEARD_MAX: usize = 64;
/// What a WebSocket keeps for reading.
const READ_BYTES: usize = 4 * 1024;
/// What waits for nobody waits this long.
const IDLE: Duration = Duration::from_millis(250);
/// Time for the last messages of a bot that leaves.
const GOODBYE: Duration = Duration::from_millis(500);
/// A WebSocket that is not up by then is refused.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// One bot's part of the run.
pub(crate) struct Task {
    pub(crate) door: Door,
    pub(crate) room: RoomId,
    pub(crate) name: String,
    pub(crate) region: Option<Region>,
    pub(crate) plan: lyceum_bot::Plan,
    pub(crate) session: SessionConfig,
    pub(crate) seed: u64,
    pub(crate) origin: u64,
    pub(crate) zero: Instant,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What one bot brings home.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    /// From the first HTTP request to connected media.
    pub(crate) joined_after: Option<Duration>,
    /// From the first HTTP request to the first picture.
    pub(crate) first_frame_after: Option<Duration>,
    pub(crate) report: Report,
    pub(crate) latencies_us: Vec<u32>,
    /// From a camera's coming into a slot to its first picture there.
    pub(crate) fills_us: Vec<u32>,
    /// How late the task was woken, in microseconds, worst per turn.
    pub(crate) late_us: Vec<u32>,
    pub(crate) region: Option<Region>,
}

impl Task {
    pub(crate) async fn run(mut self) -> Harvest {
        let begun = Instant::now();
        let mut harvest = Harvest::default();
        let outcome = self.participate(begun, &mut harvest).await;
        if let Err(error) = outcome {
            harvest.report.ended.get_or_insert(format!("{error:#}"));
        }
        harvest
    }

    async fn participate(&mut self, begun: Instant, harvest: &mut Harvest) -> Result<()> {
        let (token, placement) = self.door.enter(&self.room, &self.name, self.region.take()).await?;
        harvest.region = Some(placement.edge.region.clone());
        // The library's own 128 KiB are cleared at every look at the socket, which is after every datagram.
        let buffers = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let url = format!("{}/v1/signal", placement.edge.url.trim_end_matches('/')).replacen("http", "ws", 1);
        let (socket, _) = timeout(CONNECT_WITHIN, connect_async_with_config(&url, Some(buffers), true))
            .await
            .context("the edge's WebSocket did not open in time")?
            .with_context(|| format!("{url} refused"))?;
        let (mut say, socket) = socket.split();
        // Read by a task of its own, which ends with this one: else the socket would be looked at after every datagram.
        let (heard, mut hear) = mpsc::channel(HEARD_MAX);
        let mut reader = JoinSet::new();
        reader.spawn(listen(socket, heard));

        let mut inbox = Inbox::towards(&placement.edge.url).await?;
        let config = Config {
            token: token.token,
            plan: self.plan.clone(),
            local: inbox.address()?,
            seed: self.seed,
            origin: self.origin,
            zero: self.zero,
        };
        let born = Instant::now();
        let mut bot = Bot::new(config, &self.session, born);
        bot.socket_opened();

        let mut leaving = false;
        // Both live over all turns: to wait anew for each datagram costs more than the datagram.
        let mut stop = self.stop.clone();
        let mut stopped = pin!(async move { stop.changed().await });
        let mut alarm = pin!(sleep_until(TokioInstant::from_std(born)));
        loop {
            while let Some(output) = bot.poll() {
                match output {
                    Output::Say(message) => {
                        let text = serde_json::to_string(&message).context("a message cannot be written")?;
                        say.send(Message::text(text)).await.context("the WebSocket was cut")?;
                    }
                    Output::Transmit { to, bytes } => inbox.send(to, &bytes),
                }
            }
            harvest.latencies_us.extend(bot.take_latencies_us());
            harvest.fills_us.extend(bot.take_fills_us());
            bot.take_messages();
            if bot.stage() == Stage::Over {
                break;
            }
            let deadline = bot.deadline().unwrap_or_else(|| Instant::now() + IDLE);
            if alarm.deadline() != TokioInstant::from_std(deadline) {
                alarm.as_mut().reset(TokioInstant::from_std(deadline));
            }
            tokio::select! {
                biased;
                _ = &mut stopped, if !leaving => leaving = true,
                ready = inbox.ready() => {
                    ready.context("the UDP socket failed")?;
                    let (now, mut trains) = (Instant::now(), 0);
                    while trains < TRAINS_MAX {
                        match inbox.take(|from, datagram| bot.datagram(from, datagram, now)) {
                            Ok(0) => break,
                            Ok(more) => trains += more,
                            Err(error) => return Err(error).context("the UDP socket failed"),
                        }
                    }
                    bot.settle(now);
                }
                heard = hear.recv() => {
                    let message = heard.context("the WebSocket's reader is gone")??;
                    bot.hear(message, Instant::now());
                }
                () = &mut alarm => {}
            }
            let now = Instant::now();
            if deadline <= now {
                if bot.stage() == Stage::Connected {
                    harvest.late_us.push(now.duration_since(deadline).as_micros().min(u128::from(u32::MAX)) as u32);
                }
                bot.tick(now);
            }
            if leaving && bot.stage() != Stage::Over {
                harvest.take(&bot, begun, born);
                bot.leave(now);
                while let Some(Output::Say(message)) = bot.poll() {
                    let text = serde_json::to_string(&message).context("a message cannot be written")?;
                    let _ = say.send(Message::text(text)).await;
                }
                let _ = timeout(GOODBYE, say.close()).await;
                return Ok(());
            }
        }
        harvest.take(&bot, begun, born);
        Ok(())
    }
}

/// Passes on what the edge says, until it says no more.
async fn listen(
    mut socket: impl Stream<Item = tungstenite::Result<Message>> + Unpin,
    heard: mpsc::Sender<Result<ToClient>>,
) {
    loop {
        let said = match socket.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).context("the edge said what is no message"),
            Some(Ok(_)) => continue,
            Some(Err(error)) => Err(error).context("the WebSocket failed"),
            None => Err(anyhow::anyhow!("the edge closed the WebSocket")),
        };
        let over = said.is_err();
        if heard.send(said).await.is_err() || over {
            return;
        }
    }
}

impl Harvest {
    fn take(&mut self, bot: &Bot, begun: Instant, born: Instant) {
        self.report = bot.report();
        let head = born.duration_since(begun);
        self.joined_after = self.report.joined_after.map(|after| after + head);
        self.first_frame_after = self.report.first_frame_after.map(|after| after + head);
    }
}
