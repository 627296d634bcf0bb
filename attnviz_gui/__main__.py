"""Start AttnViz with ``python -m attnviz_gui``."""

from attnviz_gui.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
