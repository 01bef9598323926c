"""What goes wrong with the virtual machine itself, as opposed to the script in it."""


class VmError(RuntimeError):
    """The machine could not be made, did not start, or ended without a result.

    The message carries what the guest had written and the tail of its console.
    """

    def __init__(self, message: str, *, output: str = "", console: str = "") -> None:
        parts = [message]
        if output:
            parts.append(f"--- output\n{output[-4000:]}")
        if console:
            parts.append(f"--- console\n{console[-2000:]}")
        super().__init__("\n".join(parts))


class NotStartedError(VmError):
    """The guest never took up its job: a saved state that cannot be resumed, or a failed boot."""
