"""The network; imports nothing distributed."""
