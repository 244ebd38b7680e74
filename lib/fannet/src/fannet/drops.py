"""Why packets are dropped: rx, received from the underlay; tx, to be sent to it."""

from __future__ import annotations

# In the order of `enum drop` in bpf/drops.h.
BPF_DROPS = {
    "rx_metadata": "came without a tunnel's key",
    "rx_vni": "came with a VNI that belongs to no fan on this port",
    "rx_outer": "came from outside of the underlay, or from this host itself",
    "rx_truncated": "is shorter than its headers say",
    "rx_source": "its source address does not belong to the host that sent it",
    "rx_destination": "its destination is not in this host's slice",
    "rx_broadcast": "is broadcast or multicast, but not an ARP request",
    "rx_nested": "carries another tunnel",
    "rx_arp": "is not ARP for IPv4, or its sender is not its Ethernet source",
    "rx_ipv6": "is IPv6",
    "rx_protocol": "is neither IPv4 nor ARP",
    "rx_own": "its Ethernet source belongs to a container of this host, or to the bridge",
    "rx_macs": "its host has used more than 1024 Ethernet addresses in five minutes",
    "tx_truncated": "is shorter than its headers say",
    "tx_source": "its source address is not in this host's slice",
    "tx_destination": "its destination does not belong to another host of the overlay",
    "tx_local": "is for this host's own slice, which the bridge serves",
    "tx_broadcast": "is broadcast or multicast, but not an ARP request",
    "tx_nested": "carries another tunnel",
    "tx_arp": "is not ARP for IPv4, or its sender is not its Ethernet source",
    "tx_ipv6": "is IPv6",
    "tx_protocol": "is neither IPv4 nor ARP",
    "tx_tunnel": "the kernel did not accept a tunnel key for it",
}
DROPS = BPF_DROPS | {
    # The tunnel's device counts these itself, and hands them on to nobody.
    "rx_tunnel": "has malformed headers that the tunnel's device reads",
    # Fragments are put together before a tunnel's device, and our programs, see the packet.
    "rx_fragment": "is a fragment of a tunnel's packet",
    # What goes around the programs, from the underlay or a container; see rules.py.
    "rx_forged": "came by a device that does not lead to its source address",
    "tx_forged": "is for the fan's port on another host, but does not come from the tunnel",
}
