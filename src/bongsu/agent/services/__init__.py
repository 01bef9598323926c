"""What the agent keeps running: routing daemons and IKE daemons, each behind the same few questions."""
