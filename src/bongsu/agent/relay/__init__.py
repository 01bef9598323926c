"""What an agent does for accelerators besides the data plane: measure, choose, look after endpoints."""
