"""The way from a node to its tower: enrolment, a spool on disk, and the stream that empties it.

It never stands in the way of what the node is for: it has a thread of its own, its queue is bounded,
and a tower that is dead costs a full spool and nothing else.
"""
