/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads synproof.bpf.c and keeps its maps; sites.c attaches it where clients are.
 *
 * The maps and the links are pinned, so they outlive a killed ismd; running sockets
 * keep their marks and records. Who opens the name again loads its own programs over
 * those maps, if their layout is the same, and puts them into the links in place of the
 * old: no connection finds nothing attached. Clients and power are forgotten then, as
 * the new ismd knows nobody yet.
 */
#define _GNU_SOURCE
#include "proof/proof.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "proof/env.h"
#include "proof/option.h"
#include "proof/sites.h"
#include "proof/synproof.h"
#include "proof/synproof.skel.h"

#define MAPS 4

struct proof {
	struct synproof_bpf *bpf;
	struct sites sites;
	int cgroup_fd;
	bool adopted; /* the maps are an earlier ismd's */
	char name[65];
	struct pins pins;
};

/* One object's place in there. */
struct pin {
	char path[192];
};

/* libbpf speaks from inside, to one place: the first complaint of an open. */
static char complaint[160];

__attribute__((format(printf, 2, 0))) static int keep_complaint(enum libbpf_print_level level,
                                                                const char *format, va_list args)
{
	if (level != LIBBPF_WARN || complaint[0])
		return 0;
	vsnprintf(complaint, sizeof(complaint), format, args);
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

static void pin_path(const struct proof *p, const char *object, struct pin *pin)
{
	snprintf(pin->path, sizeof(pin->path), "%s/%s", p->pins.path, object);
}

static void maps_of(struct proof *p, struct bpf_map *maps[MAPS])
{
	maps[0] = p->bpf->maps.clients;
	maps[1] = p->bpf->maps.netns_power;
	maps[2] = p->bpf->maps.socks;
	maps[3] = p->bpf->maps.config;
}

/* The kernel's no to the load in terms of what is missing, where that is known. */
static int explain_load(int err, struct why *w)
{
	struct utsname u;

	if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_load_hdr_opt, NULL) == 0 ||
	    libbpf_probe_bpf_helper(BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_get_netns_cookie, NULL) == 0) {
		uname(&u);
		return why_set(w, -EOPNOTSUPP,
		               "kernel %s has no TCP header options for BPF: 5.15 is needed",
		               u.release);
	}
	return why_set(w, err, "the kernel does not load the BPF programs: %s (%s)", strerror(-err),
	               complaint);
}

static uint32_t tag_of(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	h = (h ^ h >> 16) & 0xffff;
	return h ? h : 1; /* no nonce is 0 */
}

static int read_layout(int fd)
{
	struct bpf_map_info info = { 0 };
	struct proof_config c;
	uint32_t size = sizeof(info);
	uint32_t zero = 0;

	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.value_size != sizeof(c) ||
	    info.type != BPF_MAP_TYPE_ARRAY || bpf_map_lookup_elem(fd, &zero, &c))
		return -1;
	return (int)c.layout;
}

/* Take the pinned maps in the place of new ones; all of them or an error. */
static int maps_adopt(struct proof *p)
{
	struct pin pin;
	struct bpf_map *maps[MAPS];
	int err = 0;

	maps_of(p, maps);
	for (int i = MAPS - 1; i >= 0 && !err; i--) {
		int fd;

		pin_path(p, bpf_map__name(maps[i]), &pin);
		fd = bpf_obj_get(pin.path);
		if (fd < 0)
			return -errno;
		if (maps[i] == p->bpf->maps.config && read_layout(fd) != PROOF_LAYOUT)
			err = -ESTALE;
		else
			err = bpf_map__reuse_fd(maps[i], fd);
		close(fd);
	}
	p->adopted = !err;
	return err;
}

static int load(struct proof *p, bool adopt, struct why *w)
{
	int err;

	p->bpf = synproof_bpf__open();
	if (!p->bpf)
		return why_set(w, -errno, "libbpf: %s", strerror(errno));
	err = adopt ? maps_adopt(p) : 0;
	if (!err) {
		err = synproof_bpf__load(p->bpf);
		if (err)
			explain_load(err, w);
	}
	if (err) {
		synproof_bpf__destroy(p->bpf);
		p->bpf = NULL;
		p->adopted = false;
	}
	return err;
}

/* What the earlier one left, if it fits; else new. */
static int adopt_or_load(struct proof *p, struct why *w)
{
	int removed;

	if (load(p, true, w) == 0)
		return 0;
	complaint[0] = '\0';
	removed = env_pins_remove(p->name);
	if (removed < 0)
		return why_set(w, removed, "%s: %s", p->pins.path, strerror(-removed));
	removed = env_pins_make(p->name, &p->pins, w);
	return removed ? removed : load(p, false, w);
}

static int config_write(struct proof *p, struct why *w)
{
	struct proof_config c = { .layout = PROOF_LAYOUT, .tag = tag_of(p->name) };
	uint32_t zero = 0;

	if (getrandom(c.key, sizeof(c.key), 0) != sizeof(c.key))
		return why_set(w, -EIO, "getrandom: %s", strerror(errno));
	if (bpf_map_update_elem(bpf_map__fd(p->bpf->maps.config), &zero, &c, BPF_ANY))
		return why_set(w, -errno, "BPF map: %s", strerror(errno));
	return 0;
}

static int maps_pin(struct proof *p, struct why *w)
{
	struct pin pin;
	struct bpf_map *maps[MAPS];

	maps_of(p, maps);
	for (int i = 0; i < MAPS; i++) {
		pin_path(p, bpf_map__name(maps[i]), &pin);
		if (bpf_obj_pin(bpf_map__fd(maps[i]), pin.path))
			return why_set(w, -errno, "%s: %s", pin.path, strerror(errno));
	}
	return 0;
}

/* Whoever was a client holds its cgroup until it comes back or dies. */
static void clients_forget(struct proof *p)
{
	int fd = bpf_map__fd(p->bpf->maps.clients);
	struct proof_client c;
	uint32_t key;

	while (bpf_map_get_next_key(fd, NULL, &key) == 0) {
		if (bpf_map_lookup_elem(fd, &key, &c) == 0)
			sites_miss(&p->sites, (pid_t)key, c.site);
		if (bpf_map_delete_elem(fd, &key))
			break;
	}
}

static void power_forget(struct proof *p)
{
	int fd = bpf_map__fd(p->bpf->maps.netns_power);
	uint64_t key;

	while (bpf_map_get_next_key(fd, NULL, &key) == 0)
		if (bpf_map_delete_elem(fd, &key))
			break;
}

static int set_up(struct proof *p, struct why *w)
{
	int err = env_pins_make(p->name, &p->pins, w);

	if (!err)
		err = adopt_or_load(p, w);
	if (err)
		return err;
	sites_init(&p->sites, p->cgroup_fd, p->pins.path,
	           bpf_program__fd(p->bpf->progs.synproof_ops),
	           bpf_program__fd(p->bpf->progs.synproof_mark));
	if (p->adopted) {
		sites_adopt(&p->sites);
		clients_forget(p);
		power_forget(p);
		return 0;
	}
	err = config_write(p, w);
	return err ? err : maps_pin(p, w);
}

static void tear_down(struct proof *p)
{
	sites_end(&p->sites);
	if (p->pins.path[0])
		env_pins_remove(p->name);
	synproof_bpf__destroy(p->bpf);
	if (p->cgroup_fd >= 0)
		close(p->cgroup_fd);
	free(p);
}

int proof_open(struct proof **out, const char *name, char *why, size_t size)
{
	struct why w = { why, size };
	libbpf_print_fn_t before;
	struct proof *p;
	int err = env_check(&w);

	if (err)
		return err;
	if (!env_name_is_good(name))
		return why_set(&w, -EINVAL,
		               "bad name for the proof's objects: letters, digits, - and _");
	p = calloc(1, sizeof(*p));
	if (!p)
		return why_set(&w, -ENOMEM, "no memory");
	snprintf(p->name, sizeof(p->name), "%s", name);
	complaint[0] = '\0';
	before = libbpf_set_print(keep_complaint);
	p->cgroup_fd = env_cgroup_open(&w);
	err = p->cgroup_fd < 0 ? p->cgroup_fd : set_up(p, &w);
	if (err)
		tear_down(p);
	else
		*out = p;
	libbpf_set_print(before);
	return err;
}

void proof_close(struct proof *p)
{
	tear_down(p);
}

int proof_cleanup(const char *name)
{
	return env_name_is_good(name) ? env_pins_remove(name) : -EINVAL;
}

int proof_client_add(struct proof *p, pid_t tgid, const char *cgroup)
{
	int fd = bpf_map__fd(p->bpf->maps.clients);
	uint32_t key = (uint32_t)tgid;
	struct proof_client before = { 0 };
	struct proof_client c = { 0 };
	uint64_t site = 0;
	int err;

	err = sites_hold(&p->sites, cgroup, &site);
	sites_found(&p->sites, tgid);
	if (err)
		return err;
	bpf_map_lookup_elem(fd, &key, &before);
	c.count = before.count + 1;
	c.site = site;
	if (bpf_map_update_elem(fd, &key, &c, BPF_ANY)) {
		err = -errno;
		sites_release(&p->sites, site);
		return err;
	}
	/* One hold for each process, the latest: it may have moved. */
	if (before.count)
		sites_release(&p->sites, before.site);
	return 0;
}

void proof_client_del(struct proof *p, pid_t tgid)
{
	int fd = bpf_map__fd(p->bpf->maps.clients);
	uint32_t key = (uint32_t)tgid;
	struct proof_client c;

	if (bpf_map_lookup_elem(fd, &key, &c))
		return;
	if (--c.count) {
		bpf_map_update_elem(fd, &key, &c, BPF_EXIST);
		return;
	}
	bpf_map_delete_elem(fd, &key);
	sites_release(&p->sites, c.site);
}

uint64_t proof_due_ns(const struct proof *p)
{
	return p->sites.due_ns;
}

void proof_tick(struct proof *p, uint64_t now_ns)
{
	sites_tick(&p->sites, now_ns);
}

int proof_netns_power(struct proof *p, uint64_t netns_cookie, bool on)
{
	int fd = bpf_map__fd(p->bpf->maps.netns_power);
	uint8_t one = 1;

	if (on)
		return bpf_map_update_elem(fd, &netns_cookie, &one, BPF_ANY) ? -errno : 0;
	return bpf_map_delete_elem(fd, &netns_cookie) && errno != ENOENT ? -errno : 0;
}

int proof_read(struct proof *p, int fd, struct proof_record *out)
{
	struct proof_sk e;

	if (bpf_map_lookup_elem(bpf_map__fd(p->bpf->maps.socks), &fd, &e))
		return -errno;
	if (e.flags == 0)
		return -ENOENT;
	out->local = e.local;
	out->peer = e.peer;
	out->flags = e.flags;
	out->is_client = e.role == PROOF_ROLE_CLIENT;
	return 0;
}
