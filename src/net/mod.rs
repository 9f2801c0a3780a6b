//! Bytes: listeners, streams, TLS, who is at the other end, and how it all ends in order.
//!
//! `listener` accepts → `limits` admits → `prelude` tells HTTP/1 from HTTP/2 (or `tls` from ALPN) → the proxy
//! drives the [`stream::Stream`] while `drain` tells it when to stop.

pub mod client_addr;
pub mod descriptors;
pub mod drain;
pub mod limits;
pub mod listener;
pub mod prelude;
pub mod stream;
pub mod tls;
