"""What a person types in each cloud's console, as data: steps, fields in the console's own words."""

from bongsu.model.vpn import Profile
from bongsu.plan.cloud.console.alibaba import ALIBABA
from bongsu.plan.cloud.console.aws import AWS
from bongsu.plan.cloud.console.generic import GENERIC
from bongsu.plan.cloud.console.oci import OCI
from bongsu.plan.cloud.console.shape import Console, Field, Hosting, Step

__all__ = ["CONSOLES", "Console", "Field", "Hosting", "Step"]

CONSOLES: dict[Profile, Console] = {
    Profile.OCI: OCI,
    Profile.AWS: AWS,
    Profile.ALIBABA: ALIBABA,
    Profile.GENERIC: GENERIC,
}
