"""Does the controller learn? A made-up world with a known best, and real LoCoMo conversations."""
