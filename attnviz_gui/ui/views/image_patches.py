"""The picture that an image model was shown, with the attention of the chosen patch laid over it.

Beside it the patches lie in the joint plane of their queries and keys, as small pictures. What is
chosen here is a token like any other: the document's focus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainterPath, QPen

from attnviz_gui.session.document import Focus
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.anatomy.colors import share_colors
from attnviz_gui.ui.views.color_scale import ink_on
from attnviz_gui.ui.views.painted import Choosable, PaintedView, elided

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtGui import QPainter
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.capture.record import PatchImage
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme

MARGIN = 12.0
CHIP = 20.0  # pixels: height of a token that is no patch
GAP = 6.0
DARKEST = 0.82  # of a patch without attention, where attention is light
COLORED = 0.72  # opacity of colours over the picture
SMALLEST, LARGEST = 7.0, 40.0  # pixels of a thumbnail
NEAREST = 4  # times: from here on pixels are drawn as squares

WORDS = (
    "These tokens are words, not patches of a picture. Open a picture with an image model (ViT, "
    "DeiT, DINOv2 …) from this panel."
)


@dataclass(frozen=True, eq=False)
class Side:
    """One side's visible tokens as patches.

    Attributes
    ----------
    patch : (T,) int
        The patch of each visible token; -1 for one that stands for no place.
    token : dict of int
        The visible token of each patch.
    others : tuple of int
        Visible tokens before the patches: [CLS], registers.
    """

    patch: npt.NDArray[np.intp]
    token: dict[int, int]
    others: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Share:
    """What is laid over the picture.

    Attributes
    ----------
    token : int
        The chosen token.
    by_query
        It is a query, the others are its keys; else the other way round.
    values : (T,) float32
        Attention between the token and each visible token of the other side.
    """

    token: int
    by_query: bool
    values: npt.NDArray[np.float32]


class ImagePatchesView(PaintedView):
    """A picture under attention, and its patches in the plane."""

    name = "image_patches"
    normalised = True
    choosable: ClassVar = (
        Choosable(
            "over",
            "How attention is laid over the picture",
            (
                ("light", "light", "What is attended to keeps its light, the rest is dark."),
                ("colors", "colours", "Attention in the heatmap's colours over the picture."),
                ("none", "bare", "The picture as the model was shown it."),
            ),
        ),
        Choosable(
            "arrows",
            "Arrows to the strongest",
            (
                ("5", "5 arrows", "Arrows to the five patches with the most attention."),
                ("20", "20", "Arrows to the twenty patches with the most attention."),
                ("0", "none", "No arrows."),
            ),
        ),
    )

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Image and patches")
        self.setToolTip(
            "The picture under the attention of the chosen patch, and the patches in the plane of "
            "queries (blue) and keys (orange). Point at a patch for its attention, click to keep "
            "it, then point at others. Shift+arrows: move it."
        )
        self._of: Picture | None = None
        self._query: Side | None = None
        self._key: Side | None = None
        self._image = QImage()
        self._thumbs: tuple[object, QImage] | None = None
        self._chips: list[tuple[Focus, QRectF]] = []
        self._area = QRectF()  # of the picture
        self._plane = QRectF()
        self._spots: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float] | None = None

    # -- the picture of the document ---------------------------------------------------------

    @property
    def image(self) -> PatchImage | None:
        """The picture that the text on show stands for."""
        picture = self.document.picture
        return None if picture is None else picture.capture.image(picture.text)

    def draw_picture(self) -> None:
        """Take another head, layer or text."""
        picture, image = self.document.picture, self.image
        old, self._of = self._of, picture
        self._query = self._key = None
        if picture is None or image is None:
            return
        capture, layer, text = picture.capture, picture.layer, picture.text
        self._query = _side(image.patches(capture.query_tokens(layer, text)), picture.query_index)
        self._key = _side(image.patches(capture.key_tokens(layer, text)), picture.key_index)
        if old is None or old.capture.image(old.text) is not image:
            pixels = np.ascontiguousarray(image.pixels)
            height, width, _ = pixels.shape
            kind = QImage.Format.Format_RGB888
            self._image = QImage(pixels.data, width, height, 3 * width, kind).copy()
            self._thumbs = None

    def sentence(self) -> str:
        """Say where there is no picture, or where a layer's tokens are no patches of it."""
        picture, image = self.document.picture, self.image
        if picture is None:
            return ""
        if image is None:
            return WORDS
        if self._query is None and self._key is None:
            return (
                f"The tokens of layer {picture.layer} are not the {image.rows} × {image.columns} "
                "patches of the picture; choose another layer."
            )
        return ""

    def share(self) -> Share | None:
        """Return what is laid over the picture: the focus', else the first token's."""
        picture, focus = self.document.picture, self.document.focus
        if picture is None:
            return None
        if focus.query is None and focus.key is not None and self._query is not None:
            return Share(focus.key, False, picture.attention[:, focus.key])
        if self._key is None:  # only the queries are patches
            key = focus.key or 0
            return Share(key, False, picture.attention[:, key])
        query = focus.query or 0
        return Share(query, True, picture.attention[query])

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """Which head, and whose attention."""
        picture, share = self.document.picture, self.share()
        if picture is None or share is None or self.image is None:
            return "Image and patches"
        if self.sentence():
            return f"Image and patches  {picture.title}"
        tokens = picture.query_tokens if share.by_query else picture.key_tokens
        way = "attends to" if share.by_query else "is attended by"
        return f"Image  {picture.title}  {tokens[share.token]} {way}"

    def numbers(self) -> str:
        """The strongest, and what goes to tokens that are no patch."""
        picture, share = self.document.picture, self.share()
        if picture is None or share is None or self.image is None or self.sentence():
            return ""
        tokens = picture.key_tokens if share.by_query else picture.query_tokens
        best = int(share.values.argmax())
        parts = [f"max {number(float(share.values[best]), 2)} {tokens[best]}"]
        side = self._key if share.by_query else self._query
        if share.by_query and side is not None and side.others:
            beside = float(share.values[list(side.others)].sum())
            parts.append(f"{number(100 * beside, 2)} % on {_listed(tokens, side.others)}")
        frame = self.document.frame
        if frame is not None and picture.mix is None:
            kept = float(frame.projection.explained.sum())
            parts.append(f"plane {number(100 * kept, 2)} % of variance")
        if self.image.scaled == "min-max":
            parts.append("colours spread from least to most")
        return " · ".join(parts)

    # -- where everything is -----------------------------------------------------------------

    def _lay_out(self, area: QRectF) -> None:
        image = self.image
        assert image is not None
        inner = area.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        wide = inner.width() > 1.25 * inner.height()
        if wide:
            half = (inner.width() - 2 * MARGIN) / 2
            first = QRectF(inner.left(), inner.top(), half, inner.height())
            second = QRectF(inner.right() - half, inner.top(), half, inner.height())
        else:
            half = (inner.height() - 2 * MARGIN) / 2
            first = QRectF(inner.left(), inner.top(), inner.width(), half)
            second = QRectF(inner.left(), inner.bottom() - half, inner.width(), half)
        self._chips = self._place_chips(first)
        top = max((chip.bottom() for _, chip in self._chips), default=first.top() - GAP) + GAP
        room = QRectF(first.left(), top, first.width(), max(first.bottom() - top, 8))
        height, width, _ = image.pixels.shape
        scale = min(room.width() / width, room.height() / height)
        self._area = QRectF(0, 0, width * scale, height * scale)
        self._area.moveCenter(room.center())
        self._area.moveTop(room.top())
        self._plane = second

    def _place_chips(self, area: QRectF) -> list[tuple[Focus, QRectF]]:
        """Return the tokens that are no patch; they are chosen as queries where they can be."""
        picture = self.document.picture
        assert picture is not None
        metrics = QFontMetricsF(font(SMALL))
        side, tokens, role = self._query, picture.query_tokens, "query"
        if side is None:
            side, tokens, role = self._key, picture.key_tokens, "key"
        assert side is not None
        chips, x, y = [], area.left(), area.top()
        for token in side.others:
            width = metrics.horizontalAdvance(tokens[token]) + 14
            if x + width > area.right() and x > area.left():
                x, y = area.left(), y + CHIP + 3
            chips.append((Focus(**{role: token}), QRectF(x, y, width, CHIP)))
            x += width + GAP
        return chips

    def patch_rect(self, patch: int) -> QRectF:
        """Return where a patch is in the picture."""
        image = self.image
        assert image is not None
        row, column = divmod(patch, image.columns)
        wide, high = self._area.width() / image.columns, self._area.height() / image.rows
        return QRectF(self._area.left() + column * wide, self._area.top() + row * high, wide, high)

    def patch_at(self, position: QPointF) -> int | None:
        """Return the patch under a place of the picture."""
        image, area = self.image, self._area
        if image is None or not area.contains(position):
            return None
        column = int((position.x() - area.left()) / area.width() * image.columns)
        row = int((position.y() - area.top()) / area.height() * image.rows)
        return min(row, image.rows - 1) * image.columns + min(column, image.columns - 1)

    def _place_of(self, side: Side | None, token: int, *, query: bool) -> QPointF | None:
        """Return the middle of a token's patch or chip; None where it has neither."""
        if side is None:
            return None
        if side.patch[token] >= 0:
            return self.patch_rect(int(side.patch[token])).center()
        wanted = Focus(query=token) if query else Focus(key=token)
        for focus, chip in self._chips:
            same = focus == wanted or (
                self._of is not None
                and not self._of.two_sided
                and token == (focus.query if focus.query is not None else focus.key)
            )
            if same:
                return QPointF(chip.center().x(), chip.bottom())
        return None

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw the picture under attention, and the plane."""
        share = self.share()
        if share is None:
            return
        self._lay_out(area)
        self._paint_image(p, share)
        self._paint_chips(p, share)
        self._paint_arrows(p, share)
        self._paint_plane(p, share)

    def _paint_image(self, p: QPainter, share: Share) -> None:
        near = self._area.width() >= NEAREST * self._image.width()
        p.setRenderHint(p.RenderHint.SmoothPixmapTransform, not near)
        p.drawImage(self._area, self._image)
        p.setRenderHint(p.RenderHint.SmoothPixmapTransform, False)
        side = self._key if share.by_query else self._query
        if side is not None and self.choices["over"] != "none":
            p.drawImage(self._area, self._overlay(share, side))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(self.theme.color("faint"), 1))
        p.drawRect(self._area.adjusted(-0.5, -0.5, 0.5, 0.5))
        self._paint_marked(p)
        focus = self.document.focus
        query = share.token if share.by_query else focus.query
        key = focus.key if share.by_query else share.token
        for side, token, role in ((self._query, query, "query"), (self._key, key, "key")):
            if side is not None and token is not None and side.patch[token] >= 0:
                self._frame(p, self.patch_rect(int(side.patch[token])), role)

    def _paint_marked(self, p: QPainter) -> None:
        """Frame the patches that are selected or found, as a query or as a key."""
        marks = self.document.marks
        if marks is None:
            return
        for of, role, inset in ((marks.selected, "text", 2.0), (marks.found, "found", 4.0)):
            patches: set[int] = set()
            for side, flags in zip((self._query, self._key), of, strict=True):
                if side is not None:
                    patches.update(side.patch[np.flatnonzero(flags)].tolist())
            for patch in sorted(patches - {-1}):
                rect = self.patch_rect(patch).adjusted(inset, inset, -inset, -inset)
                for color, width in (("ground", 3.0), (role, 1.6)):
                    p.setPen(QPen(self.theme.color(color), width))
                    p.drawRect(rect)

    def _frame(self, p: QPainter, rect: QRectF, role: str) -> None:
        p.setBrush(Qt.BrushStyle.NoBrush)
        for color, width in ((self.theme.color("ground"), 4.0), (self.theme.color(role), 2.2)):
            pen = QPen(color, width)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            p.setPen(pen)
            p.drawRect(rect)

    def _overlay(self, share: Share, side: Side) -> QImage:
        """Return one pixel for each patch, to be laid over the picture."""
        image = self.image
        assert image is not None
        values = np.zeros(image.rows * image.columns, np.float32)
        inside = side.patch >= 0
        values[side.patch[inside]] = share.values[inside]
        place = values / (float(values.max()) or 1.0)
        made = np.zeros((len(values), 4), np.uint8)
        if self.choices["over"] == "light":
            made[:, 3] = np.rint(255 * DARKEST * (1 - place))
        else:
            made[:, :3] = share_colors()[np.rint(254 * place).astype(np.intp)]
            made[:, 3] = round(255 * COLORED)
        kind = QImage.Format.Format_RGBA8888
        return QImage(made.data, image.columns, image.rows, 4 * image.columns, kind).copy()

    def _paint_chips(self, p: QPainter, share: Share) -> None:
        picture, theme, focus = self.document.picture, self.theme, self.document.focus
        assert picture is not None
        p.setFont(font(SMALL))
        same = not picture.two_sided
        top = float(share.values.max(initial=0)) or 1.0
        for of, chip in self._chips:
            role = "query" if of.query is not None else "key"
            token = of.query if of.query is not None else of.key
            assert token is not None
            tokens = picture.query_tokens if role == "query" else picture.key_tokens
            chosen = share.by_query == (role == "query") and token == share.token
            color = theme.color("ground")
            if chosen:
                color = theme.color(role)
            elif same or share.by_query != (role == "query"):
                strength = float(share.values[token]) / top
                color = theme.color("key" if share.by_query else "query")
                color.setAlphaF(0.08 + 0.8 * strength)
            lit = focus.key == token if share.by_query else focus.query == token
            edge = theme.color("key" if share.by_query else "query") if lit and same else None
            p.setPen(QPen(edge or theme.color("faint"), 2 if edge else 1))
            p.setBrush(color)
            p.drawRoundedRect(chip, 4, 4)
            p.setPen(ink_on(color) if color.alphaF() > 0.6 else theme.color("text"))
            p.drawText(chip, Qt.AlignmentFlag.AlignCenter, tokens[token])

    def _paint_arrows(self, p: QPainter, share: Share) -> None:
        picture = self.document.picture
        assert picture is not None
        near, far = (self._query, self._key) if share.by_query else (self._key, self._query)
        start = self._place_of(near, share.token, query=share.by_query)
        count = int(self.choices["arrows"])
        if far is not None and start is not None and count:
            inside = np.flatnonzero(far.patch >= 0)
            best = inside[np.argsort(-share.values[inside], kind="stable")[:count]]
            top = float(share.values[best].max(initial=0)) or 1.0
            for token in best[::-1].tolist():
                value = float(share.values[token])
                if value <= 0:
                    continue
                end = self.patch_rect(int(far.patch[token])).center()
                ends = (start, end) if share.by_query else (end, start)
                role = "query" if share.by_query else "key"
                self._arrow(p, *ends, role, value / top)
        for i, j in self.document.watched_here:
            one = self._place_of(self._query, i, query=True)
            other = self._place_of(self._key, j, query=False)
            if one is not None and other is not None:
                self._arrow(p, one, other, "watched", float(picture.attention[i, j]))

    def _arrow(self, p: QPainter, start: QPointF, end: QPointF, role: str, weight: float) -> None:
        """Draw an arrow; its ground-coloured border is seen on every picture."""
        way = end - start
        length = math.hypot(way.x(), way.y())
        if length < 4:  # to itself: a ring
            path = QPainterPath()
            path.addEllipse(end, 5, 5)
        else:
            x, y = way.x() / length, way.y() / length
            tip = min(9.0, 0.4 * length)
            path = QPainterPath(start)
            path.lineTo(end)
            for side in (0.5, -0.5):
                path.moveTo(end.x() - tip * (x + side * y), end.y() - tip * (y - side * x))
                path.lineTo(end)
        width = 1.0 + 1.8 * weight
        p.setBrush(Qt.BrushStyle.NoBrush)
        for color, extra in ((self.theme.color("ground", 0.85), 2.4), (self.theme.color(role), 0)):
            pen = QPen(color, width + extra)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
            p.setPen(pen)
            p.drawPath(path)

    # -- the plane ---------------------------------------------------------------------------

    def _paint_plane(self, p: QPainter, share: Share) -> None:
        picture, frame = self.document.picture, self.document.frame
        area = self._plane
        if picture is not None and picture.mix is not None:
            self._spots = None
            p.setPen(self.theme.color("muted"))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            p.drawText(area, flags, picture.mix.no_vectors)
            return
        if picture is None or frame is None or min(area.width(), area.height()) < 60:
            self._spots = None
            return
        theme, metrics = self.theme, QFontMetricsF(font(SMALL))
        line = metrics.height()
        room = area.adjusted(0, line + 2, 0, 0)
        query_xy, key_xy = frame.projection.query_xy, frame.projection.key_xy
        both = np.concatenate([query_xy, key_xy])
        size = float(np.clip(0.55 * math.sqrt(room.width() * room.height() / len(both)),
                             SMALLEST, LARGEST))  # fmt: skip
        low, high = both.min(axis=0), both.max(axis=0)
        span = np.maximum(high - low, 1e-9)
        # Both axes alike: distances in the picture are distances.
        edge = 1.5 * size + 4  # the chosen one is larger
        scale = max(min((room.width() - edge) / span[0], (room.height() - edge) / span[1]), 0.0)
        middle = (low + high) / 2
        centre = room.center()
        queries, keys = (
            np.array([centre.x(), centre.y()]) + (xy - middle) * scale * (1, -1)
            for xy in (query_xy, key_xy)
        )
        self._spots = queries, keys, size
        p.setPen(theme.color("muted"))
        words = "plane of queries (blue) and keys (orange)"
        over = QRectF(area.left(), area.top(), area.width(), line)
        p.drawText(over, Qt.AlignmentFlag.AlignCenter, elided(words, metrics, area.width()))
        p.save()
        p.setClipRect(area, Qt.ClipOperation.IntersectClip)
        lit, marks = bool(self.document.focus), self.document.marks
        self._paint_spots(p, self._key, keys, picture.key_tokens, "key", size)
        self._paint_spots(p, self._query, queries, picture.query_tokens, "query", size)
        if lit or marks is not None:
            p.fillRect(room, theme.color("ground", 0.72))
        if marks is not None:
            self._paint_picked(p, marks, queries, keys, size)
        if lit:
            self._paint_lit(p, share, queries, keys, size)
        p.restore()

    def _paint_picked(self, p, marks, queries, keys, size) -> None:
        """Draw what is selected or found, each with a frame, over the faded rest."""
        picture = self.document.picture
        assert picture is not None
        for at, side, places, tokens, own in (
            (1, self._key, keys, picture.key_tokens, "key"),
            (0, self._query, queries, picture.query_tokens, "query"),
        ):
            for of, role, out in ((marks.selected, "text", 2.0), (marks.found, "found", 3.5)):
                which = np.flatnonzero(of[at]).tolist()
                self._paint_spots(p, side, places, tokens, own, size, which)
                p.setBrush(Qt.BrushStyle.NoBrush)
                p.setPen(QPen(self.theme.color(role), 1.2))
                reach = size / 2 + out
                for token in which:
                    if side is not None and side.patch[token] >= 0:
                        x, y = places[token].tolist()
                        p.drawRect(QRectF(x - reach, y - reach, 2 * reach, 2 * reach))

    def _paint_lit(self, p, share, queries, keys, size) -> None:
        """Draw the chosen token, and those with the most attention, over the faded rest."""
        picture = self.document.picture
        assert picture is not None
        count = max(int(self.choices["arrows"]), 1)
        best = np.argsort(-share.values, kind="stable")[:count]
        best = best[share.values[best] > 0]
        near, far = (queries, keys) if share.by_query else (keys, queries)
        roles = ("query", "key") if share.by_query else ("key", "query")
        sides = (self._query, self._key) if share.by_query else (self._key, self._query)
        names = picture.query_tokens, picture.key_tokens
        tokens = names if share.by_query else names[::-1]
        top = float(share.values[best].max(initial=0)) or 1.0
        start = QPointF(*near[share.token].tolist())
        for other in best[::-1].tolist():
            weight = float(share.values[other]) / top
            p.setPen(QPen(self.theme.color(roles[0], 0.25 + 0.7 * weight), 1 + 1.5 * weight))
            p.drawLine(start, QPointF(*far[other].tolist()))
        self._paint_spots(p, sides[1], far, tokens[1], roles[1], size, best.tolist())
        large = min(1.5 * size, LARGEST)
        self._paint_spots(p, sides[0], near, tokens[0], roles[0], large, [share.token])

    def _paint_spots(self, p, side, places, tokens, role, size, which=None) -> None:
        image, color = self.image, self.theme.color(role)
        assert image is not None
        atlas, step = self._atlas(size, p.deviceTransform().m11())
        if which is None:  # words over the patches
            which = [*range(len(places))]
            if side is not None:
                which = [*side.token.values(), *side.others]
        for token in which:
            x, y = places[token].tolist()
            spot = QRectF(x - size / 2, y - size / 2, size, size)
            patch = -1 if side is None else int(side.patch[token])
            if patch >= 0:
                row, column = divmod(patch, image.columns)
                p.drawImage(spot, atlas, QRectF(column * step, row * step, step, step))
                p.setBrush(Qt.BrushStyle.NoBrush)
                p.setPen(QPen(color, 1.5))
                p.drawRect(spot)
            else:
                metrics = QFontMetricsF(font(SMALL))
                text = elided(tokens[token], metrics, 80)
                width = metrics.horizontalAdvance(text) + 8
                chip = QRectF(x - width / 2, y - metrics.height() / 2, width, metrics.height())
                p.setBrush(self.theme.color("ground", 0.9))
                p.setPen(QPen(color, 1.5))
                p.drawRoundedRect(chip, 3, 3)
                p.setPen(self.theme.color("text"))
                p.drawText(chip, Qt.AlignmentFlag.AlignCenter, text)

    def _atlas(self, size: float, scale: float) -> tuple[QImage, int]:
        """Return all patches beside each other, each of as many pixels as it is drawn with."""
        image = self.image
        assert image is not None
        step = max(round(size * scale), 1)
        if self._thumbs is None or self._thumbs[0] != step:
            smooth = Qt.TransformationMode.SmoothTransformation
            fast = Qt.TransformationMode.FastTransformation
            own = self._image.width() / image.columns
            made = self._image.scaled(
                step * image.columns, step * image.rows,
                Qt.AspectRatioMode.IgnoreAspectRatio, smooth if step < 2 * own else fast,
            )  # fmt: skip
            self._thumbs = step, made
        return self._thumbs[1], step

    # -- mouse and keys ----------------------------------------------------------------------

    def token_at(self, position: QPointF) -> Focus:
        """Return the one token under a place: a query in the picture, either in the plane."""
        for focus, chip in self._chips:
            if chip.contains(position):
                return focus
        patch = self.patch_at(position)
        if patch is not None:
            if self._query is not None and patch in self._query.token:
                return Focus(query=self._query.token[patch])
            if self._query is None and self._key is not None and patch in self._key.token:
                return Focus(key=self._key.token[patch])
            return Focus()
        if self._spots is None or not self._plane.contains(position):
            return Focus()
        queries, keys, size = self._spots
        at = np.array([position.x(), position.y()])
        found: list[tuple[float, Focus]] = []
        for places, role in ((queries, "query"), (keys, "key")):
            apart = np.abs(places - at).max(axis=1)
            best = int(apart.argmin())
            found.append((float(apart[best]), Focus(**{role: best})))
        distance, focus = min(found, key=lambda one: one[0])
        return focus if distance <= size / 2 + 2 else Focus()

    def focus_at(self, position: QPointF) -> Focus:
        """Return the token under a place; with a query pinned, the pair that it makes with it."""
        focus, pinned = self.token_at(position), self.document.pinned
        if not focus or self._of is None:
            return focus
        if pinned.query is not None and pinned.key is None:
            if focus.key is not None:
                return Focus(pinned.query, focus.key)
            if not self._of.two_sided and focus.query != pinned.query:
                return Focus(pinned.query, focus.query)
        return focus

    def click(self, position: QPointF) -> None:
        """Keep a token lit, or let go of it."""
        if focus := self.token_at(position):
            self.document.pin(focus.query, focus.key)

    def describe(self, position: QPointF) -> tuple[list[str], QRectF] | None:
        """Tell about the token or pair under the cursor."""
        picture, focus = self.document.picture, self.focus_at(position)
        if picture is None or not focus:
            return None
        i, j = focus.query, focus.key
        around = QRectF(position.x() - 12, position.y() - 12, 24, 24)
        if i is not None and j is not None:
            pair = f"{picture.query_tokens[i]} → {picture.key_tokens[j]}"
            value = float(picture.attention[i, j])
            return [pair, f"attention {number(value)}"], around
        if i is not None:
            best = int(picture.attention[i].argmax())
            most = f"most to {picture.key_tokens[best]}: "
            most += number(float(picture.attention[i, best]))
            return [f"{picture.query_tokens[i]} as query", most], around
        assert j is not None
        best = int(picture.attention[:, j].argmax())
        most = f"most from {picture.query_tokens[best]}: "
        most += number(float(picture.attention[best, j]))
        return [f"{picture.key_tokens[j]} as key", most], around

    def move_focus(self, pinned: Focus, down: int, across: int) -> Focus:
        """Move the pinned query over the picture: a row or a column further."""
        image, side = self.image, self._query
        if image is None or side is None:
            return super().move_focus(pinned, down, across)
        token = pinned.query if pinned.query is not None else 0
        patch = int(side.patch[token])
        if patch < 0:  # from [CLS] into the picture
            return Focus(query=min(token + max(down + across, 0), len(side.patch) - 1))
        row, column = divmod(patch, image.columns)
        row = min(max(row + down, 0), image.rows - 1)
        column = min(max(column + across, 0), image.columns - 1)
        return Focus(query=side.token.get(row * image.columns + column, token))


def _side(patches: npt.NDArray[np.intp] | None, index: npt.NDArray[np.intp]) -> Side | None:
    """Return which visible token is which patch; None where they are no patches.

    `index`: where the visible tokens stand among all.
    """
    if patches is None:
        return None
    patch = patches[index]
    token = {int(at): i for i, at in enumerate(patch.tolist()) if at >= 0}
    return Side(patch, token, tuple(np.flatnonzero(patch < 0).tolist()))


def _listed(tokens: tuple[str, ...], which: tuple[int, ...]) -> str:
    names = [tokens[i] for i in which]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
