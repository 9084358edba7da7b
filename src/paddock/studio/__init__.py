"""Human studies: the annotators' web app, its storage, and what it writes as files (paper sections 3.1, 3.4 and A.3)."""
