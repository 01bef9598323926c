"""Kernel settings: forwarding, and what tunnels need that must not be set for the whole machine."""
