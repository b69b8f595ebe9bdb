//! A room message at the door: its bounds, and its id, which makes a repeat harmless.

use lyceum_wire::signal::{BODY_BYTES_MAX, Refusal};
use std::collections::{BTreeSet, VecDeque};

/// Longest id of a room message, in bytes: a UUID with a prefix fits.
pub const ID_BYTES_MAX: usize = 64;
/// Longest kind of a room message, in bytes: it is a word.
pub const KIND_BYTES_MAX: usize = 32;
/// Ids remembered per session: more than a client can post during `RESUME_MS`.
pub const IDS_REMEMBERED: usize = 256;

/// The ids one session has posted lately.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    order: VecDeque<String>,
    ids: BTreeSet<String>,
}

impl Posted {
    /// Whether it was posted before.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// It was not posted after all: it may be tried again.
    pub(crate) fn forget(&mut self, id: &str) {
        if self.ids.remove(id) {
            self.order.retain(|known| known != id);
        }
    }

    /// Notes that it was posted.
    pub(crate) fn note(&mut self, id: &str) {
        if !self.ids.insert(id.to_owned()) {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > IDS_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Whether the message may be posted at all.
pub(crate) fn check(id: &str, kind: &str, body: &serde_json::Value) -> Result<(), (Refusal, &'static str)> {
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err((Refusal::Malformed, "the id of a message has 1 to 64 bytes"));
    }
    if kind.is_empty() || kind.len() > KIND_BYTES_MAX {
        return Err((Refusal::Malformed, "the kind of a message has 1 to 32 bytes"));
    }
    let too_large = serde_json::to_vec(body).map_or(true, |text| text.len() > BODY_BYTES_MAX);
    if too_large {
        return Err((Refusal::TooLarge, "the body of a message is larger than 16 KiB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_of_a_message() {
        let long = "x".repeat(BODY_BYTES_MAX);
        let table = [
            ("1", "chat", json!("hello"), None),
            ("", "chat", json!("hello"), Some(Refusal::Malformed)),
            (&long[..65], "chat", json!("hello"), Some(Refusal::Malformed)),
            ("1", "", json!("hello"), Some(Refusal::Malformed)),
            ("1", &long[..33], json!("hello"), Some(Refusal::Malformed)),
            ("1", "chat", json!(&long[2..]), None),
            ("1", "chat", json!(long), Some(Refusal::TooLarge)),
        ];
        for (id, kind, body, refusal) in table {
            assert_eq!(check(id, kind, &body).err().map(|(code, _)| code), refusal, "{id} {kind}");
        }
    }

    #[test]
    fn an_id_is_posted_once_and_remembered_for_a_while() {
        let mut posted = Posted::default();
        posted.note("a");
        assert!(posted.has("a") && !posted.has("0"));
        for n in 0..IDS_REMEMBERED {
            posted.note(&n.to_string());
            posted.note(&n.to_string());
        }
        assert!(posted.has("0") && !posted.has("a"), "forgotten by now");
        assert_eq!(posted.ids.len(), posted.order.len());
    }
}
