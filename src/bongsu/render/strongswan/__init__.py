"""strongSwan by swanctl: connections, secrets, and what charon must not do by itself."""
