"""One file a stage of the paper."""
