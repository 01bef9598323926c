"""IPsec on this machine: what the kernel can do, the tunnels' interfaces, what the IKE daemons know."""
