"""What the consoles of several clouds say in the same words."""

OFF_ADDRESS = (
    "The address is the accelerator's off address: the one source that this gateway sees, by whatever"
    " port. It stays while the listener is edited, and changes only if listener or accelerator are"
    " deleted and made anew."
)
