//! One room on one shard.
