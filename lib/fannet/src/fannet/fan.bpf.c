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
 * An ipip fan is routed: ipip_tx and ipip_rx do the same on an ipip device in external mode.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Helpers that newer kernels have ask for a license that the kernel's own goes with. */
char LICENSE[] SEC("license") = "GPL";

#define FANS 16 /* on one tunnel; the first place stands for packets that are no fan's */
#define PATHS 1024
#define VETHS 1024
#define FLOWS 4096
#define LIFETIME 10000000000ULL /* ns, of paths and flows; well below a bridge's ageing time, 300 s */

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
};

struct counters {
	__u64 drops[DROPS];
};

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
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FANS);
	__type(key, __u32);
	__type(value, struct fan);
} fans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FANS);
	__type(key, __u32);
	__type(value, struct counters);
} drops SEC(".maps");

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
	__u8 remote[ETH_ALEN];
	__u16 protocol;
};

/* What is known of a flow. */
struct way {
	__u64 since; /* ns; when the bridge last let a packet of the flow through */
	__u32 device; /* the one that it came from */
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
	__uint(max_entries, VETHS);
	__type(key, __u32);
	__type(value, __u32);
} veths SEC(".maps");

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
	__u32 ports_at; /* where TCP's or UDP's ports are; 0 in others, and in fragments */
	__u16 protocol;
};

static __always_inline int drop(__u32 slot, enum drop reason)
{
	struct counters *counters = bpf_map_lookup_elem(&drops, &slot);

	if (counters)
		counters->drops[reason]++;
	return TC_ACT_SHOT;
}

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

static __always_inline int is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_GRE;
}

/* VXLAN's and Geneve's assigned ports (RFC 7348, RFC 8926), and the fan's own. */
static __always_inline int is_tunnel_port(const struct fan *fan, __u32 port)
{
	return port == 4789 || port == 6081 || port == fan->udp_port;
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
	if ((ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) &&
	    !(ip.frag_off & bpf_htons(0x3fff)))
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

/* Whether a packet of this host may go out: PASS, or the reason why not. */
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

/*
 * Remembers which device a container's packets come from. Packets that this host itself sends or
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

static __always_inline int read_flow(struct __sk_buff *skb, const struct packet *packet,
				     const struct ethhdr *eth, struct flow *flow)
{
	flow->source = packet->source;
	flow->destination = packet->destination;
	flow->protocol = packet->protocol;
	__builtin_memcpy(flow->remote, eth->h_dest, ETH_ALEN);
	return packet->ports_at && !bpf_skb_load_bytes(skb, packet->ports_at, &flow->ports,
						       sizeof(flow->ports));
}

/* Remembers that the bridge let a packet of a flow through, where fan_direct will ask. */
static __always_inline void note_flow(struct __sk_buff *skb, const struct ethhdr *eth,
				      const struct packet *packet)
{
	struct way way = { .device = skb->ingress_ifindex }, *known;
	__u32 *slot = bpf_map_lookup_elem(&veths, &way.device);
	struct flow flow = {};

	if (!slot || !*slot || !read_flow(skb, packet, eth, &flow))
		return;
	way.since = bpf_ktime_get_ns();
	way.sender = bpf_get_smp_processor_id();
	known = bpf_map_lookup_elem(&flows, &flow);
	if (!known || known->device != way.device) {
		bpf_map_update_elem(&flows, &flow, &way, BPF_ANY);
		return;
	}
	known->since = way.since;
	known->taken = known->handed; /* those that were lost on the way would never be */
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

	if (packet->protocol != IPPROTO_TCP || !packet->ports_at ||
	    bpf_skb_load_bytes(skb, packet->ports_at, &flow.ports, sizeof(flow.ports)))
		return NULL;
	flow.ports = flow.ports << 16 | flow.ports >> 16;
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

/* Sends a packet to what the port receives, on a processor. */
static __always_inline int pass_to_port(struct __sk_buff *skb, const struct fan *fan, __u32 cpu)
{
	/* A share of all hashes is each processor's; this is the middle of its. */
	if (cpu < fan->cpus)
		bpf_set_hash(skb, (2ULL * cpu + 1) * (1ULL << 31) / fan->cpus);
	return bpf_redirect(fan->port, BPF_F_INGRESS);
}

/* Sends a packet to the container behind a device. */
static __always_inline int deliver(struct __sk_buff *skb, __u32 device)
{
	if (!bpf_map_lookup_elem(&veths, &device))
		return bpf_redirect(device, 0);
	/* It had another address than the tunnel's, which is of no matter there. */
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(device, 0);
}

/*
 * The searches are apart from what follows them, so that the verifier follows the rest once and not
 * once for each place in the map.
 */
static __always_inline struct fan *find_by_port(__u32 port)
{
	for (__u32 slot = 1; slot < FANS; slot++) {
		__u32 key = slot;
		struct fan *fan = bpf_map_lookup_elem(&fans, &key);

		if (fan && fan->port == port)
			return fan;
	}
	return NULL;
}

static __always_inline struct fan *find_by_vni(__u32 tunnel, __u32 vni)
{
	for (__u32 slot = 1; slot < FANS; slot++) {
		__u32 key = slot;
		struct fan *fan = bpf_map_lookup_elem(&fans, &key);

		if (fan && fan->tunnel == tunnel && fan->vni == vni)
			return fan;
	}
	return NULL;
}

static __always_inline struct fan *find_by_address(__u32 tunnel, __u32 address)
{
	for (__u32 slot = 1; slot < FANS; slot++) {
		__u32 key = slot;
		struct fan *fan = bpf_map_lookup_elem(&fans, &key);

		if (fan && fan->tunnel == tunnel && is_in_overlay(fan, address))
			return fan;
	}
	return NULL;
}

SEC("tc")
int fan_tx(struct __sk_buff *skb)
{
	struct fan *fan = find_by_port(skb->ifindex);
	struct packet packet = {};
	struct ethhdr eth;
	enum drop reason;

	if (!fan)
		return drop(0, DROP_TX_TUNNEL);
	reason = read_frame(skb, fan, &eth, &packet);
	if (reason)
		return drop(fan->slot, when_sent(reason));
	reason = check_sent(fan, &packet);
	if (reason)
		return drop(fan->slot, reason);
	if (set_remote(skb, fan, host_of(fan, packet.destination)))
		return drop(fan->slot, DROP_TX_TUNNEL);
	if (eth.h_proto == bpf_htons(ETH_P_IP)) {
		note_path(fan, skb->ingress_ifindex, &eth, packet.source);
		note_flow(skb, &eth, &packet);
	}
	return bpf_redirect(fan->tunnel, 0);
}

/* What it does not take goes on to the bridge; fan_tx drops there what is to be dropped. */
SEC("tc")
int fan_direct(struct __sk_buff *skb)
{
	__u32 device = skb->ifindex, mtu = 0, here;
	__u32 *slot = bpf_map_lookup_elem(&veths, &device);
	struct packet packet = {};
	struct flow flow = {};
	struct ethhdr eth;
	struct fan *fan;
	struct way *way;

	if (!slot || !*slot || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	fan = bpf_map_lookup_elem(&fans, slot);
	if (!fan || read_frame(skb, fan, &eth, &packet) || check_sent(fan, &packet) ||
	    !read_flow(skb, &packet, &eth, &flow))
		return TC_ACT_UNSPEC;
	way = bpf_map_lookup_elem(&flows, &flow);
	/* The bridge drops what is longer than its port takes. */
	if (!way || way->device != device || bpf_ktime_get_ns() - way->since >= LIFETIME ||
	    bpf_check_mtu(skb, fan->port, &mtu, 0, 0) ||
	    set_remote(skb, fan, host_of(fan, packet.destination)))
		return TC_ACT_UNSPEC;
	here = bpf_get_smp_processor_id();
	if (way->sender != here)
		way->sender = here;
	note_path(fan, device, &eth, packet.source);
	return bpf_redirect(fan->tunnel, 0);
}

SEC("tc")
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
	device = eth.h_proto == bpf_htons(ETH_P_IP) ? find_path(skb, fan, &eth) : 0;
	return device ? deliver(skb, device) : pass_to_port(skb, fan, cpu);
}

/* Only fan_rx sends to what the port receives, so that all there is checked. */
SEC("tc")
int fan_in(struct __sk_buff *skb)
{
	struct fan *fan = find_by_port(skb->ifindex);
	struct packet packet = {};
	struct ethhdr eth;
	struct way *way;
	__u32 device;

	if (!fan || !fan->cpus || read_frame(skb, fan, &eth, &packet))
		return TC_ACT_UNSPEC;
	bpf_set_hash_invalid(skb);
	way = find_answered(skb, &packet, &eth);
	if (!way || way->handed == way->taken) /* it was not handed over, but is for the bridge */
		return TC_ACT_UNSPEC;
	way->taken++;
	device = find_path(skb, fan, &eth);
	return device ? deliver(skb, device) : TC_ACT_UNSPEC;
}

SEC("tc")
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

SEC("tc")
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
