"""VyOS 1.4 and 1.5: `set` commands that a person pastes, and what to fill in and look at."""
