"""What goes in: dialogs, documents, tokens, batches."""
