"""Parts of the window that look further: each brings its panel, its menu entries, its worker."""
