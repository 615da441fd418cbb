"""What things (shops, adverts, agents) remember by local day: counts, sums, heads, spreads."""
