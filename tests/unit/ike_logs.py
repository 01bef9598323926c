"""What strongSwan 5.9.8 and Libreswan 4.10 wrote when something was wrong, seen with two of them in
two namespaces; the lines that matter, in their order. The side that calls and the side that answers.
"""

CASES: dict[str, tuple[str, str | None, str]] = {
    "charon calls, IKEv1, keys differ": (
        """\
13[IKE] <t1|1> remote host is behind NAT
13[ENC] <t1|1> generating ID_PROT request 0 [ ID HASH N(INITIAL_CONTACT) ]
09[ENC] <t1|1> invalid HASH_V1 payload length, decryption failed?
09[ENC] <t1|1> could not decrypt payloads
09[IKE] <t1|1> message parsing failed
09[IKE] <t1|1> ignore malformed INFORMATIONAL request
09[IKE] <t1|1> INFORMATIONAL_V1 request with message ID 3859817658 processing failed
11[IKE] <t1|1> sending retransmit 1 of request message ID 0, seq 3
""",
        "psk",
        "the pre-shared keys differ",
    ),
    "charon calls, IKEv2, keys differ": (
        """\
01[ENC] <t1|1> generating IKE_AUTH request 1 [ IDi N(INIT_CONTACT) IDr AUTH SA TSi TSr ]
15[ENC] <t1|1> parsed IKE_AUTH response 1 [ N(AUTH_FAILED) ]
15[IKE] <t1|1> received AUTHENTICATION_FAILED notify error
""",
        "auth",
        "AUTHENTICATION_FAILED",
    ),
    "charon answers, IKEv2, keys differ": (
        """\
12[CFG] <1> looking for peer configs matching 192.0.2.2[192.0.2.2]...192.0.2.1[192.0.2.1]
12[CFG] <t1|1> selected peer config 't1'
12[IKE] <t1|1> tried 1 shared key for '192.0.2.2' - '192.0.2.1', but MAC mismatched
12[IKE] <t1|1> peer supports MOBIKE
""",
        "psk",
        "signature does not match",
    ),
    "charon calls, IKEv1, no proposal": (
        "09[IKE] <t1|1> received NO_PROPOSAL_CHOSEN error notify\n",
        "proposal",
        "takes none of our proposals",
    ),
    "charon calls, IKEv2, no proposal": (
        "12[IKE] <t1|1> received NO_PROPOSAL_CHOSEN notify error\n",
        "proposal",
        "takes none of our proposals",
    ),
    "charon answers, IKEv2, no proposal": (
        """\
13[CFG] <1> received proposals: IKE:AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_2048
13[CFG] <1> configured proposals: IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_3072
13[IKE] <1> received proposals unacceptable
""",
        "proposal",
        "none of the far end's IKE proposals",
    ),
    "charon calls, IKEv2, no ESP proposal": (
        """\
10[IKE] <t1|1> IKE_SA t1[1] established between 192.0.2.1[192.0.2.1]...192.0.2.2[192.0.2.2]
10[IKE] <t1|1> received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built
10[IKE] <t1|1> failed to establish CHILD_SA, keeping IKE_SA
""",
        "esp-proposal",
        "none of our ESP proposals",
    ),
    "charon answers, IKEv2, no ESP proposal": (
        """\
11[CFG] <t1|1> received proposals: ESP:AES_GCM_16_256/NO_EXT_SEQ
11[CFG] <t1|1> configured proposals: ESP:AES_CBC_128/HMAC_SHA2_256_128/NO_EXT_SEQ
11[IKE] <t1|1> no acceptable proposal found
11[IKE] <t1|1> failed to establish CHILD_SA, keeping IKE_SA
""",
        "esp-proposal",
        "none of the far end's ESP proposals",
    ),
    "charon calls, IKEv1, another identity": (
        "12[IKE] <t1|1> IDir '192.0.2.2' does not match to '198.51.100.7'\n",
        "id",
        "calls itself 192.0.2.2, expected 198.51.100.7",
    ),
    "charon answers, IKEv2, another identity": (
        """\
04[CFG] <1> looking for peer configs matching 192.0.2.2[198.51.100.7]...192.0.2.1[192.0.2.1]
04[CFG] <1> no matching peer config found
""",
        "id",
        "no tunnel is for 192.0.2.1[192.0.2.1], who asks for 192.0.2.2[198.51.100.7]",
    ),
    "charon calls, nobody there": (
        """\
04[IKE] <t1|1> retransmit 1 of request with message ID 0
06[IKE] <t1|1> retransmit 2 of request with message ID 0
09[IKE] <t1|1> retransmit 3 of request with message ID 0
""",
        None,
        "3",
    ),
    "pluto calls, IKEv1, keys differ": (
        """\
"t1" #1: sent Main Mode I3
"t1" #1: 58395-byte length of ISAKMP Hash Payload is larger than can fit
"t1" #1: malformed payload in packet
"t1" #1: STATE_MAIN_I3: retransmission; will wait 0.5 seconds for response
""",
        "psk",
        "the pre-shared keys differ",
    ),
    "pluto calls, IKEv2, keys differ": (
        """\
"t1" #1: IKE SA authentication request rejected by peer: AUTHENTICATION_FAILED
"t1" #1: encountered fatal error in state STATE_V2_PARENT_I2
"t1" #1: deleting state (STATE_V2_PARENT_I2) aged 0.013121s and NOT sending notification
""",
        "auth",
        "AUTHENTICATION_FAILED",
    ),
    "pluto calls, IKEv1, no proposal": (
        """\
"t1" #1: ignoring informational payload NO_PROPOSAL_CHOSEN, msgid=00000000, length=28
"t1" #1: received and ignored notification payload: NO_PROPOSAL_CHOSEN
""",
        "proposal",
        "takes none of our proposals",
    ),
    "pluto calls, IKEv2, no proposal": (
        '"t1" #1: dropping unexpected IKE_SA_INIT message containing NO_PROPOSAL_CHOSEN notification;'
        " message payloads: N; missing payloads: SA,KE,Ni\n",
        "proposal",
        "takes none of our proposals",
    ),
    "pluto calls, IKEv1, another identity": (
        """\
"t1" #1: Peer ID is ID_IPV4_ADDR: '198.51.100.7'
"t1" #1: Peer ID '198.51.100.7' mismatched on first found connection and no better connection found
"t1" #1: sending encrypted notification INVALID_ID_INFORMATION to 192.0.2.2:4500
""",
        "id",
        "calls itself 198.51.100.7",
    ),
    "pluto, no ESP in the kernel": (
        '"t1" #2: netlink response for Add SA esp.f3119e51@192.0.2.2: Function not implemented'
        " (errno 38)\n",
        "kernel",
        "the kernel refuses the keys: Function not implemented",
    ),
    "pluto calls, port closed": (
        '"t1" #1: ERROR: asynchronous network error report on w (192.0.2.1:500), complainant'
        " 192.0.2.2: Connection refused [errno 111, origin ICMP type 3 code 3 (not authenticated)]\n",
        "icmp",
        "192.0.2.2 says: Connection refused",
    ),
    "pluto calls, the far end's certificate is another authority's": (
        """\
"two" #5: sent IKE_AUTH request {cipher=AES_CBC_256 integ=HMAC_SHA2_256_128 prf=HMAC_SHA2_256 group=DH19}
"two" #5: authentication failed: no certificate matched ECDSA with SHA2_256 and '@cloud.example.net'
"two" #5: deleting state (STATE_V2_PARENT_I2) aged 1.08185s and sending notification
""",
        "certificate",
        "not signed by our CA, or its key is not ECDSA",
    ),
    "pluto answers, the far end's certificate is for another name": (
        """\
"two" #14: X509: authentication failed; peer certificate subjectAltName extension does not match ID_FQDN \
'cloud.example.net'
"two" #14: responding to IKE_AUTH message (ID 1) from 198.51.100.6:500 with encrypted notification \
AUTHENTICATION_FAILED
"two" #14: encountered fatal error in state STATE_V2_PARENT_R1
""",
        "id",
        "certificate is not for cloud.example.net",
    ),
    "pluto calls with ECDSA, the far end answers with RSA": (
        """\
"ec0" #31: authentication failed: peer authentication requires policy RSASIG_v1_5
"ec0" #31: deleting state (STATE_V2_PARENT_I2) aged 0.010907s and sending notification
""",
        "certificate",
        "another kind than ours",
    ),
    "pluto calls, the far end's certificate is not valid": (
        """\
"ec0" #69: NSS: ERROR: IPsec certificate CN="authority, hub" invalid: SEC_ERROR_EXTENSION_NOT_FOUND: \
Certificate extension not found.
"ec0" #69: NSS: end certificate invalid
"ec0" #69: X509: certificate payload rejected for this connection
""",
        "certificate",
        "not valid: Certificate extension not found",
    ),
}
"""Name -> (lines, code of the cause or None, words of it or how often nobody answered)."""
