"""Paddock raises a chat model the Llama 2 way: from raw text to a trained, aligned and measured chat model."""
