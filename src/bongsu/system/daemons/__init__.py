"""The daemons that carry a node: how each is checked, started, reloaded and asked."""
