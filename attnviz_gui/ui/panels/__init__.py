"""The controls beside the views."""
