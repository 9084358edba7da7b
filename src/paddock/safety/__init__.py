"""Safety: what data and models hold. Returns data, draws nothing."""
