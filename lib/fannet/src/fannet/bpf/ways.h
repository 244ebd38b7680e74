// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* What is remembered of packets, so that those after them take a shorter way. */

#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

#include "frames.h"
#include "mapping.h"

#define PATHS 1024
#define VETHS 1024
#define FLOWS 1024
#define LIFETIME 10000000000ULL /* ns, of paths and flows; well below a bridge's ageing time, 300 s */

/* Two Ethernet addresses that talked, the local one first. */
struct pair {
	__u8 local[ETH_ALEN];
	__u8 remote[ETH_ALEN];
	__u32 slot;
};

struct path {
	__u64 since; /* ns */
	__u32 device;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PATHS);
	__type(key, struct pair);
	__type(value, struct path);
} paths SEC(".maps");

/* What a container sends to one port from another. */
struct flow {
	__u32 source;
	__u32 destination;
	__u32 ports;
	__u8 local[ETH_ALEN];
	__u8 remote[ETH_ALEN];
	__u16 protocol;
	__u16 unused;
};

/*
 * What of a flow may pass alike: a rule that lets TCP's bare acknowledgements pass may look at
 * what data packets carry, and the other way round.
 */
enum part {
	NEITHER, /* such as what begins or ends a connection: rules look at it, each time */
	DATA,
	ACKS,
};

/* What is known of a flow. */
struct way {
	__u64 data; /* ns; when the bridge last let a data packet of the flow through */
	__u64 acks; /* and an acknowledgement */
	__u32 device; /* the one that they came from */
	__u16 sender; /* the processor that it was last sent on */
	__u16 receiver; /* the one that takes in the answers, plus 1; 0: whichever gets one */
	__u32 handed; /* how many answers were handed over to that, */
	__u32 taken; /* and how many of them it has taken in */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS);
	__type(key, struct flow);
	__type(value, struct way);
} flows SEC(".maps");

/*
 * The numbers of veth devices whose other end is in another network namespace, and the slot of the
 * fan on whose own bridge each is, or 0.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* no program adds to it */
	__uint(max_entries, VETHS);
	__type(key, __u32);
	__type(value, __u32);
} veths SEC(".maps");

/*
 * Remembers which device a container's packets come from. Packets that this machine itself sends or
 * routes come from the bridge, by its addresses, and the answers go through it.
 */
static __always_inline void note_path(const struct fan *fan, __u32 device,
				      const struct ethhdr *eth, __u32 source)
{
	struct pair pair = { .slot = fan->slot };
	struct path path = {}, *known;

	if (!device || source == (fan->slice | 1) || is_same(eth->h_source, fan->mac))
		return;
	__builtin_memcpy(pair.local, eth->h_source, ETH_ALEN);
	__builtin_memcpy(pair.remote, eth->h_dest, ETH_ALEN);
	known = bpf_map_lookup_elem(&paths, &pair);
	if (known && known->device == device)
		return;
	path.since = bpf_ktime_get_ns();
	path.device = device;
	bpf_map_update_elem(&paths, &pair, &path, BPF_ANY);
}

/*
 * Returns the device of the container that a packet is for, or 0 if the bridge should find it.
 * Each path ends after a while, so that the bridge sees a packet of the remote address and goes
 * on knowing that it is behind our port.
 */
static __always_inline __u32 find_path(struct __sk_buff *skb, const struct fan *fan,
				       const struct ethhdr *eth)
{
	struct pair pair = { .slot = fan->slot };
	struct path *path;
	__u32 mtu = 0;

	__builtin_memcpy(pair.local, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(pair.remote, eth->h_source, ETH_ALEN);
	path = bpf_map_lookup_elem(&paths, &pair);
	if (!path)
		return 0;
	/* The check fails also when the device is gone, as after a container's restart. */
	if (bpf_ktime_get_ns() - path->since < LIFETIME &&
	    !bpf_check_mtu(skb, path->device, &mtu, 0, 0))
		return path->device;
	bpf_map_delete_elem(&paths, &pair);
	return 0;
}

/* Reads what flow a packet is of, and what it is there. */
static __always_inline enum part read_flow(struct __sk_buff *skb, const struct packet *packet,
					   const struct ethhdr *eth, struct flow *flow)
{
	struct tcphdr tcp;

	flow->source = packet->source;
	flow->destination = packet->destination;
	flow->protocol = packet->protocol;
	__builtin_memcpy(flow->local, eth->h_source, ETH_ALEN);
	__builtin_memcpy(flow->remote, eth->h_dest, ETH_ALEN);
	if (!read_ports(skb, packet, &flow->ports))
		return NEITHER;
	if (packet->protocol != IPPROTO_TCP)
		return DATA;
	if (bpf_skb_load_bytes(skb, packet->ports_at, &tcp, sizeof(tcp)) || !tcp.ack || tcp.syn ||
	    tcp.fin || tcp.rst || tcp.urg)
		return NEITHER;
	return packet->ports_at + tcp.doff * 4 < packet->end ? DATA : ACKS;
}

/* Remembers that the bridge let a packet of a flow through, where fan_direct will ask. */
static __always_inline void note_flow(struct __sk_buff *skb, const struct ethhdr *eth,
				      const struct packet *packet)
{
	struct way way = { .device = skb->ingress_ifindex }, *known;
	__u32 *slot = bpf_map_lookup_elem(&veths, &way.device);
	struct flow flow = {};
	enum part part;
	__u64 now;

	if (!slot || !*slot)
		return;
	part = read_flow(skb, packet, eth, &flow);
	if (part == NEITHER)
		return;
	now = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&flows, &flow);
	if (known && known->device == way.device) {
		known->taken = known->handed; /* those that were lost on the way would never be */
	} else {
		way.sender = bpf_get_smp_processor_id();
		bpf_map_update_elem(&flows, &flow, &way, BPF_ANY);
		known = bpf_map_lookup_elem(&flows, &flow);
		if (!known)
			return;
	}
	if (part == DATA)
		known->data = now;
	else
		known->acks = now;
}

/* Whether the bridge let a packet like this one through a while ago at most. */
static __always_inline int is_open(const struct way *way, enum part part)
{
	__u64 since = part == DATA ? way->data : way->acks;

	return since && bpf_ktime_get_ns() - since < LIFETIME;
}

/* Returns the way of the flow that a packet of TCP answers, if it is known. */
static __always_inline struct way *find_answered(struct __sk_buff *skb, const struct packet *packet,
						 const struct ethhdr *eth)
{
	struct flow flow = {
		.source = packet->destination,
		.destination = packet->source,
		.protocol = packet->protocol,
	};

	if (packet->protocol != IPPROTO_TCP || !read_ports(skb, packet, &flow.ports))
		return NULL;
	flow.ports = flow.ports << 16 | flow.ports >> 16;
	__builtin_memcpy(flow.local, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(flow.remote, eth->h_source, ETH_ALEN);
	return bpf_map_lookup_elem(&flows, &flow);
}

/*
 * Returns the processor that shall take in a packet: the one that its container last sent on. To
 * hand over costs both some time, so it is done for connections that move a lot: of which one
 * packet was many on the wire. Another one is chosen when nothing is left on the way to the last,
 * so that no packet overtakes another.
 */
static __always_inline __u32 choose_processor(struct __sk_buff *skb, const struct fan *fan,
					      const struct packet *packet,
					      const struct ethhdr *eth)
{
	__u32 here = bpf_get_smp_processor_id();
	struct way *way = fan->cpus ? find_answered(skb, packet, eth) : NULL;

	if (!way)
		return here;
	if (skb->gso_segs > 1 && (__s32)(way->handed - way->taken) <= 0)
		way->receiver = way->sender + 1;
	if (!way->receiver || way->receiver > fan->cpus || way->receiver == here + 1)
		return here;
	way->handed++;
	return way->receiver - 1;
}
