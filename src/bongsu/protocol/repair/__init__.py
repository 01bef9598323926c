"""Loss repair between two PoPs: the specification of the engine in C (bongsu.system.repair).

A relayed packet is numbered and leaves at once, as it is, with a trailer. Packets of a *group* lie in
`depth` *blocks* in turn; when a group is full or its time is over, each block's parity follows, which
repairs as many losses as it has packets. The receiver hands each packet over once, as it comes, and
what was lost as soon as the parity allows; it reports what it saw, and from that the sender chooses
how much parity it sends and how wide it spreads a block.
"""
