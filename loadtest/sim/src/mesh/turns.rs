//! The shards' turns: what goes in, and where what comes out of them goes.

use super::{Mesh, Place, Stream, What};
use crate::meter::{Meter, Work};
use lyceum_edge_core::door::{Aside, Command, Event};
use lyceum_relay_core::hop::Said;
use lyceum_relay_core::link::FromLink;
use lyceum_relay_core::machine::{Input, Transmit, Wire};
use lyceum_relay_core::{Machine, route};
use lyceum_wire::link::datagram;
use std::net::SocketAddr;
use std::time::Duration;

struct Sent {
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    meter: Meter,
}

impl Wire for Sent {
    fn send(&mut self, transmit: Transmit<'_>) {
        // The network's work is not the shard's.
        (self.meter.ends)(Work::Flush);
        let pieces = transmit.bytes.chunks(transmit.segment.max(1));
        self.datagrams.extend(pieces.map(|piece| (transmit.to, piece.to_vec())));
        (self.meter.begins)(Work::Flush);
    }
}

impl Mesh {
    /// What came by a link to the shards it is for, as `relay::mesh` does it.
    pub(super) fn by_link(&mut self, edge: usize, said: FromLink) {
        let shards = self.edges[edge].shards.len();
        match said {
            FromLink::Message { node, message } => {
                let Some(room) = route::room(&message) else { return };
                let shard = self.edges[edge].spread.root(room);
                self.command(Place { edge, shard }, Command::Link(FromLink::Message { node, message }));
            }
            FromLink::Datagrams { node, datagrams } => {
                for one in datagrams {
                    if let Some(shard) = datagram::shard(&one, shards) {
                        let said = FromLink::Datagrams { node: node.clone(), datagrams: vec![one] };
                        self.command(Place { edge, shard }, Command::Link(said));
                    }
                }
            }
            FromLink::Up { .. } | FromLink::Quality { .. } | FromLink::Down { .. } => {
                for shard in 0..shards {
                    self.command(Place { edge, shard }, Command::Link(said.clone()));
                }
            }
        }
    }

    pub(super) fn command(&mut self, at: Place, command: Command) {
        let work = match &command {
            Command::Link(FromLink::Datagrams { .. }) => Work::LinkMedia,
            _ => Work::Command,
        };
        self.work(at, work, Input::Command(command));
        self.drain_shard(at);
    }

    pub(super) fn work(&mut self, at: Place, work: Work, input: Input<'_, Command>) {
        (self.meter.begins)(work);
        self.edges[at.edge].shards[at.shard].handle(input, self.now);
        (self.meter.ends)(work);
    }

    /// Lets leave what leaves now.
    pub(super) fn drain_shard(&mut self, at: Place) {
        if self.edges[at.edge].rests[at.shard].is_none() {
            return self.flush_shard(at);
        }
        let mut sent = Sent { datagrams: Vec::new(), meter: self.meter };
        let says = self.edges[at.edge].shards[at.shard].relieve(&mut sent, self.now);
        self.send(at, sent);
        if says {
            self.listen(at);
        }
    }

    /// Lets everything leave; what comes next may have to gather.
    pub(super) fn flush_shard(&mut self, at: Place) {
        let mut sent = Sent { datagrams: Vec::new(), meter: self.meter };
        (self.meter.begins)(Work::Flush);
        self.edges[at.edge].shards[at.shard].flush(&mut sent, self.now);
        (self.meter.ends)(Work::Flush);
        self.send(at, sent);
        self.listen(at);
        let rest = self.setup.rest.as_micros() as u64;
        if rest > 0 {
            let until = self.now + Duration::from_micros(1 + self.random.below(rest));
            self.edges[at.edge].rests[at.shard] = Some(until);
            self.underway.send(until, What::RestEnds { at });
        }
    }

    fn send(&mut self, at: Place, sent: Sent) {
        let from = self.edges[at.edge].udp[at.shard];
        for (to, bytes) in sent.datagrams {
            if let Some(&bot) = self.by_udp.get(&to) {
                self.findings.leaves(bot, &bytes);
                let arrivals = self.seats[bot].down.send(bytes.len(), self.now, &mut self.random);
                for after in arrivals.times() {
                    self.underway.send(self.now + after, What::ToBot { bot, from, bytes: bytes.clone() });
                }
            }
        }
    }

    fn listen(&mut self, at: Place) {
        while let Some(event) = self.edges[at.edge].shards[at.shard].poll() {
            self.event(at, event);
        }
    }

    fn event(&mut self, Place { edge, shard }: Place, event: Event) {
        match event {
            Event::Say { socket, message } => {
                if let Some(&bot) = self.by_socket.get(&socket) {
                    let after = self.seats[bot].down.send_reliably(&mut self.random);
                    let at = self.in_order(Stream::Down(socket), after);
                    let message = Box::new(message.to_client());
                    self.underway.send(at, What::Say { bot, socket, message });
                }
            }
            Event::CloseSocket { socket } => {
                if let Some(bot) = self.by_socket.remove(&socket) {
                    self.seats[bot].socket = None;
                }
            }
            Event::RoomWanted { room } => {
                let address = self.edges[edge].address.clone();
                let map = self.control.attach(&room, &address);
                self.tell(map);
            }
            Event::RoomEmpty { room } => {
                let node = self.edges[edge].address.node.clone();
                let map = self.control.detach(&room, &node);
                self.tell(map);
            }
            Event::Connect { address } => {
                if let Some(to) = self.edge_of(&address.node) {
                    self.dial(edge, to);
                }
            }
            Event::LinkSend { node, message } => {
                if let Some(to) = self.edge_of(&node) {
                    self.link_message(edge, to, message);
                }
            }
            Event::LinkDatagrams { node, datagrams } => {
                if let Some(to) = self.edge_of(&node) {
                    self.link_datagrams(edge, to, datagrams);
                }
            }
            Event::Stats { stats, .. } => self.edges[edge].stats = Some(*stats),
            Event::RoomCount { room, participants } => self.edges[edge].spread.counted(&room, shard, participants),
            Event::Aside { from, shard, aside } => {
                if matches!(aside, Aside::Room(Said::Datagrams(_))) {
                    self.findings.part_media += 1;
                    if self.random.chance(self.setup.shed_per_million) {
                        self.findings.part_shed += 1;
                        self.findings.lost_before += 64;
                        return;
                    }
                }
                let at = Place { edge, shard: usize::from(shard) };
                self.underway.send(self.now, What::Aside { at, from, aside });
            }
            Event::HttpAnswer { .. } | Event::TurnOpen { .. } | Event::TurnClose { .. } | Event::TurnSend { .. } => {}
        }
    }
}
