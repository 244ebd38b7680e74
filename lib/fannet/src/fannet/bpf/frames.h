// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Reading frames, and whether what is in them may pass. */

#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drops.h"
#include "mapping.h"

#define PORTS 1024

/* ARP for IPv4 on Ethernet (RFC 826); <linux/if_arp.h> needs a C library of the machine's own. */
#define ARP_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2
struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
};

/* What is known of a packet, in host byte order. */
struct packet {
	__u32 source;
	__u32 destination;
	/* Where TCP's or UDP's header is; 0 in others, in fragments, and behind options of IPv4. */
	__u32 ports_at;
	__u32 end; /* where the payload ends */
	__u16 protocol;
};

/* The UDP ports of all fans of this machine, also of those on other tunnels. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* no program adds to it */
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

static __always_inline int is_group(const __u8 *mac)
{
	return mac[0] & 1;
}

static __always_inline int is_same(const __u8 *one, const __u8 *other)
{
	__u8 difference = 0;

	for (int i = 0; i < ETH_ALEN; i++)
		difference |= one[i] ^ other[i];
	return !difference;
}

static __always_inline __u32 read_address(const __u8 *bytes)
{
	return (__u32)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

static __always_inline int is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_GRE;
}

/* VXLAN's and Geneve's assigned ports (RFC 7348, RFC 8926), the fan's own, and other fans'. */
static __always_inline int is_tunnel_port(const struct fan *fan, __u32 port)
{
	return port == 4789 || port == 6081 || port == fan->udp_port ||
	       bpf_map_lookup_elem(&ports, &port);
}

/*
 * Reads the IPv4 header at offset. Returns PASS, or one of the receiving reasons to drop the packet.
 */
static __always_inline enum drop read_ipv4(struct __sk_buff *skb, const struct fan *fan, __u32 offset,
				     struct packet *packet)
{
	struct iphdr ip;
	__u32 length, total;
	__be16 port;

	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
		return DROP_RX_TRUNCATED;
	length = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	if (ip.version != 4 || length < sizeof(ip))
		return DROP_RX_TRUNCATED;
	/* The kernel writes no total length over packets that it joined beyond 64 KiB. */
	if ((total < length || offset + total > skb->len) && !(skb->gso_size && !total))
		return DROP_RX_TRUNCATED;
	packet->source = bpf_ntohl(ip.saddr);
	packet->destination = bpf_ntohl(ip.daddr);
	packet->protocol = ip.protocol;
	packet->end = total ? offset + total : skb->len;
	if ((ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) &&
	    !(ip.frag_off & bpf_htons(0x3fff)) && length == sizeof(ip))
		packet->ports_at = offset + length;
	if (is_tunnel(ip.protocol))
		return DROP_RX_NESTED;
	if (ip.protocol == IPPROTO_UDP && !(ip.frag_off & bpf_htons(0x1fff))) {
		if (bpf_skb_load_bytes(skb, offset + length + offsetof(struct udphdr, dest), &port,
				       sizeof(port)))
			return DROP_RX_TRUNCATED;
		if (is_tunnel_port(fan, bpf_ntohs(port)))
			return DROP_RX_NESTED;
	}
	return PASS;
}

/*
 * Reads a frame that the bridge sent or is to get. Returns PASS, or one of the receiving reasons to
 * drop it.
 */
static __always_inline enum drop read_frame(struct __sk_buff *skb, const struct fan *fan,
				      struct ethhdr *eth, struct packet *packet)
{
	struct arp arp;

	if (bpf_skb_load_bytes(skb, 0, eth, sizeof(*eth)))
		return DROP_RX_TRUNCATED;
	if (skb->vlan_present) /* the kernel has taken the tag out of the frame */
		return DROP_RX_PROTOCOL;
	if (is_group(eth->h_source))
		return DROP_RX_BROADCAST;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (is_group(eth->h_dest))
			return DROP_RX_BROADCAST;
		return read_ipv4(skb, fan, sizeof(*eth), packet);
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return DROP_RX_IPV6;
	if (eth->h_proto != bpf_htons(ETH_P_ARP))
		return DROP_RX_PROTOCOL;
	if (bpf_skb_load_bytes(skb, sizeof(*eth), &arp, sizeof(arp)))
		return DROP_RX_TRUNCATED;
	if (arp.hardware != bpf_htons(ARP_ETHERNET) || arp.hardware_length != ETH_ALEN ||
	    arp.protocol != bpf_htons(ETH_P_IP) || arp.protocol_length != sizeof(__be32))
		return DROP_RX_ARP;
	if (!is_same(arp.sender_mac, eth->h_source))
		return DROP_RX_ARP;
	/* A request asks all, and is sent to the one host that can know. */
	if (arp.operation == bpf_htons(ARP_REPLY)) {
		if (is_group(eth->h_dest))
			return DROP_RX_BROADCAST;
	} else if (arp.operation != bpf_htons(ARP_REQUEST)) {
		return DROP_RX_ARP;
	}
	packet->source = read_address(arp.sender);
	packet->destination = read_address(arp.target);
	return PASS;
}

/* Reads TCP's or UDP's ports as they are in the packet; returns whether it has some. */
static __always_inline int read_ports(struct __sk_buff *skb, const struct packet *packet,
				      __u32 *ports)
{
	return packet->ports_at && !bpf_skb_load_bytes(skb, packet->ports_at, ports, sizeof(*ports));
}

static __always_inline int is_broadcast(const struct fan *fan, __u32 address)
{
	return address >> 28 == 0xe || address == ~0U ||
	       address == (fan->overlay | ~fan->overlay_mask);
}

/* Whether a packet from an underlay host may come in: PASS, or the reason why not. */
static __always_inline enum drop check_received(const struct fan *fan, const struct packet *packet,
					  __u32 outer)
{
	if (!is_in_overlay(fan, packet->source) || host_of(fan, packet->source) != outer)
		return DROP_RX_SOURCE;
	if (is_broadcast(fan, packet->destination))
		return DROP_RX_BROADCAST;
	if (!is_in_slice(fan, packet->destination))
		return DROP_RX_DESTINATION;
	return PASS;
}

/* Whether a packet of this machine may go out: PASS, or the reason why not. */
static __always_inline enum drop check_sent(const struct fan *fan, const struct packet *packet)
{
	if (!is_in_slice(fan, packet->source))
		return DROP_TX_SOURCE;
	if (is_broadcast(fan, packet->destination))
		return DROP_TX_BROADCAST;
	if (is_in_slice(fan, packet->destination))
		return DROP_TX_LOCAL;
	if (!is_in_overlay(fan, packet->destination) ||
	    !is_host(fan, host_of(fan, packet->destination)))
		return DROP_TX_DESTINATION;
	return PASS;
}

static __always_inline enum drop when_sent(enum drop reason)
{
	switch (reason) {
	case DROP_RX_NESTED:
		return DROP_TX_NESTED;
	case DROP_RX_BROADCAST:
		return DROP_TX_BROADCAST;
	case DROP_RX_ARP:
		return DROP_TX_ARP;
	case DROP_RX_IPV6:
		return DROP_TX_IPV6;
	case DROP_RX_PROTOCOL:
		return DROP_TX_PROTOCOL;
	default:
		return DROP_TX_TRUNCATED;
	}
}
