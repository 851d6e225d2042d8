"""What is decided around the model call: whether to make it, and what its actions come to."""
