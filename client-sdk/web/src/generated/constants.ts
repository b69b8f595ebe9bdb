// Generated from the Rust types by `cargo test -p lyceum-wire --features ts`. Do not edit.
/** Protocol version, sent in `hello`. */
export const VERSION = 1;
/** Longest WebSocket message an edge takes, in bytes. */
export const MESSAGE_BYTES_MAX = 262144;
/** Longest body of a room message, in bytes of JSON. */
export const BODY_BYTES_MAX = 16384;
/** A session waits this long for its socket to come back, in milliseconds. */
export const RESUME_MS = 30000;
/** Messages kept for a late joiner. */
export const HISTORY_MESSAGES = 200;
/** Voices one `view` may name in `listen`. */
export const LISTEN_MAX = 8;
