"""nftables: who may speak GRE, BGP and BFD to a node, and what may pass a tunnel."""
