"""GRE tunnels of this node, by whichever backend its kernel allows."""
