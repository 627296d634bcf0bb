"""What the anatomy view has its worker do. torch is imported when it is called, never before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnviz_gui.capture.anatomy.record import Anatomy
    from attnviz_gui.session.picture import Picture


def dissect(picture: Picture) -> Anatomy:
    """Return how the head on show is computed."""
    from attnviz_gui.capture.anatomy import dissect as anatomy

    return anatomy.dissect(picture.capture, picture.layer, picture.head, picture.text)
