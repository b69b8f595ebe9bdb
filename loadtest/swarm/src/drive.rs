//! One bot on real sockets: a task that turns the machine.

use crate::place::Door;
use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use lyceum_bot::{Bot, Config, Output, Report, Stage};
use lyceum_session::Config as SessionConfig;
use lyceum_wire::id::{Region, RoomId};
use lyceum_wire::signal::ToClient;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Datagrams taken in one go before the machine is turned.
const BATCH_DATAGRAMS: usize = 64;
/// Receive buffer asked for: a second of video at 2 Mbit/s.
const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;
/// Longest datagram received, in bytes.
const DATAGRAM_BYTES_MAX: usize = 2_048;
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
        let (mut say, mut hear) = socket.split();

        let udp = udp_towards(&placement.edge.url).await?;
        let config = Config {
            token: token.token,
            plan: self.plan.clone(),
            local: udp.local_addr()?,
            seed: self.seed,
            origin: self.origin,
            zero: self.zero,
        };
        let born = Instant::now();
        let mut bot = Bot::new(config, &self.session, born);
        bot.socket_opened();

        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let mut leaving = false;
        loop {
            while let Some(output) = bot.poll() {
                match output {
                    Output::Say(message) => {
                        let text = serde_json::to_string(&message).context("a message cannot be written")?;
                        say.send(Message::text(text)).await.context("the WebSocket was cut")?;
                    }
                    // A full socket buffer drops, as a network would.
                    Output::Transmit { to, bytes } => drop(udp.try_send_to(&bytes, to)),
                }
            }
            harvest.latencies_us.extend(bot.take_latencies_us());
            harvest.fills_us.extend(bot.take_fills_us());
            bot.take_messages();
            let now = Instant::now();
            if bot.stage() == Stage::Over {
                break;
            }
            let deadline = bot.deadline().unwrap_or(now + IDLE);
            tokio::select! {
                biased;
                _ = self.stop.changed() => leaving = true,
                received = udp.recv_from(&mut buffer) => {
                    let (len, from) = received.context("the UDP socket failed")?;
                    bot.datagram(from, &mut buffer[..len], Instant::now());
                    for _ in 1..BATCH_DATAGRAMS {
                        let Ok((len, from)) = udp.try_recv_from(&mut buffer) else { break };
                        bot.datagram(from, &mut buffer[..len], Instant::now());
                    }
                }
                heard = hear.next() => match heard {
                    Some(Ok(Message::Text(text))) => {
                        let message: ToClient = serde_json::from_str(&text).context("the edge said what is no message")?;
                        bot.hear(message, Instant::now());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error).context("the WebSocket failed"),
                    None => anyhow::bail!("the edge closed the WebSocket"),
                },
                () = sleep_until(TokioInstant::from_std(deadline)) => {}
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

impl Harvest {
    fn take(&mut self, bot: &Bot, begun: Instant, born: Instant) {
        self.report = bot.report();
        let head = born.duration_since(begun);
        self.joined_after = self.report.joined_after.map(|after| after + head);
        self.first_frame_after = self.report.first_frame_after.map(|after| after + head);
    }
}

/// A UDP socket on the address from which the edge is reached.
async fn udp_towards(url: &str) -> Result<UdpSocket> {
    let authority = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default();
    let port = if url.starts_with("https") { 443 } else { 80 };
    let authority = if authority.rsplit(']').next().unwrap_or_default().contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    };
    let mut addresses = tokio::net::lookup_host(&authority).await.with_context(|| format!("{authority} is unknown"))?;
    let edge = addresses.next().with_context(|| format!("{authority} has no address"))?;
    let any: SocketAddr = match edge {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // The routing table tells the own address; nothing is sent by this.
    let probe = std::net::UdpSocket::bind(any)?;
    probe.connect(edge)?;
    let own = SocketAddr::new(probe.local_addr()?.ip(), 0);
    let socket = socket2::Socket::new(socket2::Domain::for_address(own), socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&own.into())?;
    UdpSocket::from_std(socket.into()).context("no UDP socket")
}
