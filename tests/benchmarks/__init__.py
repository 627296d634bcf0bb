"""What the project promises to be fast at, each beside the plain way in the same run.

Not part of the tests: times are for people to look at. A module here has a function `rows`, which
returns ``(what, seconds, seconds of the plain way, goal)`` for each line of the table.
"""
