//! lyceum-swarm.
