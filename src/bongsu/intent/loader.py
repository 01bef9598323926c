"""The way from a file's text to a network, with an error barrier after the syntax only.

Shape (types, keys, ranges) and references (names that must exist) are judged on the same values, so
that one run shows all there is to mend. Nothing here opens a file.
"""

import json

from pydantic import ValidationError

from bongsu.intent.document import read_document
from bongsu.intent.loaded import Loaded
from bongsu.intent.problem import IntentError
from bongsu.intent.references import reference_problems
from bongsu.intent.words import shape_problems
from bongsu.model.network import Network


def load_text(text: str, filename: str) -> Loaded:
    """The network that a YAML text describes. IntentError carries all problems at once.

    `filename` is only what messages and places call the file.
    """
    document = read_document(text, filename)
    problems = reference_problems(document)
    try:
        # By way of JSON, for there strict means what it should: no number out of quotes, no
        # truth out of "yes", and yet an IP address out of text.
        network = Network.model_validate_json(json.dumps(document.root), strict=True)
    except ValidationError as error:
        wrong = shape_problems(error, document)
        shapes = {problem.path for problem in wrong}
        # What is no name at all need not be looked for.
        wrong += [problem for problem in problems if problem.path not in shapes]
        raise IntentError(wrong) from None
    if problems:
        raise IntentError(problems)
    return Loaded(network, document)
