// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The fan's data path. A fan's bridge has one port of ours, a veth whose other end is unused:
 *
 *   container - bridge - port -(fan_tx)-> tunnel -> underlay
 *   container - bridge - port <-(fan_rx)- tunnel <- underlay
 *   container <------------------(fan_rx)
 *   container <-(fan_in)- port <-(fan_rx)
 *   container -(fan_direct)-----> tunnel
 *
 * The tunnel is a vxlan device in external mode, which takes the remote host from the packet's
 * tunnel key and sends nothing without one; it can serve several fans. fan_tx computes the remote
 * host from the destination. fan_rx compares the sender with the same arithmetic. Nothing else
 * connects the bridge with the tunnel: without these programs, nothing passes.
 *
 * fan_rx hands most packets straight to the container's device, past the bridge and past what
 * br_netfilter attaches to it. It knows the device since fan_tx noted where the answers came from.
 * Past the device, too, into the container itself, if it is in `veths`: whoever loads these programs
 * sees what kind of device it is, and they do not.
 *
 * What one processor receives for a container that runs on another, fan_rx hands over to that one,
 * through the port: the kernel takes a packet's processor from its hash there (RPS). fan_in, on the
 * port, goes on with it.
 *
 * fan_direct, on such a device, hands a flow's packets straight to the tunnel, once the bridge and
 * br_netfilter have let one through to fan_tx, and for a while. All others go to the bridge.
 *
 * What is left to the bridge, fan_in looks at once more, since the bridge learns from it: see macs.h.
 *
 * An ipip fan is routed: ipip_tx and ipip_rx do the same on an ipip device in external mode.
 *
 * The section is "classifier", which libbpf knows by all names that it had for it: 0.5, of Ubuntu
 * 22.04, does not know "tc" yet.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "drops.h"
#include "frames.h"
#include "macs.h"
#include "mapping.h"
#include "ways.h"

/* Helpers that newer kernels have ask for a license that the kernel's own goes with. */
char LICENSE[] SEC("license") = "GPL";

/*
 * struct bpf_tunnel_key, which has no local address in the headers of Linux before 6.0. Kernels
 * that old take KEY_SIZE; newer ones take both.
 */
struct tunnel_key {
	__u32 id;
	__u32 remote;
	__u32 remote_rest[3];
	__u8 tos;
	__u8 ttl;
	__u16 ext;
	__u32 label;
	__u32 local;
	__u32 local_rest[3];
};
#define KEY_SIZE offsetof(struct tunnel_key, local)

static __always_inline int set_remote(struct __sk_buff *skb, const struct fan *fan, __u32 remote)
{
	struct tunnel_key key = {
		.id = fan->vni,
		.remote = remote,
		.local = fan->host,
	};
	/* No receiver of ours takes fragments, so a path that is too narrow must show. */
	__u64 flags = BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT;

	if (!bpf_skb_set_tunnel_key(skb, (void *)&key, sizeof(key), flags))
		return 0;
	return bpf_skb_set_tunnel_key(skb, (void *)&key, KEY_SIZE, flags);
}

/* Sends a packet to its remote host. */
static __always_inline int pass_to_tunnel(struct __sk_buff *skb, const struct fan *fan)
{
	skb->mark = CHECKED;
	return bpf_redirect(fan->tunnel, 0);
}

/* Sends a packet to what the port receives, on a processor. */
static __always_inline int pass_to_port(struct __sk_buff *skb, const struct fan *fan, __u32 cpu)
{
	/* A share of all hashes is each processor's; this is the middle of its. */
	if (cpu < fan->cpus)
		bpf_set_hash(skb, (2ULL * cpu + 1) * (1ULL << 31) / fan->cpus);
	skb->mark = CHECKED;
	return bpf_redirect(fan->port, BPF_F_INGRESS);
}

/* Sends a packet to the container behind a device. */
static __always_inline int deliver(struct __sk_buff *skb, __u32 device)
{
	skb->mark = 0;
	if (!bpf_map_lookup_elem(&veths, &device))
		return bpf_redirect(device, 0);
	/* It had another address than the tunnel's, which is of no matter there. */
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(device, 0);
}

SEC("classifier")
int fan_tx(struct __sk_buff *skb)
{
	struct fan *fan = find_by_port(skb->ifindex);
	struct packet packet = {};
	struct ethhdr eth;
	enum drop reason;

	if (!fan)
		return drop(0, DROP_TX_TUNNEL);
	reason = read_frame(skb, fan, &eth, &packet);
	/* Also what only asks for a neighbour here is seen, since it asks all. */
	if (reason != DROP_RX_TRUNCATED)
		note_local(fan, skb->ingress_ifindex, eth.h_source);
	if (reason)
		return drop(fan->slot, when_sent(reason));
	reason = check_sent(fan, &packet);
	if (reason)
		return drop(fan->slot, reason);
	if (set_remote(skb, fan, host_of(fan, packet.destination)))
		return drop(fan->slot, DROP_TX_TUNNEL);
	if (!fan->bridged && eth.h_proto == bpf_htons(ETH_P_IP)) {
		note_path(fan, skb->ingress_ifindex, &eth, packet.source);
		note_flow(skb, &eth, &packet);
	}
	return pass_to_tunnel(skb, fan);
}

/* What it does not take goes on to the bridge; fan_tx drops there what is to be dropped. */
SEC("classifier")
int fan_direct(struct __sk_buff *skb)
{
	__u32 device = skb->ifindex, mtu = 0, here;
	__u32 *slot = bpf_map_lookup_elem(&veths, &device);
	struct packet packet = {};
	struct flow flow = {};
	enum part part = NEITHER;
	struct ethhdr eth;
	struct fan *fan;
	struct way *way;

	fan = slot && *slot ? bpf_map_lookup_elem(&fans, slot) : NULL;
	if (!fan || bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)))
		return TC_ACT_UNSPEC;
	if (!fan->bridged && !read_frame(skb, fan, &eth, &packet) && !check_sent(fan, &packet))
		part = read_flow(skb, &packet, &eth, &flow);
	way = part ? bpf_map_lookup_elem(&flows, &flow) : NULL;
	/* The bridge drops what is longer than its port takes. */
	if (!way || way->device != device || !is_open(way, part) ||
	    bpf_check_mtu(skb, fan->port, &mtu, 0, 0) ||
	    set_remote(skb, fan, host_of(fan, packet.destination))) {
		note_local(fan, device, eth.h_source);
		return TC_ACT_UNSPEC;
	}
	here = bpf_get_smp_processor_id();
	if (way->sender != here)
		way->sender = here;
	note_path(fan, device, &eth, packet.source);
	return pass_to_tunnel(skb, fan);
}

SEC("classifier")
int fan_rx(struct __sk_buff *skb)
{
	struct tunnel_key key = {};
	struct packet packet = {};
	struct ethhdr eth;
	struct fan *fan;
	enum drop reason;
	__u32 device, cpu;

	if (bpf_skb_get_tunnel_key(skb, (void *)&key, KEY_SIZE, 0))
		return drop(0, DROP_RX_METADATA);
	fan = find_by_vni(skb->ifindex, key.id);
	if (!fan)
		return drop(0, DROP_RX_VNI);
	if (!is_host(fan, key.remote) || key.remote == fan->host)
		return drop(fan->slot, DROP_RX_OUTER);
	reason = read_frame(skb, fan, &eth, &packet);
	if (reason)
		return drop(fan->slot, reason);
	reason = check_received(fan, &packet, key.remote);
	if (reason)
		return drop(fan->slot, reason);
	cpu = choose_processor(skb, fan, &packet, &eth);
	if (cpu != bpf_get_smp_processor_id())
		return pass_to_port(skb, fan, cpu);
	device = 0;
	if (!fan->bridged && eth.h_proto == bpf_htons(ETH_P_IP))
		device = find_path(skb, fan, &eth);
	return device ? deliver(skb, device) : pass_to_port(skb, fan, cpu);
}

/* Only fan_rx sends to what the port receives, so that all there is checked. */
SEC("classifier")
int fan_in(struct __sk_buff *skb)
{
	struct fan *fan = find_by_port(skb->ifindex);
	struct packet packet = {};
	__u32 device = 0;
	struct ethhdr eth;
	enum drop reason;
	struct way *way;

	if (!fan || read_frame(skb, fan, &eth, &packet))
		return TC_ACT_UNSPEC;
	way = fan->cpus ? find_answered(skb, &packet, &eth) : NULL;
	if (fan->cpus)
		bpf_set_hash_invalid(skb);
	if (way && way->handed != way->taken) { /* others are here since they are for the bridge */
		way->taken++;
		device = find_path(skb, fan, &eth);
	}
	if (device)
		return deliver(skb, device);
	reason = check_mac(skb, fan, &eth, host_of(fan, packet.source));
	return reason ? drop(fan->slot, reason) : TC_ACT_UNSPEC;
}

SEC("classifier")
int ipip_tx(struct __sk_buff *skb)
{
	struct packet packet = {};
	enum drop reason;
	struct fan *fan;
	__be32 address;

	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return drop(0, DROP_TX_IPV6);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(0, DROP_TX_PROTOCOL);
	if (bpf_skb_load_bytes(skb, offsetof(struct iphdr, daddr), &address, sizeof(address)))
		return drop(0, DROP_TX_TRUNCATED);
	fan = find_by_address(skb->ifindex, bpf_ntohl(address));
	if (!fan)
		return drop(0, DROP_TX_DESTINATION);
	reason = read_ipv4(skb, fan, 0, &packet);
	if (reason)
		return drop(fan->slot, when_sent(reason));
	reason = check_sent(fan, &packet);
	if (reason)
		return drop(fan->slot, reason);
	if (set_remote(skb, fan, host_of(fan, packet.destination)))
		return drop(fan->slot, DROP_TX_TUNNEL);
	return TC_ACT_OK;
}

SEC("classifier")
int ipip_rx(struct __sk_buff *skb)
{
	struct tunnel_key key = {};
	struct packet packet = {};
	enum drop reason;
	struct fan *fan;
	__be32 address;

	if (bpf_skb_get_tunnel_key(skb, (void *)&key, KEY_SIZE, 0))
		return drop(0, DROP_RX_METADATA);
	if (bpf_skb_load_bytes(skb, offsetof(struct iphdr, saddr), &address, sizeof(address)))
		return drop(0, DROP_RX_TRUNCATED);
	fan = find_by_address(skb->ifindex, bpf_ntohl(address));
	if (!fan)
		return drop(0, DROP_RX_SOURCE);
	if (!is_host(fan, key.remote) || key.remote == fan->host)
		return drop(fan->slot, DROP_RX_OUTER);
	reason = read_ipv4(skb, fan, 0, &packet);
	if (reason)
		return drop(fan->slot, reason);
	reason = check_received(fan, &packet, key.remote);
	if (reason)
		return drop(fan->slot, reason);
	return TC_ACT_OK;
}
