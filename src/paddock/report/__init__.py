"""Reads a run's files and draws the paper's figures and tables."""
