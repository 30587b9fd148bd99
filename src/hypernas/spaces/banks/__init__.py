"""The parts of the memory-bank space: settings, architectures, modules, and the encoding."""
