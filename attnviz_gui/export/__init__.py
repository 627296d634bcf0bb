"""Write what is on show to files. Never imports Qt."""
