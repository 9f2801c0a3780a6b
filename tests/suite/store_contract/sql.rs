//! What only real databases can go through.
