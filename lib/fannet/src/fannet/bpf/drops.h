// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Why packets are dropped, and how many were; drops.py has it in words. */

#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "mapping.h"

enum drop {
	PASS,
	DROP_RX_METADATA,
	DROP_RX_VNI,
	DROP_RX_OUTER,
	DROP_RX_TRUNCATED,
	DROP_RX_SOURCE,
	DROP_RX_DESTINATION,
	DROP_RX_BROADCAST,
	DROP_RX_NESTED,
	DROP_RX_ARP,
	DROP_RX_IPV6,
	DROP_RX_PROTOCOL,
	DROP_RX_OWN,
	DROP_RX_MACS,
	DROP_TX_TRUNCATED,
	DROP_TX_SOURCE,
	DROP_TX_DESTINATION,
	DROP_TX_LOCAL,
	DROP_TX_BROADCAST,
	DROP_TX_NESTED,
	DROP_TX_ARP,
	DROP_TX_IPV6,
	DROP_TX_PROTOCOL,
	DROP_TX_TUNNEL,
	DROPS,
};

struct counters {
	__u64 drops[DROPS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FANS);
	__type(key, __u32);
	__type(value, struct counters);
} drops SEC(".maps");

static __always_inline int drop(__u32 slot, enum drop reason)
{
	struct counters *counters = bpf_map_lookup_elem(&drops, &slot);

	if (counters)
		counters->drops[reason]++;
	return TC_ACT_SHOT;
}
