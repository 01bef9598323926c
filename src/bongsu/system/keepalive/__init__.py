"""GRE keepalives sent and judged without Python: a thread in C, and memory that all can see."""
