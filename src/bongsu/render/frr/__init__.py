"""FRR 8: BGP inside IPsec tunnels and static routes, written so that a reload resets nothing."""
