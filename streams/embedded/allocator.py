"""jemalloc for children that hold many values of a few kilobytes, where the machine has it.

The Redis of a wheel is built with the C library's allocator, which looks through long lists for a place of that size:
with jemalloc, which Redis and Valkey are built with otherwise, a commit costs half the processor time (measured:
24 us a profile instead of 44 to 58).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from ctypes.util import find_library
from functools import cache
from typing import Final


@cache
def preloaded() -> Mapping[str, str]:
    """What to add to a child's environment: nothing where there is no jemalloc, or something is preloaded already."""
    library = find_library("jemalloc") if sys.platform == "linux" and "LD_PRELOAD" not in os.environ else None
    return {"LD_PRELOAD": library} if library else {}


LARGE_PAGES: Final = "thp:always,narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1"
"""One heap in pages of 2 MB, of which nothing that is freed goes back to the system: a page that is given back in
parts is broken up, and after a minute two thirds of a worker's memory were pages of 4 KB again. One heap for all
threads, since Python's lock lets only one of them allocate at a time, and what one has freed the next can use."""


def preloaded_for_python() -> Mapping[str, str]:
    """The same for one of our roles: all its objects there, in large pages.

    A worker reads profiles from all over a gigabyte or two, more pages of 4 KB than the processor remembers the places
    of (docs/decisions/0025). What somebody has set stays.
    """
    library = preloaded()
    wanted = {"PYTHONMALLOC": "malloc", "MALLOC_CONF": LARGE_PAGES} if library else {}
    return {**library, **{name: value for name, value in wanted.items() if name not in os.environ}}
