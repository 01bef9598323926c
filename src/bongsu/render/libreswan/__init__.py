"""Libreswan 4: connections bound to a VTI, an XFRM interface or to policies, and their secrets."""
