"""The relay between the PoPs of an accelerator, as a reference: what the data plane must do.

The data plane itself is system/bpf/relay*.h; tests hold the two against each other.
"""
