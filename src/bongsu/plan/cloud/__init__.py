"""What is known of each cloud's VPN gateway, as data: what it proposes, accepts, and is called there."""

from bongsu.model.vpn import Profile
from bongsu.plan.cloud.alibaba import ALIBABA
from bongsu.plan.cloud.aws import AWS
from bongsu.plan.cloud.generic import GENERIC
from bongsu.plan.cloud.oci import OCI
from bongsu.plan.cloud.profile import Accepted, CloudProfile

__all__ = ["PROFILES", "Accepted", "CloudProfile"]

PROFILES: dict[Profile, CloudProfile] = {
    Profile.OCI: OCI,
    Profile.AWS: AWS,
    Profile.ALIBABA: ALIBABA,
    Profile.GENERIC: GENERIC,
}
