"""Chat models and scorers behind the protocols."""
