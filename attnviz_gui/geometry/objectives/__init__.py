"""The objectives, one file each; `attnviz_gui.geometry.correlation` lists them.

A file here knows how to value heads under candidates of shift and scale. None of them searches.
"""
