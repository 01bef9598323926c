"""BIRD 2 (2.0.12 and newer): announcements that vouch for a living tunnel, and the way of replies."""

from bongsu.render.bird.secrets import SECRETS_PATH, secret_constants

__all__ = ["SECRETS_PATH", "secret_constants"]
