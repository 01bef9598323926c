"""Alibaba Cloud's VPN Gateway: no file that it takes, but a page of what is typed into its console."""
