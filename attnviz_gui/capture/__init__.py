"""Run a model on texts and record what its attention did. The only folder that imports torch.

The folder is callable: ``attnviz_gui.capture(model, "a text")`` is
:func:`attnviz_gui.capture.recorder.record`, while ``attnviz_gui.capture.record`` and the others
stay reachable as modules.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.capture.progress import CancelToken, Progress
    from attnviz_gui.capture.record import Capture


class _CallableFolder(ModuleType):
    """A package that is a function too: the public call and the folder share one name."""

    def __call__(
        self,
        model: Any,
        inputs: Any,
        *,
        tokens: Sequence[str] | Sequence[Sequence[str]] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Capture:
        """Run `model` on `inputs` and record it: see :func:`.recorder.record`."""
        from attnviz_gui.capture.recorder import record

        return record(model, inputs, tokens=tokens, progress=progress, cancel=cancel)


sys.modules[__name__].__class__ = _CallableFolder
