//! lyceum-control-core.
