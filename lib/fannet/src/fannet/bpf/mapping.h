// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The fans' numbers, and the mapping's arithmetic on them; mapping.py explains it. */

#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>

/* Marks packets for the packet filter; rules.py tells what for. */
#define CHECKED 0xfa000000

#define FANS 16 /* on one tunnel; the first place is for packets of no fan */

/* One fan's numbers, from mapping.py; addresses in host byte order. Zeros are no fan. */
struct fan {
	__u32 overlay;
	__u32 overlay_mask;
	__u32 underlay;
	__u32 underlay_mask;
	__u32 shift;
	__u32 host;
	__u32 slice;
	__u32 slice_mask;
	__u32 vni;
	__u32 udp_port;
	__u32 tunnel; /* device numbers */
	__u32 port;
	__u8 mac[ETH_ALEN]; /* the bridge's */
	__u16 slot;
	__u32 cpus; /* the port takes packets to so many processors, by their hashes; 0: to none */
	__u32 bridged; /* whether all packets go through the bridge, and none has a shorter way */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FANS);
	__type(key, __u32);
	__type(value, struct fan);
} fans SEC(".maps");

static __always_inline int is_in_overlay(const struct fan *fan, __u32 address)
{
	return (address & fan->overlay_mask) == fan->overlay;
}

static __always_inline int is_in_slice(const struct fan *fan, __u32 address)
{
	return (address & fan->slice_mask) == fan->slice;
}

/* The underlay's network and broadcast addresses are no hosts. */
static __always_inline int is_host(const struct fan *fan, __u32 address)
{
	__u32 number = address & ~fan->underlay_mask;

	return (address & fan->underlay_mask) == fan->underlay && number != 0 &&
	       number != ~fan->underlay_mask;
}

static __always_inline __u32 host_of(const struct fan *fan, __u32 address)
{
	return fan->underlay | (address & ~fan->overlay_mask) >> fan->shift;
}

/*
 * Defines a search for the fan that a condition on `fan` holds for. The searches are apart from what
 * follows them, so that the verifier follows the rest once and not once for each place in the map.
 */
#define SEARCH(name, parameters, condition)					\
	static __always_inline struct fan *name parameters			\
	{									\
		for (__u32 slot = 1; slot < FANS; slot++) {			\
			__u32 key = slot;					\
			struct fan *fan = bpf_map_lookup_elem(&fans, &key);	\
										\
			if (fan && (condition))					\
				return fan;					\
		}								\
		return NULL;							\
	}

SEARCH(find_by_port, (__u32 port), fan->port == port)
SEARCH(find_by_vni, (__u32 tunnel, __u32 vni), fan->tunnel == tunnel && fan->vni == vni)
SEARCH(find_by_address, (__u32 tunnel, __u32 address),
       fan->tunnel == tunnel && is_in_overlay(fan, address))
