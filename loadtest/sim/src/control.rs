//! The control plane, as far as a mesh in virtual time needs it: who hosts which room.

use lyceum_control_core::map::{self, Record, Step};
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, RoomId};
use std::collections::BTreeMap;

/// Room maps by the control plane's own rules.
#[derive(Debug, Default)]
pub(crate) struct Control {
    rooms: BTreeMap<RoomId, Record>,
    revision: u64,
}

impl Control {
    /// The node hosts the room from now on. The maps that changed, to be told to everybody in them.
    pub(crate) fn attach(&mut self, room: &RoomId, node: &NodeAddress) -> Option<RoomMap> {
        if let Ok(Step::Write(record)) = map::attach(self.rooms.get(room), node) {
            self.write(room, record);
        }
        self.map(room)
    }

    /// The node no longer hosts the room.
    pub(crate) fn detach(&mut self, room: &RoomId, node: &NodeId) -> Option<RoomMap> {
        match map::detach(self.rooms.get(room), node) {
            Step::Same => {}
            Step::Write(record) => self.write(room, record),
            Step::Delete => {
                self.revision += 1;
                self.rooms.remove(room);
            }
        }
        self.map(room)
    }

    /// Rooms a node is attached to.
    pub(crate) fn rooms_of(&self, node: &NodeId) -> Vec<RoomId> {
        let hosts = |record: &Record| record.nodes.iter().any(|there| there.node == *node);
        self.rooms.iter().filter(|(_, record)| hosts(record)).map(|(room, _)| room.clone()).collect()
    }

    fn write(&mut self, room: &RoomId, record: Record) {
        self.revision += 1;
        self.rooms.insert(room.clone(), record);
    }

    fn map(&self, room: &RoomId) -> Option<RoomMap> {
        map::view(room, self.rooms.get(room)?, self.revision)
    }
}
