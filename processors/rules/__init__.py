"""The rule engine: segments written as text, checked with line and column, compiled once, evaluated per event.

`parse_rules` reads a segments file into a `RuleSet`. Its units (a group, or a lone segment) say which segment holds
for a profile, when that can change by time alone, and why.
"""

from processors.rules.compile import RuleSet, Unit
from processors.rules.document import parse_rules

__all__ = ["RuleSet", "Unit", "parse_rules"]
