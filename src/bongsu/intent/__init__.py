"""YAML text to model: every error in one pass, each with file, line, value and a hint."""

from bongsu.intent.loaded import Loaded, Place
from bongsu.intent.loader import load_text
from bongsu.intent.problem import IntentError, Problem
from bongsu.intent.schema import model_schema

__all__ = ["IntentError", "Loaded", "Place", "Problem", "load_text", "model_schema"]
