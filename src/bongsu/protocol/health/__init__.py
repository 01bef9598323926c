"""Whether an accelerator's endpoint lives: what is asked, what counts as an answer. Pure."""
