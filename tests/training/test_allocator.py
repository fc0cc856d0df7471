"""What the C library is told."""

import ctypes
import sys

import pytest

from axiswise.training.allocator import keep_freed_memory


class Libc:
    def __init__(self):
        self.calls = []

    def mallopt(self, parameter, value):
        self.calls.append((parameter, value))


def test_both_thresholds_are_set_and_fit_a_c_int(monkeypatch):
    libc = Libc()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    keep_freed_memory()
    assert dict(libc.calls).keys() == {-1, -3}
    assert all(0 < value < 2**31 for _, value in libc.calls)


def test_a_library_without_it_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    keep_freed_memory()


def test_elsewhere_nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("loaded"))
    keep_freed_memory()
