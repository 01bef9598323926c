"""What agents and the tower say to each other: messages, their bounds, and a machine at each end.

gRPC and protobuf on the wire (messages.proto is the whole of it); inside the house a message is a
dataclass of `messages`, and `codec` is the only one that knows protobuf. `sender` and `receiver` are
the two ends of the stream: they take `now` and touch no socket, no disk and no clock.
"""
