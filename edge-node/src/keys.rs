//! The public keys of join tokens, as the control plane last said them. They are kept when it is away.

use lyceum_wire::signal::Refusal;
use lyceum_wire::token::{self, Claims, PublicKey};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The keys of the moment.
#[derive(Debug, Default)]
pub(crate) struct Keys(RwLock<Arc<token::Keys>>);

/// Why a token opens nothing.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) code: Refusal,
    pub(crate) message: String,
}

impl Keys {
    /// Takes new keys. What is not a key is left out and told. True: others took the place of earlier ones.
    pub(crate) fn set(&self, said: &BTreeMap<String, String>) -> bool {
        let mut keys = token::Keys::new();
        for (id, text) in said {
            match PublicKey::parse(text) {
                Ok(key) => {
                    keys.insert(id.clone(), key);
                }
                Err(error) => tracing::warn!(id, %error, "the control plane sent something that is not a token key"),
            }
        }
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = !held.is_empty() && **held != keys;
        *held = Arc::new(keys);
        changed
    }

    /// Whether there is any.
    pub(crate) fn any(&self) -> bool {
        !self.now().is_empty()
    }

    /// Judges a token, offline.
    pub(crate) fn verify(&self, text: &str) -> Result<Claims, Rejected> {
        let keys = self.now();
        if keys.is_empty() {
            let message = "this edge has not heard from its control plane yet: try again".to_owned();
            return Err(Rejected { code: Refusal::Internal, message });
        }
        token::verify(&keys, text, crate::doors::unix_ms() / 1_000)
            .map_err(|error| Rejected { code: error.refusal(), message: error.to_string() })
    }

    fn now(&self) -> Arc<token::Keys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
