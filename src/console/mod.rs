//! The console: what owners and admins see of the gateway in a browser.

pub mod chart;
pub mod markup;
pub mod sparkline;
pub mod traffic;
