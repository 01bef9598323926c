"""IPsec tunnels watched: logs read, echoes sent, one verdict each, and what follows from it."""
