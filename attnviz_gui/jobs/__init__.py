"""The one bridge between computing and Qt's event loop."""
