"""Which modules of a model are running at the moment, by hooks that are gone afterwards."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from attnviz_gui.capture.signature import parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch


@dataclass(eq=False)
class Frame:
    """One call of a module, while it runs.

    Attributes
    ----------
    name
        Path of the module in the model, its class where it is the model itself.
    inputs
        What it was called with, by the names of its parameters.
    """

    name: str
    module: torch.nn.Module
    inputs: dict[str, Any] = field(default_factory=dict)
    serial: int = 0


class Frames:
    """The calls that are running, the outermost first; `on_end` is told of each that ends."""

    def __init__(self, model: torch.nn.Module, on_end: Callable[[Frame], None]) -> None:
        self._model = model
        # The modules are held with their names, so that no address is used twice.
        self._names = {id(module): (name, module) for name, module in model.named_modules()}
        self._names[id(model)] = type(model).__name__, model
        self._on_end = on_end
        self._follow: Callable[[torch.nn.Module], None] = lambda _module: None
        self._serials = count()
        self.stack: list[Frame] = []
        self.root: Frame | None = None

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the calls of the model's modules in this thread."""
        thread = threading.get_ident()

        def starts(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if threading.get_ident() == thread:
                self._push(module, args, kwargs)

        def ends(module: Any, _args: Any, _output: Any) -> None:
            if threading.get_ident() == thread:
                self._pop(module)

        def follow(module: torch.nn.Module) -> None:
            stack.enter_context(
                module.register_forward_pre_hook(starts, with_kwargs=True, prepend=True)
            )
            # Also where the module fails and its caller goes on all the same.
            stack.enter_context(module.register_forward_hook(ends, always_call=True))

        with ExitStack() as stack:
            for module in self._model.modules():
                follow(module)
            self._follow = follow
            yield

    def _push(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        name, _ = self._names[id(module)]
        self._follow_new(name, module)
        frame = Frame(name, module, _named(module, args, kwargs))
        frame.serial = next(self._serials)
        self.root = self.root or frame
        self.stack.append(frame)

    def _follow_new(self, name: str, module: torch.nn.Module) -> None:
        """Follow parts that a module was given while the model runs.

        BigBird takes another attention when it meets a short text.
        """
        for own, part in module.named_children():
            if id(part) not in self._names:
                path = own if module is self._model else f"{name}.{own}"
                self._names[id(part)] = path, part
                self._follow(part)
                self._follow_new(path, part)

    def _pop(self, module: torch.nn.Module) -> None:
        for depth in range(len(self.stack) - 1, -1, -1):
            if self.stack[depth].module is module:
                ended = self.stack[depth:]
                del self.stack[depth:]
                for frame in reversed(ended):
                    self._on_end(frame)
                    frame.inputs = {}
                return


def common(*stacks: Sequence[Frame]) -> Frame | None:
    """Return the innermost call that all these were made in."""
    found = None
    for frames in zip(*stacks, strict=False):
        if any(frame is not frames[0] for frame in frames):
            break
        found = frames[0]
    return found


def _named(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return a call's arguments by name; without names where the module does not tell them."""
    if not args:
        return dict(kwargs)
    names = list(parameters(module.forward))
    names += [f"argument {i}" for i in range(len(names), len(args))]
    return {**dict(zip(names, args, strict=False)), **kwargs}
