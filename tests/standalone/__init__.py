"""Tests of the standalone source; a package, so that they share the modules of rebuilding.py."""
