"""Several gateways on one PostgreSQL of their own, for bench/chaos, bench/propagation and bench/store."""
