//! Who hosts a room: the nodes in order of attachment. The first is the room's home; when it dies or leaves, the next one is.
//!
//! The map's epoch is the store's revision of its entry: it grows with every change, also when a room ends and begins
//! again, and no two control planes can give the same epoch to different maps.

use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, RoomId};
use serde::{Deserialize, Serialize};

/// Nodes in one room. In a full mesh each new one links to all others: beyond this the links alone would fill a node.
pub const NODES_PER_ROOM_MAX: usize = 64;

/// A room's entry in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// In order of attachment, never empty.
    pub nodes: Vec<NodeAddress>,
}

/// What has to be written for a wish to come true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is so.
    Same,
    /// This.
    Write(Record),
    /// The entry goes: nobody hosts the room any more.
    Delete,
}

/// The room has [`NODES_PER_ROOM_MAX`] nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room has as many nodes as a room can have")]
pub struct Full;

/// A node wants to host. One that does already keeps its place; only its address may have changed.
pub fn attach(record: Option<&Record>, node: &NodeAddress) -> Result<Step, Full> {
    let mut nodes = record.map_or_else(Vec::new, |record| record.nodes.clone());
    match nodes.iter().position(|there| there.node == node.node) {
        Some(place) if nodes[place] == *node => return Ok(Step::Same),
        Some(place) => nodes[place] = node.clone(),
        None if nodes.len() >= NODES_PER_ROOM_MAX => return Err(Full),
        None => nodes.push(node.clone()),
    }
    Ok(Step::Write(Record { nodes }))
}

/// A node no longer hosts, or died.
#[must_use]
pub fn detach(record: Option<&Record>, node: &NodeId) -> Step {
    let Some(record) = record.filter(|record| record.nodes.iter().any(|there| there.node == *node)) else {
        return Step::Same;
    };
    let nodes: Vec<NodeAddress> = record.nodes.iter().filter(|there| there.node != *node).cloned().collect();
    if nodes.is_empty() { Step::Delete } else { Step::Write(Record { nodes }) }
}

/// The map that nodes get to see. None for a record with no nodes, which nobody writes.
#[must_use]
pub fn view(room: &RoomId, record: &Record, revision: u64) -> Option<RoomMap> {
    let home = record.nodes.first()?.node.clone();
    Some(RoomMap { room: room.clone(), epoch: revision, home, nodes: record.nodes.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::id::Region;

    fn node(name: &str, port: u16) -> NodeAddress {
        NodeAddress {
            node: NodeId::parse(name).unwrap(),
            region: Region::parse("eu").unwrap(),
            link_addr: format!("127.0.0.1:{port}"),
        }
    }

    /// Plays `+a` (attach), `+a:9` (attach at port 9), `-a` (detach), and says who is there, the home first.
    fn play(script: &str) -> String {
        let mut record: Option<Record> = None;
        for word in script.split_whitespace() {
            let (name, port) = word[1..].split_once(':').unwrap_or((&word[1..], "1"));
            let who = node(name, port.parse().unwrap());
            let step = match &word[..1] {
                "+" => attach(record.as_ref(), &who).unwrap(),
                _ => detach(record.as_ref(), &who.node),
            };
            match step {
                Step::Same => {}
                Step::Write(new) => record = Some(new),
                Step::Delete => record = None,
            }
        }
        let there = |n: &NodeAddress| format!("{}:{}", n.node, n.link_addr.rsplit(':').next().unwrap());
        record.map_or("nobody".into(), |r| r.nodes.iter().map(there).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_longest_attached_node_is_home() {
        for (script, wanted) in [
            ("+a +b +c", "a:1 b:1 c:1"),
            ("+a +b +a", "a:1 b:1"),
            ("+a +b -a", "b:1"),
            ("+a +b -a +a", "b:1 a:1"),
            ("+a +b +a:9", "a:9 b:1"),
            ("+a -b", "a:1"),
            ("+a -a", "nobody"),
            ("-a", "nobody"),
        ] {
            assert_eq!(play(script), wanted, "{script}");
        }
    }

    #[test]
    fn saying_the_same_again_writes_nothing() {
        let record = Record { nodes: vec![node("a", 1)] };
        assert_eq!(attach(Some(&record), &node("a", 1)), Ok(Step::Same));
        assert_eq!(detach(Some(&record), &NodeId::parse("b").unwrap()), Step::Same);
    }

    #[test]
    fn a_full_room_refuses_a_new_node_but_not_an_old_one() {
        let nodes: Vec<NodeAddress> = (0..NODES_PER_ROOM_MAX).map(|i| node(&format!("n{i}"), 1)).collect();
        let record = Record { nodes };
        assert_eq!(attach(Some(&record), &node("late", 1)), Err(Full));
        assert!(attach(Some(&record), &node("n3", 2)).is_ok());
    }
}
