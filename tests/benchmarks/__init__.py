"""What the fast ways are worth, each measured beside the plain way in one run. Nothing here is a test."""
