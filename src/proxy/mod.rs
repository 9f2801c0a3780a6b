//! The data path: from a client's connection to the upstream's and back. Start reading in [`gateway`].

mod alarm;
mod answer;
mod assertion;
mod buffered;
mod client;
mod course;
mod door;
mod ending;
mod exchange;
mod exchange_http2;
mod failure;
pub mod gateway;
mod grpc;
mod headers;
mod http1;
mod http2;
mod site;
mod underway;
mod upstream;
mod upstream_head;
mod websocket;
pub mod worker;

pub use self::upstream::Upstreams;
