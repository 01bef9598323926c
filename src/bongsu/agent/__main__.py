"""`python -m bongsu.agent --bundle DIR`: the agent without the command line's libraries."""

import sys

from bongsu.agent.main import run_agent
from bongsu.agent.options import parse

if __name__ == "__main__":
    sys.exit(run_agent(parse(sys.argv[1:], "python -m bongsu.agent")))
