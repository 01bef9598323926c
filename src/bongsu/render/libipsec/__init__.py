"""IPsec without the kernel's: one strongSwan with kernel-libipsec for each tunnel."""
