//! HTTP/1.1 (RFC 9112) as pure functions over byte slices, for both sides of a proxy: no IO, no clock.
//!
//! It refuses and never repairs: a message that two parsers could read in two ways is an error, and whoever asked
//! closes the connection. So it takes less than RFC 9112 lets a recipient take: no bare LF, no obs-fold, no white
//! space before a colon, no repeated or listed `Content-Length`, no transfer coding but `chunked`.
//! An upstream that ends lines with a bare LF gets no second chance either.

pub mod body;
pub mod encode;
pub mod framing;
mod grammar;
pub mod parse;
