"""The flow monitor: what passes which interface, counted in the kernel and fetched from there."""
