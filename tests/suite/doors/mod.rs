//! Other proxies ask, and get the gateway's own verdict: asked directly, and through the real nginx and Caddy with the
//! configurations in `deploy/`.

mod asking;
mod assertion;
mod conformance;
mod connections;
mod deployment;
mod differences;
mod ext_authz;
mod forward_auth;
pub(crate) mod front;
mod grpc;
mod origin;
