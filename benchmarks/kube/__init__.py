"""`make bench-kube`: what the operator costs in a cluster, beside the same upgrades on SQLite."""
