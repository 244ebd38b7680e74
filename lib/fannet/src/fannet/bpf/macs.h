// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Whose the Ethernet addresses are. A bridge believes each frame where its source is: one from
 * another host with a container's address would move that to our port, and many would fill its
 * table. So what goes on to the bridge is looked at here; what goes past it teaches it nothing.
 */

#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "drops.h"
#include "frames.h"
#include "mapping.h"

/* All of an LRU map is allocated at once; these three take nearly half of a fan's memory. */
#define LOCALS 1024 /* as many as a bridge has ports */
#define REMOTES 4096
#define HOSTS 512
#define MACS 1024 /* that a host may use in AGEING; a bridge, such as its own, has no more ports */
#define AGEING 300000000000ULL /* ns, as bridges have it unless told otherwise */

struct mac {
	__u8 address[ETH_ALEN];
	__u16 slot;
};

/* Where a local address was last seen. */
struct place {
	__u64 since; /* ns */
	__u32 device;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LOCALS);
	__type(key, struct mac);
	__type(value, struct place);
} locals SEC(".maps");

/* When the bridge was let learn an address of another host's, in ns. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, REMOTES);
	__type(key, struct mac);
	__type(value, __u64);
} remotes SEC(".maps");

struct sender {
	__u32 host;
	__u32 slot;
};

/* How many addresses of a host's the bridge was let learn, and since when. */
struct learned {
	__u64 since; /* ns */
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HOSTS);
	__type(key, struct sender);
	__type(value, struct learned);
} senders SEC(".maps");

static __always_inline void write_mac(struct mac *mac, const struct fan *fan, const __u8 *address)
{
	__builtin_memcpy(mac->address, address, ETH_ALEN);
	mac->slot = fan->slot;
}

/* Whether the bridge was let learn an address of another host's, and may still know it. */
static __always_inline int is_remote(const struct mac *mac, __u64 now)
{
	__u64 *since = bpf_map_lookup_elem(&remotes, mac);

	return since && now - *since < AGEING;
}

/*
 * Remembers that an address is a container's of this machine. One that another host uses stays that
 * one's: or a container could silence another host's.
 */
static __always_inline void note_local(const struct fan *fan, __u32 device, const __u8 *address)
{
	struct place place = { .device = device }, *known;
	struct mac mac = {};

	if (!device || is_group(address) || is_same(address, fan->mac))
		return;
	write_mac(&mac, fan, address);
	place.since = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&locals, &mac);
	if (known && known->device == device) {
		if (place.since - known->since > AGEING / 300)
			known->since = place.since;
		return;
	}
	if (!is_remote(&mac, place.since))
		bpf_map_update_elem(&locals, &mac, &place, BPF_ANY);
}

static __always_inline int is_local(struct __sk_buff *skb, const struct fan *fan,
				    const struct mac *mac, __u64 now)
{
	struct place *place;
	__u32 mtu = 0;

	if (is_same(mac->address, fan->mac))
		return 1;
	place = bpf_map_lookup_elem(&locals, mac);
	if (!place)
		return 0;
	/* A container that moved to another host may keep its address; its device here is gone. */
	if (now - place->since < AGEING &&
	    bpf_check_mtu(skb, place->device, &mtu, 0, 0) >= 0)
		return 1;
	bpf_map_delete_elem(&locals, mac);
	return 0;
}

/*
 * Whether the bridge may learn the source of a frame from an underlay host: PASS, or the reason why
 * not. Each address counts once in AGEING, also if it is in use all the time, so that a host can't
 * keep more in the bridge's table by that.
 */
static __always_inline enum drop check_mac(struct __sk_buff *skb, const struct fan *fan,
					   const struct ethhdr *eth, __u32 host)
{
	struct sender sender = { .host = host, .slot = fan->slot };
	__u64 now = bpf_ktime_get_ns();
	struct learned first = { .since = now, .count = 1 }, *learned;
	struct mac mac = {};

	write_mac(&mac, fan, eth->h_source);
	if (is_local(skb, fan, &mac, now))
		return DROP_RX_OWN;
	if (is_remote(&mac, now))
		return PASS;
	learned = bpf_map_lookup_elem(&senders, &sender);
	if (!learned || now - learned->since >= AGEING)
		bpf_map_update_elem(&senders, &sender, &first, BPF_ANY);
	else if (learned->count >= MACS)
		return DROP_RX_MACS;
	else
		__sync_fetch_and_add(&learned->count, 1);
	bpf_map_update_elem(&remotes, &mac, &now, BPF_ANY);
	return PASS;
}
