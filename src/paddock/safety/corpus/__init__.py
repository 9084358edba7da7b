"""What is in a pretraining corpus (paper section 4.1): counts that merge, and the tables made of them."""
