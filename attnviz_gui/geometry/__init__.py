"""Normalise, correlate, fit and project queries and keys: pure functions on arrays.

To be read in this order: `normalization` (what leaves the attention unchanged, with `transforms`),
`correlation` (what a fit rewards, each from its file in `objectives`; the mathematics in `moments`,
on sums from `masks` and `pearson`), `fit` (the search), `projection` (the joint plane), `lines`
(which pairs get a line), `live` (all of it for one moving slider, in the memory of `buffers`;
`together` for many texts), `honesty` (what the picture keeps; `measures` says what its numbers
mean), `space` (one plane for all heads). `arrays` checks what comes in.
"""
