"""Loss repair between PoPs: one thread in C, as bongsu.protocol.repair specifies it."""
