"""firewalld's service of an IPsec gateway: a definition, enabled by whoever owns the zones."""
