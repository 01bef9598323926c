"""What breaks such networks, found before anything is built."""

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.page import explain
from bongsu.checks.registry import RULES, Rule, codes, run_checks

__all__ = ["RULES", "Finding", "Rule", "Severity", "codes", "explain", "run_checks"]
