"""A small generated world with known truth: documents, dialogs, and graders that judge any reply by rule."""
