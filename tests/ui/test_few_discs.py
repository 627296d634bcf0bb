"""Few discs, drawn pixel by pixel, are the discs that the whole image is drawn with."""

from __future__ import annotations

import numpy as np
import pytest

from attnviz_gui.ui.views.few_discs import FewDiscs
from attnviz_gui.ui.views.raster import sheet_of, splat

COLORS = np.arange(1024, dtype=np.uint32) * 7
STEPS = 256.0


def drawn(discs: FewDiscs, place: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    sheet = sheet_of(*place, shape, 6.25, 0.8)
    image = discs.draw(sheet, COLORS, STEPS)
    pixels = np.frombuffer(image.bits(), dtype=np.uint32).reshape(sheet.shape)
    margin = sheet.margin
    return pixels[margin : margin + shape[0], margin : margin + shape[1]]


@pytest.mark.parametrize("n", [0, 1, 40])
def test_frame_after_frame_each_pixel_is_that_of_the_whole_image(n):
    rng, discs = np.random.default_rng(n), FewDiscs()
    for shape in [(60, 80), (60, 80), (60, 80), (90, 50)]:
        # Some over each other, some on the edge, some outside.
        place = rng.uniform(-10, 90, size=(2, n)).astype(np.float32)
        place[:, n // 2 :] = place[:, : n - n // 2]
        wanted = COLORS.take((splat(*place, shape, 6.25, 0.8) * STEPS).astype(int), mode="clip")
        np.testing.assert_array_equal(drawn(discs, place, shape), wanted)
        assert wanted.any() or n < 2


def test_a_disc_just_outside_any_edge_is_no_more_than_its_part_in_sight():
    shape = (30, 40)
    wide = splat(*np.float32([[50.2], [60.3]]), (120, 120), 6.25, 0.8)
    for across in np.arange(-8, 50, 1.0):
        for down in (-5.0, -2.0, 12.0, 31.0, 34.0):
            # The same disc on a larger image, of which this one is a part.
            left, top = round(50 - across), round(60 - down)
            part = wide[top : top + shape[0], left : left + shape[1]]
            place = np.float32([[50.2 - left], [60.3 - top]])
            np.testing.assert_allclose(splat(*place, shape, 6.25, 0.8), part, atol=1e-6)
