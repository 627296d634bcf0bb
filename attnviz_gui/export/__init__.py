"""What goes into a figure or a file beside the drawing. Never imports Qt."""
