"""The CPE helper: one page for each VPN connection, with everything a person does on both sides."""

from bongsu.render.helper.render import render

__all__ = ["render"]
