//! What is said to clients: a number of the conversation's own, and a body that many conversations may share.
//!
//! ```text
//!   to ana   {"seq":41, ┐
//!   to ben   {"seq":17, ├── "type":"roster", …}     written once, whoever of the room writes it first
//!   to cem   {"seq":99, ┘
//! ```

use lyceum_wire::signal::{EdgeSays, ToClient};
use std::sync::{Arc, OnceLock};

/// The same words for any number of clients. Their JSON is written at most once.
#[derive(Debug)]
pub struct Body {
    says: EdgeSays,
    text: OnceLock<Box<str>>,
}

impl Body {
    /// Words that may be said to many.
    #[must_use]
    pub fn new(says: EdgeSays) -> Arc<Self> {
        Arc::new(Self { says, text: OnceLock::new() })
    }

    /// What they say.
    #[must_use]
    pub fn says(&self) -> &EdgeSays {
        &self.says
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.says == other.says
    }
}

/// One numbered message to one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Saying {
    /// Its number in the conversation; 0 for what is never said again.
    pub seq: u64,
    /// What is said.
    pub body: Arc<Body>,
}

impl Saying {
    /// Words for one client alone.
    #[must_use]
    pub fn new(seq: u64, says: EdgeSays) -> Self {
        Self { seq, body: Body::new(says) }
    }

    /// The message as it goes over the wire: [`ToClient`] in JSON.
    #[must_use]
    pub fn text(&self) -> String {
        // A message is maps, strings and numbers: writing it cannot fail.
        let body = self.body.text.get_or_init(|| serde_json::to_string(&self.body.says).unwrap_or_default().into());
        let mut text = String::with_capacity(body.len() + 32);
        text.push_str("{\"seq\":");
        text.push_str(&self.seq.to_string());
        text.push(',');
        text.push_str(body.get(1..).unwrap_or_default());
        text
    }

    /// The message as a value.
    #[must_use]
    pub fn to_client(&self) -> ToClient {
        ToClient { seq: self.seq, body: self.body.says.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_words_are_the_same_json_as_ones_own() {
        let says = EdgeSays::Pong { t: 1.5 };
        let body = Body::new(says.clone());
        for seq in [0, 1, u64::MAX] {
            let saying = Saying { seq, body: body.clone() };
            let whole = ToClient { seq, body: says.clone() };
            assert_eq!(saying.text(), serde_json::to_string(&whole).unwrap());
            assert_eq!(serde_json::from_str::<ToClient>(&saying.text()).unwrap(), saying.to_client());
        }
    }
}
