"""Training: what makes the controller and the skills better."""
