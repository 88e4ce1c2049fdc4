"""Insights computed from events: a node becomes HogQL, which the local engine runs (docs/server.md#insights)."""
