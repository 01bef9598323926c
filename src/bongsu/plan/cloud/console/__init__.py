"""What a person types in each cloud's console, as data: steps, fields in the console's own words."""

from bongsu.model.node import Platform
from bongsu.model.vpn import Profile
from bongsu.plan.cloud.console.alibaba import ALIBABA, ALIBABA_SITE
from bongsu.plan.cloud.console.aws import AWS
from bongsu.plan.cloud.console.generic import GENERIC
from bongsu.plan.cloud.console.oci import OCI
from bongsu.plan.cloud.console.shape import Console, Field, Hosting, Note, Step

__all__ = ["CONSOLES", "SITE_CONSOLES", "Console", "Field", "Hosting", "Note", "Step"]

CONSOLES: dict[Profile, Console] = {
    Profile.OCI: OCI,
    Profile.AWS: AWS,
    Profile.ALIBABA: ALIBABA,
    Profile.GENERIC: GENERIC,
}

SITE_CONSOLES: dict[Platform, Console] = {Platform.ALIBABA: ALIBABA_SITE}
"""Sites whose gateway is a service, and has a console in place of files."""
