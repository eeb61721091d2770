/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site has two links, records first: no mark without its record. Each is pinned
 * beside the maps as ops-ID and mark-ID, so a site outlives a killed ismd. When the last
 * client is gone the links stay for a while: the next client often comes soon, and a
 * first and a last attachment on the machine rewrite kernel code. A site that was
 * adopted stays for as long as those live who were clients there, since a server in
 * accept() comes back to us only when it makes another call, and its listener answers
 * until then.
 *
 * A cgroup is attached whether one above it is or not. So both may run for one socket;
 * the programs do the same thing twice then and no harm comes of it. In exchange nobody
 * has to be attached again when the one above goes, nor keeps that one for the sake of a
 * client below it.
 *
 * Whoever may make cgroups can have them attached, up to SITES_MAX, and no farther from
 * its own than that.
 */
#define _GNU_SOURCE
#include "proof/sites.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define LINGER_NS 10000000000ull
#define LOOK_NS 60000000000ull

enum { OPS, MARK, LINKS };

static const char *const prefixes[LINKS] = { "ops-", "mark-" };
static const enum bpf_attach_type types[LINKS] = { BPF_CGROUP_SOCK_OPS,
	                                           BPF_CGROUP_INET_SOCK_CREATE };

struct site {
	uint64_t id;
	unsigned clients;
	unsigned missing;
	int links[LINKS]; /* -1: none */
	uint64_t idle_ns; /* since then nobody needs it */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool is_idle(const struct site *e)
{
	return e->clients == 0 && e->missing == 0;
}

static void due_by(struct sites *s, uint64_t ns)
{
	if (ns < s->due_ns)
		s->due_ns = ns;
}

static void became_idle(struct sites *s, struct site *e, uint64_t now)
{
	e->idle_ns = now;
	due_by(s, e->idle_ns + LINGER_NS);
}

static struct site *find(const struct sites *s, uint64_t id)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->all[i]->id == id)
			return s->all[i];
	return NULL;
}

/* -------------------------------------------------------------------- links */

struct pin {
	char path[192];
};

static struct pin pin_of(const struct sites *s, const struct site *e, int which)
{
	struct pin pin;

	snprintf(pin.path, sizeof(pin.path), "%s/%s%llx", s->pins, prefixes[which],
	         (unsigned long long)e->id);
	return pin;
}

/* The other way round: marks end first. */
static void detach(struct sites *s, struct site *e)
{
	for (int which = LINKS - 1; which >= 0; which--) {
		struct pin pin = pin_of(s, e, which);

		if (e->links[which] >= 0) {
			/* the last reference would take it away some time later */
			bpf_link_detach(e->links[which]);
			close(e->links[which]);
		}
		e->links[which] = -1;
		unlink(pin.path);
	}
}

static int attach(struct sites *s, struct site *e, int cgroup)
{
	for (int which = 0; which < LINKS; which++) {
		struct pin pin = pin_of(s, e, which);
		int fd = bpf_link_create(s->programs[which], cgroup, types[which], NULL);
		int err = fd < 0 ? -errno : 0;

		e->links[which] = fd;
		unlink(pin.path); /* there should be none */
		if (!err && bpf_obj_pin(fd, pin.path))
			err = -errno;
		if (err) {
			detach(s, e);
			return err;
		}
	}
	return 0;
}

/* Did its cgroup go? Then the kernel has detached it. */
static bool is_dead(int link)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(link, &info, &size) || info.cgroup.cgroup_id == 0;
}

/* -------------------------------------------------------------------- sites */

static void drop(struct sites *s, struct site *e)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->all[i] == e)
			s->all[i] = s->all[--s->n];
	detach(s, e);
	free(e);
}

/* Of those that nobody needs the one that has been so for longest. */
static bool make_room(struct sites *s)
{
	struct site *oldest = NULL;

	for (unsigned i = 0; i < s->n; i++)
		if (is_idle(s->all[i]) && (!oldest || s->all[i]->idle_ns < oldest->idle_ns))
			oldest = s->all[i];
	if (oldest)
		drop(s, oldest);
	return oldest != NULL;
}

static struct site *add(struct sites *s, uint64_t id)
{
	struct site *e;

	if (s->n == SITES_MAX && !make_room(s))
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->id = id;
	e->links[OPS] = e->links[MARK] = -1;
	s->all[s->n++] = e;
	return e;
}

void sites_init(struct sites *s, int root, const char *pins, int records, int marks)
{
	memset(s, 0, sizeof(*s));
	s->root = root;
	s->pins = pins;
	s->programs[OPS] = records;
	s->programs[MARK] = marks;
	s->due_ns = UINT64_MAX;
}

void sites_end(struct sites *s)
{
	while (s->n)
		drop(s, s->all[s->n - 1]);
	free(s->missing);
	s->missing = NULL;
	s->nmissing = 0;
}

/* ------------------------------------------------------------------ adoption */

static void adopt_pin(struct sites *s, const char *name)
{
	for (int which = 0; which < LINKS; which++) {
		size_t len = strlen(prefixes[which]);
		struct site *e;
		struct pin pin;
		uint64_t id;

		if (strncmp(name, prefixes[which], len))
			continue;
		id = strtoull(name + len, NULL, 16);
		e = find(s, id);
		if (!e)
			e = add(s, id);
		if (!e)
			return;
		pin = pin_of(s, e, which);
		e->links[which] = bpf_obj_get(pin.path);
	}
}

static bool take_over(const struct sites *s, const struct site *e)
{
	for (int which = 0; which < LINKS; which++)
		if (e->links[which] < 0 || is_dead(e->links[which]) ||
		    bpf_link_update(e->links[which], s->programs[which], NULL))
			return false;
	return true;
}

void sites_adopt(struct sites *s)
{
	DIR *dir = opendir(s->pins);
	struct dirent *d;

	if (!dir)
		return;
	while ((d = readdir(dir)))
		adopt_pin(s, d->d_name);
	closedir(dir);
	for (unsigned i = s->n; i-- > 0;)
		if (take_over(s, s->all[i]))
			became_idle(s, s->all[i], now_ns());
		else
			drop(s, s->all[i]);
}

/* Not permitted is a sign of life. */
static bool has_died(pid_t tgid)
{
	return kill(tgid, 0) < 0 && errno == ESRCH;
}

void sites_miss(struct sites *s, pid_t tgid, uint64_t site)
{
	struct site *e = find(s, site);
	struct missing *grown;

	if (!e || has_died(tgid)) /* the earlier ismd had no time to see that */
		return;
	grown = realloc(s->missing, (s->nmissing + 1) * sizeof(*grown));
	if (!grown)
		return;
	s->missing = grown;
	s->missing[s->nmissing++] = (struct missing){ tgid, site };
	e->missing++;
	if (!s->next_look_ns)
		s->next_look_ns = now_ns() + LOOK_NS;
	due_by(s, s->next_look_ns);
}

/* Moves the last one to @i. */
static void miss_no_more(struct sites *s, unsigned i, uint64_t now)
{
	struct site *e = find(s, s->missing[i].site);

	s->missing[i] = s->missing[--s->nmissing];
	if (e && --e->missing == 0 && e->clients == 0)
		became_idle(s, e, now);
}

void sites_found(struct sites *s, pid_t tgid)
{
	for (unsigned i = s->nmissing; i-- > 0;)
		if (s->missing[i].tgid == tgid)
			miss_no_more(s, i, now_ns());
}

/* --------------------------------------------------------------------- users */

static int cgroup_open(const struct sites *s, const char *path)
{
	int fd;

	while (*path == '/')
		path++;
	fd = openat(s->root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sites_hold(struct sites *s, const char *cgroup, uint64_t *id)
{
	int fd = cgroup_open(s, cgroup);
	struct site *e;
	struct stat st;
	int err = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	e = find(s, st.st_ino);
	if (!e)
		e = add(s, st.st_ino);
	if (!e)
		err = -ENOSPC;
	else if (e->links[MARK] < 0)
		err = attach(s, e, fd);
	close(fd);
	if (err) {
		if (e)
			drop(s, e);
		return err;
	}
	e->clients++;
	*id = e->id;
	return 0;
}

void sites_release(struct sites *s, uint64_t id)
{
	struct site *e = find(s, id);

	if (e && --e->clients == 0 && e->missing == 0)
		became_idle(s, e, now_ns());
}

/* The missing who died. A new process of the same number keeps the site for its time,
 * which costs it little. */
static void look_for_missing(struct sites *s, uint64_t now)
{
	for (unsigned i = s->nmissing; i-- > 0;)
		if (has_died(s->missing[i].tgid))
			miss_no_more(s, i, now);
	s->next_look_ns = now + LOOK_NS;
}

void sites_tick(struct sites *s, uint64_t now)
{
	if (now < s->due_ns)
		return;
	s->due_ns = UINT64_MAX;
	if (s->nmissing && now >= s->next_look_ns)
		look_for_missing(s, now);
	if (s->nmissing)
		due_by(s, s->next_look_ns);
	for (unsigned i = s->n; i-- > 0;) {
		struct site *e = s->all[i];

		if (!is_idle(e))
			continue;
		if (now >= e->idle_ns + LINGER_NS)
			drop(s, e);
		else
			due_by(s, e->idle_ns + LINGER_NS);
	}
}
