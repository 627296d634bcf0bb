"""The views: each draws the document in its own way; none knows another."""
