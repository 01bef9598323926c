"""Measuring a path: probes, the answers that count, what is kept of them and what it says. No I/O."""
