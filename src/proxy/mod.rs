//! The data path: from a client's connection to the upstream's and back. Start reading in [`gateway`].

mod alarm;
mod answer;
mod buffered;
mod client;
mod exchange;
pub mod gateway;
mod headers;
mod http1;
mod upstream;

pub use self::{
    client::Peer,
    http1::serve as serve_http1,
    upstream::Upstreams,
};
