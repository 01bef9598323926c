"""Point-to-point links of the lab: what is between two network namespaces, and what it does."""
