"""Real servers that whoever runs the tests has named in FOOTFALL_TEST_* variables.

They are taken out of the environment: Footfall refuses variables that name no setting, and its processes inherit all.
"""

from __future__ import annotations

import os
from typing import Final

GIVEN: Final = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("FOOTFALL_TEST_")}
BOOTSTRAP: Final = GIVEN.get("FOOTFALL_TEST_BOOTSTRAP", "")
"""The address of a real broker, where there is one to test on."""
