"""How large and how many: every bound of the wire, and why."""

VERSION = 1
"""Of the messages. A peer with another says so, and both speak the lower one."""

MESSAGE_BYTES = 4 * 1024 * 1024
"""Of a message on the stream: what gRPC's implementations take without being told."""
ENROLMENT_BYTES = 16 * 1024
"""Of a message on the port where nobody is known yet; a request for a certificate has some 300."""
BODY_BYTES = 1024 * 1024
"""Of one record. Three of them and the rest of a batch fit into a message."""
DOCUMENT_BYTES = 32 * 1024 * 1024
"""Of a snapshot once it is unpacked: ten thousand tunnels have some 8 MB."""

BATCH_RECORDS = 1024
"""In a batch: enough that the price of a commit is shared, few enough that an ack is not late."""
BATCH_BYTES = 1024 * 1024
"""A batch ends with the record that goes beyond; with the largest record it is still a message."""

WINDOW_RECORDS = 8 * 1024
WINDOW_BYTES = 8 * 1024 * 1024
"""On the way without an ack, at most: a few batches under way while one is being written; also what
a tower holds in memory for one node."""

SPOOL_ID_BYTES = 16
WORD_BYTES = 256
"""Of a name: a node's, a kind's, a metric's, a subject's."""
TEXT_BYTES = 16 * 1024
"""Of an event's cause, which may quote a daemon."""
METRICS = 256
"""In one series."""
