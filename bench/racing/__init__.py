"""The race: one workload, several gateways, the same measurements for each. See ../README.md."""
