"""netplan: tunnels for a boot without the agent, on a kernel that has GRE."""
