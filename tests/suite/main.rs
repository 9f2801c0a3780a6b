//! Everything a user could see, asserted mostly through the real binary and real peers.
