"""Tests of the report; a package, so that they share the made-up run of conftest.py."""
