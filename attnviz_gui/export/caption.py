"""The line beneath a figure: what it shows, so that it can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnviz_gui.session.words import BEFORE_ROTARY, hidden_in_words, normalisation_in_words

if TYPE_CHECKING:
    from attnviz_gui.session.document import Document


def caption_of(document: Document, *, normalised: bool = True) -> str:
    """What the figure shows, so that it can be made again: text, model, head, and a and c."""
    picture = document.picture
    if picture is None:
        return ""
    text = " ".join(picture.capture.texts[picture.text].split())
    facts = [picture.capture.model_name, picture.title]
    if picture.mix is not None:
        facts[1] += f" ({picture.mix.listing(picture.capture)})"
    if normalised and picture.mix is None:
        facts.append(normalisation_in_words(document.sliders))
        if picture.before_rotary:
            facts.append(BEFORE_ROTARY)
    if picture.n_hidden:
        facts.append(hidden_in_words(picture.n_hidden))
    told = ", ".join(facts)
    if normalised and document.corpus is not None:
        return f"{document.corpus.words}  ·  {told}"
    return f"“{text}”  ·  {told}" if text else told
