"""Normalise, correlate, fit and project queries and keys: pure functions on arrays.

To be read in this order: `normalization` (what leaves the attention unchanged), `correlation` (what
a fit rewards; its mathematics in `moments`, on sums from `masks` and `pearson`), `fit` (the
search), `projection` (the joint plane), `lines` (which pairs get a line), `live` (all of it for one
moving slider, in the memory of `buffers`). `arrays` checks what comes in.
"""
