//! What cannot be done for less: the same batches to the same sink, without an SFU.

use crate::edge::CORE;
use anyhow::{Context, Result, bail};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lyceum_crowd::{account, bare_datagram};
use lyceum_relay::driver::{Sender, Stats, size_buffers};
use lyceum_relay_core::machine::{Ecn, Transmit, Wire};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a packet that are not encrypted: RTP header with extensions.
const HEADER_BYTES: usize = 32;
/// Length of the tag.
const TAG_BYTES: usize = 16;

/// The batches of a frame: one per viewer.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    /// Viewers by room.
    pub(crate) rooms: Vec<Vec<SocketAddr>>,
    /// Bytes of one datagram.
    pub(crate) segment: usize,
    /// Datagrams of one batch.
    pub(crate) segments: usize,
}

/// What is done for each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labour {
    /// Sent.
    Send,
    /// Copied, sealed with AES-128-GCM, sent: under a key of each viewer's own, as nobody can do otherwise.
    SealAndSend,
}

/// When the frames leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One behind the other, as fast as it goes.
    FlatOut,
    /// Each room's after this time again, the rooms spread over it, as the publishers' frames come.
    Every(Duration),
}

/// What it took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) refused: u64,
    pub(crate) cpu: Duration,
    pub(crate) time: Duration,
}

impl Spent {
    pub(crate) fn nanoseconds_each(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.packets.max(1) as f64
    }

    pub(crate) fn gbps(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.time.as_secs_f64() / 1e9
    }
}

/// Sends on the shard's core until the time is over. Each datagram says when its frame came.
pub(crate) fn send(batches: &Batches, labour: Labour, pace: Pace, time: Duration, zero: Instant) -> Result<Spent> {
    account::pin(CORE)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP socket")?;
    socket.set_nonblocking(true)?;
    size_buffers(&socket);
    let stats = Arc::new(Stats::default());
    let mut sender = Sender::new(Arc::new(socket), stats.clone())?;
    let mut hands: Vec<Vec<Hand>> = Vec::new();
    for viewers in &batches.rooms {
        hands.push(viewers.iter().map(|_| Hand::new()).collect::<Result<_>>()?);
    }
    let payload = vec![0x5a; batches.segment];
    let mut batch = vec![0; batches.segment * batches.segments];
    let (began, cpu) = (Instant::now(), account::this_thread());
    let rooms = batches.rooms.len().max(1) as u32;
    for turn in 0_u32.. {
        let room = turn % rooms;
        let came = match pace {
            Pace::FlatOut => Instant::now(),
            Pace::Every(interval) => wait_until(began + interval * (turn / rooms) + interval * room / rooms),
        };
        if came.saturating_duration_since(began) >= time {
            break;
        }
        let viewers = batches.rooms.get(room as usize).into_iter().flatten();
        for (to, hand) in viewers.zip(hands.get_mut(room as usize).into_iter().flatten()) {
            for datagram in batch.chunks_mut(batches.segment) {
                if labour == Labour::SealAndSend {
                    hand.seal(datagram, &payload)?;
                }
                bare_datagram(datagram, zero, came);
            }
            let (segment, bytes) = (batches.segment, &batch[..]);
            sender.send(Transmit { to: *to, from: None, ecn: Ecn::NotCapable, segment, bytes });
        }
    }
    let sent = stats.snapshot();
    Ok(Spent {
        packets: sent.datagrams_out,
        bytes: sent.bytes_out,
        refused: sent.dropped_send_buffer_full + sent.dropped_send_refused + sent.dropped_too_large,
        cpu: account::this_thread().saturating_sub(cpu),
        time: began.elapsed(),
    })
}

/// Sleeps; the answer is the moment asked for, also when it is over already: what comes late waited.
fn wait_until(at: Instant) -> Instant {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
    at
}

/// Copies and seals for one viewer.
struct Hand {
    key: LessSafeKey,
    number: u64,
}

impl Hand {
    fn new() -> Result<Self> {
        match UnboundKey::new(&AES_128_GCM, &[7; 16]) {
            Ok(key) => Ok(Self { key: LessSafeKey::new(key), number: 0 }),
            Err(_) => bail!("AES-128-GCM is refused"),
        }
    }

    fn seal(&mut self, datagram: &mut [u8], payload: &[u8]) -> Result<()> {
        let end = datagram.len().saturating_sub(TAG_BYTES);
        let Some((head, rest)) = datagram.split_at_mut_checked(HEADER_BYTES.min(end)) else { return Ok(()) };
        let (body, tag) = rest.split_at_mut(end - head.len());
        body.copy_from_slice(&payload[..body.len()]);
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        let sealed = self.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&*head), body);
        let Ok(seal) = sealed else { bail!("sealing failed") };
        tag.copy_from_slice(seal.as_ref());
        Ok(())
    }
}
