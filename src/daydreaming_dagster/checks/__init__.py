"""Asset checks that can fail."""
