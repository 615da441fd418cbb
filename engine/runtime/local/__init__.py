"""The engine on one machine: servers brought along, processes kept running."""
