"""Cisco IOS and IOS XE: the configuration that a person pastes, and what to fill in and look at."""
