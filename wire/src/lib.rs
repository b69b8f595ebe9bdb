//! Bytes and meaning, with no state and no time: every format that crosses a wire in Lyceum.
//!
//! Decoders never panic and never allocate in proportion to a length field they have not checked.
//! The normative descriptions are `docs/protocol/{signal,link,api}.md` and the RFCs named in each module.

pub mod api;
pub mod id;
pub mod link;
pub mod signal;
pub mod token;
