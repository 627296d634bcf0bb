"""The tones of what the document shows: of the chosen text's points, and of all texts' points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnviz_gui.ui.views.tones import Tones, colors_of, join

if TYPE_CHECKING:
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme


def tones_of(document: Document, theme: Theme) -> tuple[Tones | None, Tones | None, Tones | None]:
    """Return the tones of the chosen text's points, of all queries shown, and of all keys.

    None where queries have one colour, keys another, and all one size, and none is hidden.
    """
    colors, corpus, picture = document.colors, document.corpus, document.picture
    coloring, sizes, shown = colors.coloring, colors.sizes, colors.shown
    if picture is None or (coloring is None and sizes is None and shown is None):
        return None, None, None
    table = tuple(colors_of(coloring, theme)) if coloring is not None else ()
    query, key = (
        Tones(
            None if coloring is None else (coloring.query, coloring.key)[side],
            table,
            None if shown is None else shown[side],
            None if sizes is None else sizes[side],
        )
        for side in (0, 1)
    )
    if corpus is None:
        return join(query, key), query, key
    text = picture.text
    own = join(
        query.part(slice(*corpus.query_start[text : text + 2].tolist())),
        key.part(slice(*corpus.key_start[text : text + 2].tolist())),
    )
    return own, query, key
