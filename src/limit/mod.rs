//! What keys and strangers have asked for so far: cells that outlive every snapshot and config, shared by all workers of the
//! process without a lock, and the shares of them that replicas agree on. What they may ask for is in `policy::plan`.

pub mod cells;
pub mod failed_attempts;
pub mod gcra;
pub mod share;
pub mod worker;
