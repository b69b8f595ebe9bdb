//! SCTP over DTLS (RFC 8261) on `rtc-sctp`, and the data channels on it (RFC 8831).
//!
//! The DTLS client begins the association, as everybody does; the server waits. Retransmitted INITs make the library begin
//! further associations; the one that comes up is kept.

use crate::channel::{ChannelId, ChannelOptions, MessageKind, Reliability, SendError};
use crate::dcep::Dcep;
use crate::drops::{DropReason, Drops};
use crate::session::{Output, SctpRemote, Session};
use bytes::{Bytes, BytesMut};
use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, EndpointEvent, Event,
    Payload, PayloadProtocolIdentifier as Ppi, ReliabilityType, ServerConfig, StreamEvent, TimerConfig,
    TransportConfig, max_payload_size_for_mtu,
};
use rtc_shared::TransportProtocol;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// SCTP packets have at most this many bytes: with DTLS, TURN and IPv6 around them they fit the smallest MTU.
const PACKET_BYTES_MAX: u32 = 1150;
/// Bytes received but not yet whole messages: four of the longest.
const RECEIVE_BYTES_MAX: u32 = 4 * Session::MESSAGE_BYTES_MAX as u32;
/// Associations that may be coming up at once: as many INITs as a client repeats before the first answer is through.
const RISING_MAX: usize = 4;
/// Retransmissions of one packet before the association is given up. ICE notices a dead path before this.
const RETRANSMITS_MAX: usize = 12;
/// See [`crate::dtls`]: the association does not know where it goes.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// One peer's SCTP.
pub(crate) struct Sctp {
    endpoint: Endpoint,
    associations: Vec<(AssociationHandle, Association)>,
    up: bool,
    over: bool,
    we_are_client: bool,
    message_bytes_max: usize,
    channels: BTreeMap<u16, Channel>,
    next_id: u16,
}

struct Channel {
    options: ChannelOptions,
    open: bool,
}

impl Sctp {
    pub(crate) fn new(remote: SctpRemote, we_are_client: bool) -> Self {
        let theirs = match remote.max_message_bytes {
            0 => Session::MESSAGE_BYTES_MAX,
            bytes => bytes as usize,
        };
        let message_bytes_max = theirs.min(Session::MESSAGE_BYTES_MAX);
        let mut config = EndpointConfig::new();
        config.max_payload_size(max_payload_size_for_mtu(PACKET_BYTES_MAX));
        let server = (!we_are_client).then(|| Arc::new(ServerConfig::new(transport(message_bytes_max))));
        Self {
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, Arc::new(config), server),
            associations: Vec::new(),
            up: false,
            over: false,
            we_are_client,
            message_bytes_max,
            channels: BTreeMap::new(),
            // The DTLS client takes even numbers (RFC 8832 §6).
            next_id: u16::from(!we_are_client),
        }
    }

    /// DTLS is up.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.we_are_client && self.associations.is_empty() {
            let config = ClientConfig::new(transport(self.message_bytes_max));
            // Fails only for an address without a port.
            if let Ok(association) = self.endpoint.connect(now, config, PEER) {
                self.associations.push(association);
            }
        }
    }

    /// A packet came out of DTLS.
    pub(crate) fn handle(&mut self, packet: BytesMut, now: Instant, drops: &mut Drops, outputs: &mut VecDeque<Output>) {
        if self.over {
            drops.count(DropReason::AfterEnd);
            return;
        }
        match self.endpoint.handle(now, PEER, None, packet.freeze()) {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                match self.associations.iter_mut().find(|(known, _)| *known == handle) {
                    Some((_, association)) => association.handle_event(event),
                    None => drops.count(DropReason::SctpMalformed),
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                if self.associations.len() >= RISING_MAX {
                    let (oldest, _) = self.associations.remove(0);
                    self.endpoint.handle_event(oldest, EndpointEvent::drained());
                }
                self.associations.push((handle, association));
            }
            _ => drops.count(DropReason::SctpMalformed),
        }
        self.settle(now, drops, outputs);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, drops: &mut Drops, outputs: &mut VecDeque<Output>) {
        for (_, association) in &mut self.associations {
            association.handle_timeout(now);
        }
        self.settle(now, drops, outputs);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.associations.iter().filter_map(|(_, association)| association.poll_timeout()).min()
    }

    /// The next packets to seal.
    pub(crate) fn transmit(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        for (_, association) in &mut self.associations {
            if let Some(transmit) = association.poll_transmit(now)
                && let Payload::RawEncode(packets) = transmit.message
            {
                return Some(packets);
            }
        }
        None
    }

    pub(crate) fn open(&mut self, options: ChannelOptions, now: Instant) -> Result<ChannelId, SendError> {
        if self.over || self.channels.len() >= Session::CHANNELS_MAX {
            return Err(SendError::NoChannel);
        }
        while self.channels.contains_key(&self.next_id) {
            self.next_id = self.next_id.wrapping_add(2);
        }
        let id = self.next_id;
        // 65535 is not a stream (RFC 8832 §6); numbers are not used again before all others were.
        self.next_id = if id >= 65_533 { id & 1 } else { id + 2 };
        self.channels.insert(id, Channel { options, open: false });
        if self.up {
            self.say_open(id, now);
        }
        Ok(ChannelId(id))
    }

    pub(crate) fn send(
        &mut self,
        id: ChannelId,
        kind: MessageKind,
        data: &Bytes,
        now: Instant,
    ) -> Result<(), SendError> {
        if !self.channels.get(&id.0).is_some_and(|channel| channel.open) {
            return Err(SendError::NotOpen);
        }
        if data.len() > self.message_bytes_max {
            return Err(SendError::TooLong);
        }
        if self.buffered_in_all() + data.len() > Session::BUFFERED_BYTES_MAX {
            return Err(SendError::Full);
        }
        // SCTP has no empty messages (RFC 8831 §6.6).
        static EMPTY: Bytes = Bytes::from_static(&[0]);
        let (data, ppi) = match (kind, data.is_empty()) {
            (MessageKind::Text, false) => (data, Ppi::String),
            (MessageKind::Text, true) => (&EMPTY, Ppi::StringEmpty),
            (MessageKind::Binary, false) => (data, Ppi::Binary),
            (MessageKind::Binary, true) => (&EMPTY, Ppi::BinaryEmpty),
        };
        self.write(id.0, data, ppi, now).ok_or(SendError::NotOpen)
    }

    pub(crate) fn buffered(&mut self, id: ChannelId) -> usize {
        let Some((_, association)) = self.associations.first_mut() else { return 0 };
        association.stream(id.0).ok().and_then(|stream| stream.buffered_amount().ok()).unwrap_or(0)
    }

    fn buffered_in_all(&mut self) -> usize {
        let ids: Vec<u16> = self.channels.keys().copied().collect();
        ids.into_iter().map(|id| self.buffered(ChannelId(id))).sum()
    }

    pub(crate) fn close_channel(&mut self, id: ChannelId, now: Instant, outputs: &mut VecDeque<Output>) {
        if self.channels.remove(&id.0).is_some() {
            if let Some((_, association)) = self.associations.first_mut().filter(|_| self.up)
                && let Ok(mut stream) = association.stream(id.0)
            {
                // Resets our direction; the peer answers with its own (RFC 8831 §6.7).
                let _ = stream.close(now);
            }
            outputs.push_back(Output::ChannelClosed { channel: id });
        }
    }

    /// Takes what the associations have to say.
    fn settle(&mut self, now: Instant, drops: &mut Drops, outputs: &mut VecDeque<Output>) {
        while let Some((handle, event)) = self.next_event() {
            match event {
                Event::Connected => self.came_up(handle, now),
                Event::Stream(StreamEvent::Opened { .. }) => self.accept(drops, outputs),
                Event::Stream(StreamEvent::Readable { id }) => self.read(id, now, drops, outputs),
                // Also said when only this stream was reset.
                Event::AssociationLost { id, .. } if self.channels.remove(&id).is_some() => {
                    outputs.push_back(Output::ChannelClosed { channel: ChannelId(id) });
                }
                _ => {}
            }
        }
        if self.up && self.associations.first().is_some_and(|(_, association)| association.is_closed()) {
            self.end(outputs);
        }
    }

    fn next_event(&mut self) -> Option<(AssociationHandle, Event)> {
        self.associations.iter_mut().find_map(|(handle, association)| association.poll().map(|event| (*handle, event)))
    }

    fn came_up(&mut self, handle: AssociationHandle, now: Instant) {
        if self.up {
            return;
        }
        self.up = true;
        self.endpoint.reject_new_associations();
        for (other, _) in self.associations.extract_if(.., |(other, _)| *other != handle) {
            self.endpoint.handle_event(other, EndpointEvent::drained());
        }
        let waiting: Vec<u16> = self.channels.keys().copied().collect();
        for id in waiting {
            self.say_open(id, now);
        }
    }

    /// A stream was begun by the peer.
    fn accept(&mut self, drops: &mut Drops, outputs: &mut VecDeque<Output>) {
        let Some((_, association)) = self.associations.first_mut() else { return };
        while association.accept_stream().is_some() {}
        if !self.over && association.stream_ids().len() > 2 * Session::CHANNELS_MAX {
            // Streams cost memory and the peer makes them with one packet each; nobody honest has so many.
            drops.count(DropReason::ChannelsFull);
            let _ = association.abort();
            self.end(outputs);
        }
    }

    fn read(&mut self, id: u16, now: Instant, drops: &mut Drops, outputs: &mut VecDeque<Output>) {
        loop {
            let Some((_, association)) = self.associations.first_mut() else { return };
            let Ok(mut stream) = association.stream(id) else { return };
            let Ok(Some(message)) = stream.read_sctp() else { return };
            let ppi = message.ppi;
            let Ok(data) = message.to_payload(Session::MESSAGE_BYTES_MAX) else {
                drops.count(DropReason::MessageTooLong);
                continue;
            };
            let known = self.channels.contains_key(&id);
            let (kind, data) = match ppi {
                Ppi::Dcep => {
                    self.control(id, &data, now, drops, outputs);
                    continue;
                }
                _ if !known => {
                    drops.count(DropReason::ChannelUnknown);
                    continue;
                }
                Ppi::String => (MessageKind::Text, data.freeze()),
                Ppi::StringEmpty => (MessageKind::Text, Bytes::new()),
                Ppi::BinaryEmpty => (MessageKind::Binary, Bytes::new()),
                _ => (MessageKind::Binary, data.freeze()),
            };
            outputs.push_back(Output::ChannelMessage { channel: ChannelId(id), kind, data });
        }
    }

    fn control(&mut self, id: u16, message: &[u8], now: Instant, drops: &mut Drops, outputs: &mut VecDeque<Output>) {
        match Dcep::read(message) {
            None => drops.count(DropReason::DcepMalformed),
            Some(Dcep::Ack) => {
                if let Some(channel) = self.channels.get_mut(&id)
                    && !std::mem::replace(&mut channel.open, true)
                {
                    let options = channel.options.clone();
                    outputs.push_back(Output::ChannelOpen { channel: ChannelId(id), options });
                }
            }
            // The peer opens with its own numbers only (RFC 8832 §6).
            Some(Dcep::Open(_)) if self.channels.contains_key(&id) || id.is_multiple_of(2) == self.we_are_client => {
                drops.count(DropReason::DcepMalformed);
            }
            Some(Dcep::Open(_)) if self.channels.len() >= Session::CHANNELS_MAX => {
                drops.count(DropReason::ChannelsFull);
                if let Some((_, association)) = self.associations.first_mut()
                    && let Ok(mut stream) = association.stream(id)
                {
                    let _ = stream.close(now);
                }
            }
            Some(Dcep::Open(options)) => {
                self.channels.insert(id, Channel { options: options.clone(), open: true });
                self.write(id, &Dcep::Ack.write(), Ppi::Dcep, now);
                self.set_reliability(id, &options);
                outputs.push_back(Output::ChannelOpen { channel: ChannelId(id), options });
            }
        }
    }

    fn say_open(&mut self, id: u16, now: Instant) {
        let Some(options) = self.channels.get(&id).map(|channel| channel.options.clone()) else { return };
        if let Some((_, association)) = self.associations.first_mut() {
            let _ = association.open_stream(id, Ppi::Binary);
        }
        // Control messages are reliable and ordered whatever the channel is (RFC 8832 §6).
        self.write(id, &Dcep::Open(options.clone()).write(), Ppi::Dcep, now);
        self.set_reliability(id, &options);
    }

    fn set_reliability(&mut self, id: u16, options: &ChannelOptions) {
        let (kind, amount) = match options.reliability {
            Reliability::Reliable => (ReliabilityType::Reliable, 0),
            Reliability::Retransmits(times) => (ReliabilityType::Rexmit, times),
            Reliability::LifetimeMs(ms) => (ReliabilityType::Timed, ms),
        };
        if let Some((_, association)) = self.associations.first_mut()
            && let Ok(mut stream) = association.stream(id)
        {
            let _ = stream.set_reliability_params(options.unordered, kind, amount);
        }
    }

    fn write(&mut self, id: u16, data: &Bytes, ppi: Ppi, now: Instant) -> Option<()> {
        let (_, association) = self.associations.first_mut()?;
        association.stream(id).ok()?.write_chunk_with_ppi(now, data, ppi).ok().map(|_| ())
    }

    fn end(&mut self, outputs: &mut VecDeque<Output>) {
        self.over = true;
        for (id, _) in std::mem::take(&mut self.channels) {
            outputs.push_back(Output::ChannelClosed { channel: ChannelId(id) });
        }
    }
}

fn transport(message_bytes_max: usize) -> TransportConfig {
    TransportConfig::default()
        .with_max_message_size(message_bytes_max as u32)
        .with_max_receive_buffer_size(RECEIVE_BYTES_MAX)
        .with_max_num_inbound_streams(u16::MAX)
        .with_max_num_outbound_streams(u16::MAX)
        .with_timer_config(TimerConfig { max_t3_rtx_retrans: RETRANSMITS_MAX, ..TimerConfig::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Client and server end joined without DTLS, as an authenticated peer with bad intentions sees the server.
    struct Ends {
        client: Sctp,
        server: Sctp,
        now: Instant,
        drops: Drops,
        said: VecDeque<Output>,
        packets: Vec<Bytes>,
    }

    impl Ends {
        fn new() -> Self {
            #[allow(clippy::disallowed_methods, reason = "the one reading of a clock: virtual time needs an origin")]
            let now = Instant::now();
            let remote = SctpRemote { port: 5000, max_message_bytes: 0 };
            let (mut client, server) = (Sctp::new(remote, true), Sctp::new(remote, false));
            client.start(now);
            Self { client, server, now, drops: Drops::default(), said: VecDeque::new(), packets: Vec::new() }
        }

        /// Carries packets until nobody has any.
        fn turn(&mut self) {
            loop {
                let to_server = self.client.transmit(self.now).unwrap_or_default();
                let to_client = self.server.transmit(self.now).unwrap_or_default();
                if to_server.is_empty() && to_client.is_empty() {
                    return;
                }
                for packet in to_server {
                    self.packets.push(packet.clone());
                    self.server.handle(BytesMut::from(&packet[..]), self.now, &mut self.drops, &mut self.said);
                }
                let mut unheard = VecDeque::new();
                for packet in to_client {
                    self.client.handle(BytesMut::from(&packet[..]), self.now, &mut self.drops, &mut unheard);
                }
            }
        }
    }

    /// An SCTP packet with its checksum made right again (RFC 9260 §6.8).
    fn summed(mut packet: Vec<u8>) -> BytesMut {
        if packet.len() >= 12 {
            packet[8..12].fill(0);
            let mut crc = !0u32;
            for byte in &packet {
                crc ^= u32::from(*byte);
                for _ in 0..8 {
                    crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
                }
            }
            packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
        }
        BytesMut::from(&packet[..])
    }

    #[test]
    fn a_peer_with_bad_intentions_cannot_make_the_server_panic() {
        let mut dice = 1u64;
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % sides.max(1)
        };
        for _ in 0..300 {
            let mut ends = Ends::new();
            let id = ends.client.open(ChannelOptions::default(), ends.now).unwrap();
            ends.turn();
            let _ = ends.client.send(id, MessageKind::Text, &Bytes::from(vec![b'x'; 3000]), ends.now);
            ends.turn();
            ends.client.close_channel(id, ends.now, &mut VecDeque::new());
            ends.turn();
            assert_eq!(ends.drops, Drops::default());
            for _ in 0..40 {
                let mut packet = ends.packets[roll(ends.packets.len())].to_vec();
                for _ in 0..=roll(3) {
                    let at = roll(packet.len());
                    packet[at] = if roll(2) == 0 { roll(256) as u8 } else { packet[at].wrapping_add(1) };
                }
                if roll(4) == 0 {
                    packet.truncate(roll(packet.len()));
                }
                ends.server.handle(summed(packet), ends.now, &mut ends.drops, &mut ends.said);
                while ends.server.transmit(ends.now).is_some() {}
            }
        }
    }

    #[test]
    fn a_peer_that_opens_streams_without_end_loses_its_channels_and_nothing_else() {
        let mut ends = Ends::new();
        ends.turn();
        let association = &mut ends.client.associations[0].1;
        for id in 0..200 {
            let mut stream = association.open_stream(id, Ppi::Binary).unwrap();
            stream.write_chunk_with_ppi(ends.now, &Bytes::from_static(b"x"), Ppi::Binary).unwrap();
        }
        ends.turn();
        assert!(ends.drops.of(DropReason::ChannelUnknown) > 0);
        assert_eq!(ends.drops.of(DropReason::ChannelsFull), 1);
        assert_eq!(ends.server.open(ChannelOptions::default(), ends.now), Err(SendError::NoChannel));
    }

    #[test]
    fn repeated_inits_end_in_one_association() {
        let mut ends = Ends::new();
        let init = ends.client.transmit(ends.now).unwrap().remove(0);
        for _ in 0..10 {
            ends.server.handle(BytesMut::from(&init[..]), ends.now, &mut ends.drops, &mut ends.said);
        }
        assert_eq!(ends.server.associations.len(), RISING_MAX);
        ends.turn();
        assert!(ends.client.up && ends.server.up);
        assert_eq!(ends.server.associations.len(), 1);
        ends.server.handle(BytesMut::from(&init[..]), ends.now, &mut ends.drops, &mut ends.said);
        assert_eq!(ends.server.associations.len(), 1, "and none begins later");
        assert_eq!(ends.drops.of(DropReason::SctpMalformed), 1);
    }
}
