"""Proofs that take longer than 20 seconds each; `.ci/run --long` runs them. The fixtures are those of the other tests."""

from conftest import home, mirror, nothing_is_left, shelf, unpacked

__all__ = ["home", "mirror", "nothing_is_left", "shelf", "unpacked"]
