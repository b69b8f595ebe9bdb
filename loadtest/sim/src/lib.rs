//! lyceum-sim.
