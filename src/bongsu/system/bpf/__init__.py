"""The programs that run in the kernel, and a thin way to load, find and read them."""
