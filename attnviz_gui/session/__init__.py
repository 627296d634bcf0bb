"""What is on show, as plain observable state. Never imports Qt."""
