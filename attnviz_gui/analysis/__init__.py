"""What many heads, texts and tokens say together: measures, likeness, groups, other projections.

Pure functions on arrays and captures. Never a model, Qt or the session.
"""
