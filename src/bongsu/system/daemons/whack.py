"""What `whack --status` and `whack --trafficstatus` say, as associations. Pure: texts in, values out.

Libreswan 4 numbers its states in one row, `#1` an IKE SA and `#2` a pair of ESP SAs, and names each by
its state (STATE_MAIN_I4, STATE_QUICK_I2, STATE_V2_ESTABLISHED_CHILD_SA). What is not understood is
left out.
"""

import re
from dataclasses import dataclass, field, replace

from bongsu.system.ipsec.state import EspSa, IkeSa, IkeState

_CONNECTION = re.compile(r'000 "([^"]+)"(?:\[\d+\])?: ')
_STATE = re.compile(
    r'000 #(\d+): "([^"]+)"(?:\[\d+\] \S+)?:(\d+) (STATE_\w+) \(.*?\);(?: (\w+) in (\d+)s;)?(.*)'
)
_SPIS = re.compile(r'000 #(\d+): "[^"]+"(?:\[\d+\] \S+)? (.*esp\..*)')
_SPI = re.compile(r"esp\.([0-9a-f]+)@(\S+)")
_TRAFFIC = re.compile(
    r'006 #(\d+): "([^"]+)".*?type=ESP, add_time=(\d+), inBytes=(\d+), outBytes=(\d+)'
)
_ENDS = re.compile(r"000 \"[^\"]+\": .*?===(\S+?)(?:\[.*?\])?\.\.\.(\S+?)(?:\[.*?\])?===")
_IDENTITIES = re.compile(r"our id=(\S+);.*their id=(\S+)")
_IKE_NEWEST = re.compile(r"IKE(?:v[12])? algorithm newest: (\S+)")
_ESP_NEWEST = re.compile(r"ESP algorithm newest: (\S+?)(?:; pfsgroup=(\S+))?$")
_AUTHORITIES = re.compile(r"000 \"([^\"]+)\": +CAs: '.*'\.\.\.'(.*)'$", re.M)
ANY = "%any"
"""In place of an authority's name: every one will do."""
_IKE_DONE = {"STATE_MAIN_I4", "STATE_MAIN_R3", "STATE_AGGR_I2", "STATE_AGGR_R2",
             "STATE_V2_ESTABLISHED_IKE_SA"}  # fmt: skip
_ESP_DONE = {"STATE_QUICK_I2", "STATE_QUICK_R2", "STATE_V2_ESTABLISHED_CHILD_SA"}
_ESP_KIND = ("STATE_QUICK_", "STATE_V2_ESTABLISHED_CHILD", "STATE_V2_IKE_AUTH_CHILD",
             "STATE_V2_NEW_CHILD", "STATE_V2_REKEY_CHILD")  # fmt: skip


@dataclass
class _Connection:
    local: str = ""
    remote: str = ""
    local_id: str = ""
    remote_id: str = ""
    ike_proposal: str = ""
    esp_proposal: str = ""
    encapsulated: bool = False
    ike: list[IkeSa] = field(default_factory=list)
    esp: list[EspSa] = field(default_factory=list)


def associations(status: str, traffic: str) -> list[IkeSa]:
    """The associations of all connections, those that are only being made included."""
    found: dict[str, _Connection] = {}
    spis = _spis(status)
    counted = {m[1]: m for m in map(_TRAFFIC.match, traffic.splitlines()) if m}
    for line in status.splitlines():
        if about := _CONNECTION.match(line):
            _connection(found.setdefault(about[1], _Connection()), line)
        elif state := _STATE.match(line):
            connection = found.setdefault(state[2], _Connection())
            if state[4].startswith(_ESP_KIND):
                if state[4] in _ESP_DONE:
                    connection.esp.append(
                        _esp(state, spis.get(state[1], ("", "")), counted.get(state[1]))
                    )
            else:
                connection.ike.append(_ike(state))
    return [sa for name, connection in found.items() for sa in _finish(name, connection)]


def authorities(status: str) -> dict[str, str]:
    """Who must have signed the far end's certificate, by connection, as pluto has understood it."""
    return dict(_AUTHORITIES.findall(status))


def _connection(connection: _Connection, line: str) -> None:
    if ends := _ENDS.match(line):
        connection.local, connection.remote = ends[1], ends[2]
    elif ids := _IDENTITIES.search(line):
        connection.local_id, connection.remote_id = ids[1], ids[2]
    elif newest := _IKE_NEWEST.search(line):
        connection.ike_proposal = proposal(newest[1])
    elif newest := _ESP_NEWEST.search(line):
        group = newest[2] if newest[2] and newest[2].startswith(("MODP", "DH")) else ""
        connection.esp_proposal = "-".join(filter(None, (proposal(newest[1]), group.lower())))
    elif "encaps:yes" in line:
        connection.encapsulated = True


def _ike(state: re.Match[str]) -> IkeSa:
    done = state[4] in _IKE_DONE
    return IkeSa(
        tunnel=state[2],
        id=state[1],
        version=2 if state[4].startswith("STATE_V2") else 1,
        state=IkeState.ESTABLISHED if done else IkeState.CONNECTING,
        proposal="",
        local="",
        remote="",
        local_id="",
        remote_id="",
        initiator=bool(re.search(r"_I\d$", state[4])),
        nat=state[3] == "4500",
        age_s=None,
        rekey_in_s=int(state[6]) if done and state[6] else None,
    )


def _esp(state: re.Match[str], spis: tuple[str, str], counted: re.Match[str] | None) -> EspSa:
    return EspSa(
        id=state[1],
        proposal="",
        encapsulated=False,
        spi_in=spis[0],
        spi_out=spis[1],
        bytes_in=int(counted[4]) if counted else 0,
        bytes_out=int(counted[5]) if counted else 0,
        age_s=None,
        rekey_in_s=int(state[6]) if state[6] else None,
        child=state[2],
    )


def _spis(status: str) -> dict[str, tuple[str, str]]:
    """(inbound, outbound) by number: pluto writes the far end's first."""
    found = {}
    for match in filter(None, map(_SPIS.match, status.splitlines())):
        pair = [spi for spi, _ in _SPI.findall(match[2])]
        if len(pair) >= 2:
            found[match[1]] = (pair[1], pair[0])
    return found


def _finish(name: str, connection: _Connection) -> list[IkeSa]:
    esp = tuple(
        replace(sa, proposal=connection.esp_proposal, encapsulated=connection.encapsulated)
        for sa in connection.esp
    )
    ike = [
        replace(
            sa,
            tunnel=name,
            local=f"{connection.local}:{4500 if sa.nat else 500}",
            remote=f"{connection.remote}:{4500 if sa.nat else 500}",
            local_id=connection.local_id,
            remote_id=connection.remote_id,
            proposal=connection.ike_proposal if sa.state is IkeState.ESTABLISHED else "",
        )
        for sa in connection.ike
    ]
    if not esp:
        return ike
    if not ike:
        # In IKEv1 ESP outlives the association that made it.
        return [
            IkeSa(name, "", 1, IkeState.NONE, "", connection.local, connection.remote,
                  connection.local_id, connection.remote_id, False, False, None, None, esp)
        ]  # fmt: skip
    newest = max(ike, key=lambda sa: (sa.state is IkeState.ESTABLISHED, int(sa.id)))
    return [replace(sa, esp=esp) if sa is newest else sa for sa in ike]


def proposal(text: str) -> str:
    """`AES_CBC_256-HMAC_SHA2_384-MODP1536` as `aes256-sha384-modp1536`."""
    words = []
    for part in text.rstrip(";").split("-"):
        word = part.upper()
        if cipher := re.fullmatch(
            r"(AES|CAMELLIA)_(CBC|CTR|GCM_C|GCM_16|GCM_12|GCM_8)_(\d+)", word
        ):
            mode = {"CBC": "", "CTR": "ctr", "GCM_C": "gcm16"}.get(
                cipher[2], cipher[2].lower().replace("_", "")
            )
            words.append(f"{cipher[1].lower()}{cipher[3]}{mode}")
        elif hashed := re.match(r"HMAC_(SHA2_\d+|SHA1|MD5)", word):
            name = hashed[1].replace("SHA2_", "SHA").lower()
            if name not in words:
                words.append(name)
        elif word not in ("NONE", ""):
            words.append(word.lower().replace("_", ""))
    return "-".join(words)
