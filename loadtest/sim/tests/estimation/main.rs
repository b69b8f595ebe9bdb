//! The bandwidth estimate on networks that change, in virtual time, each play on several seeds. `LYCEUM_SEED=17 cargo test -p lyceum-sim
//! --test estimation drop` replays one seed, `LYCEUM_SEEDS=100` runs more of them. The bounds are those of libwebrtc's own scenario
//! tests where there are such; the others are explained where they stand (`docs/estimation.md`).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test has to begin somewhere")]

mod noise;
mod plays;
mod world;
