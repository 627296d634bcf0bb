"""How a head is computed, drawn: every matrix of it. Computes nothing of it."""
