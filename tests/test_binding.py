"""A canary for the Qt binding: a release that loses references to None ends in an abort."""

from __future__ import annotations

import sys

from PySide6.QtCore import QObject

CALLS = 500


def test_calls_that_return_none_keep_their_references_to_none() -> None:
    thing = QObject()
    before = sys.getrefcount(None)
    for i in range(CALLS):
        thing.setObjectName(str(i))
    lost = before - sys.getrefcount(None)
    # One reference lost per call empties None's count after some 5,000 calls. (From Python 3.12
    # on None is immortal, and there is nothing to lose.)
    assert lost <= 50
