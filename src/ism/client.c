/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control channel: presence, registration, taking in what ismd pushes, and
 * what happens when ismd goes away.
 *
 * ismd may be missing, stopped, replaced or killed at any time. So nothing waits
 * for it but the first registration, and that only for REGISTER_WAIT_NS; an
 * answer that comes later is taken in by a later call.
 */
#define _GNU_SOURCE
#include "ism/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/fdpass.h"
#include "base/rundir.h"
#include "base/sys.h"

#define REGISTER_WAIT_NS 250000000
#define RETRY_NS 1000000000ull

struct ism_client ism_client = { .lock = PTHREAD_MUTEX_INITIALIZER, .ctl = -1 };
_Atomic int32_t ism_pid;

static int channel_to(const char *dir)
{
	struct sockaddr_un sa;
	socklen_t len;
	int fd;

	if (rundir_check(dir) < 0 || rundir_socket(dir, &sa, &len) < 0)
		return -ENOENT;
	fd = (int)SYS3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	if (SYS3(SYS_connect, fd, &sa, len) < 0) {
		sys_close(fd);
		return -ECONNREFUSED;
	}
	return fd;
}

static int channel_open(void)
{
	char dir[RUNDIR_PATH_MAX];
	int fd = -ENOENT;

	for (unsigned n = 0; fd < 0 && rundir_candidate(n, dir) == 0; n++)
		fd = channel_to(dir);
	if (fd >= 0)
		atomic_store(&ism_client.of_box, !rundir_is_private(dir));
	return fd;
}

static int channel_ensure(void)
{
	int fd;

	if (ism_client.ctl >= 0)
		return 0;
	fd = channel_open();
	if (fd < 0)
		return fd;
	ism_client.hello_sent = false;
	ism_client.inherited = false;
	return privfd_adopt(fd, &ism_client.ctl);
}

/* ismd is gone: running connections go on without it, new rows need another. */
static void channel_lost(void)
{
	struct ism_table *t = atomic_load(&ism_client.table);

	if (t && !ism_client.inherited) {
		atomic_store(&t->dead, true);
		privfd_close(&t->bell);
	}
	if (t) /* it was good until now: there may be another one already */
		ism_client.retry_ns = 0;
	segments_of_the_past();
	atomic_store(&ism_client.table, NULL);
	ism_client.family_id = 0;
	ism_client.hello_sent = false;
	ism_client.refused = false;
	ism_client.inherited = false;
	privfd_close(&ism_client.ctl);
}

int client_send(const void *msg, unsigned len, const int *fds, unsigned nfds)
{
	int r = ism_client.ctl < 0 ? -ENOTCONN : fdpass_send(ism_client.ctl, msg, len, fds, nfds);

	if (r == -EPIPE || r == -ECONNRESET || r == -EBADF || r == -ENOTSOCK)
		channel_lost();
	return r;
}

bool client_memfd_ok(int memfd, uint64_t bytes)
{
	struct stat st;
	int seals = sys_fcntl(memfd, F_GET_SEALS, 0);

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(memfd, &st) == 0 &&
	       (uint64_t)st.st_size >= bytes;
}

static void head_init(struct fab_msg_head *h, unsigned type)
{
	h->magic = FAB_WIRE_MAGIC;
	h->version = FAB_WIRE_VERSION;
	h->type = (uint16_t)type;
}

/* One message from ismd; whatever descriptors are not taken are closed. */
static void dispatch(const void *buf, size_t len, int fds[FDPASS_MAX], unsigned nfds)
{
	const struct fab_msg_head *h = buf;

	if (len < sizeof(*h) || h->magic != FAB_WIRE_MAGIC)
		goto refuse;
	if (h->type == FAB_MSG_WELCOME && len == sizeof(struct fab_msg_welcome) && nfds == 3) {
		table_arrived(buf, fds[0], fds[1], fds[2]);
		return;
	}
	if (h->type == FAB_MSG_WELCOME && len == sizeof(struct fab_msg_welcome) && nfds == 0) {
		ism_client.refused = true; /* another version, or no room for us */
		return;
	}
	if (h->type == FAB_MSG_SEGMENT && len == sizeof(struct fab_msg_segment) &&
	    (nfds == 2 || nfds == 3)) {
		segment_arrived(buf, fds[0], fds[1], nfds == 3 ? fds[2] : -1);
		return;
	}
	if (h->type == FAB_MSG_FORGET && len == sizeof(struct fab_msg_forget) && nfds == 0) {
		segment_forget(((const struct fab_msg_forget *)buf)->lgr_id);
		return;
	}
refuse:
	while (nfds)
		sys_close(fds[--nfds]);
}

static void close_all(const int *fds, unsigned n)
{
	while (n)
		sys_close(fds[--n]);
}

void client_drain(void)
{
	int fds[FDPASS_MAX];
	uint64_t buf[FAB_WIRE_MAX / 8];
	unsigned nfds;
	ssize_t n;

	if (ism_client.inherited) /* those packets are the parent's */
		return;
	while (ism_client.ctl >= 0) {
		n = fdpass_recv(ism_client.ctl, buf, sizeof(buf), fds, &nfds, NULL, MSG_DONTWAIT);
		if (n > 0)
			dispatch(buf, (size_t)n, fds, nfds);
		else if (n == -EMSGSIZE)
			close_all(fds, nfds);
		else if (n == -EAGAIN)
			return;
		else
			channel_lost();
	}
}

static void hello_init(struct fab_msg_hello *m)
{
	memset(m, 0, sizeof(*m));
	head_init(&m->head, FAB_MSG_HELLO);
	m->layout = FAB_LAYOUT_VERSION;
	m->pid = (uint32_t)sys_getpid();
	SYS2(SYS_prctl, PR_GET_NAME, m->comm);
	m->comm[sizeof(m->comm) - 1] = 0;
}

/*
 * A forked child cannot use the parent's channel for itself, and may have no
 * right any more to open a new one (it may have changed user or root): it makes a
 * socket pair and sends one end through the parent's channel.
 */
static int hello_child(void)
{
	struct fab_msg_hello m;
	int sv[2], r;

	hello_init(&m);
	m.flags = FAB_HELLO_CHILD;
	m.table_id = ism_client.family_id;
	r = (int)SYS4(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	              sv);
	if (r < 0)
		return r;
	r = fdpass_send(ism_client.ctl, &m, sizeof(m), &sv[1], 1);
	sys_close(sv[1]);
	privfd_close(&ism_client.ctl);
	ism_client.inherited = false;
	if (r < 0) {
		sys_close(sv[0]);
		return r;
	}
	return privfd_adopt(sv[0], &ism_client.ctl);
}

static int hello(void)
{
	struct fab_msg_hello m;

	if (ism_client.inherited && ism_client.family_id && hello_child() == 0)
		return 0;
	if (ism_client.inherited)
		channel_lost();
	if (channel_ensure() < 0)
		return -ENOTCONN;
	hello_init(&m);
	return client_send(&m, sizeof(m), NULL, 0);
}

static void await_welcome(void)
{
	uint64_t end = sys_now_ns() + REGISTER_WAIT_NS, now = end - REGISTER_WAIT_NS;
	struct pollfd p = { .events = POLLIN };

	while (ism_client.ctl >= 0 && !ism_client.refused && !atomic_load(&ism_client.table) &&
	       now < end) {
		p.fd = ism_client.ctl;
		sys_poll(&p, 1, (int64_t)(end - now));
		client_drain();
		now = sys_now_ns();
	}
}

void client_register(void)
{
	uint64_t now;

	client_drain();
	if (atomic_load(&ism_client.table) || (ism_client.hello_sent && ism_client.ctl >= 0))
		return;
	now = sys_now_ns();
	if (now < ism_client.retry_ns)
		return;
	ism_client.retry_ns = now + RETRY_NS;
	if (hello() < 0)
		return;
	ism_client.hello_sent = true;
	await_welcome();
}

/*
 * Is the ismd behind @t still there? It keeps bell_armed set while it sleeps and
 * takes a millisecond when it works; a bell that stays off says that somebody
 * should ask the channel.
 */
static bool table_alive(struct ism_table *t)
{
	if (atomic_load_explicit(&t->dead, memory_order_relaxed))
		return false;
	if (atomic_load_explicit(&t->head->bell_armed, memory_order_relaxed))
		return true;
	if (pthread_mutex_trylock(&ism_client.lock) == 0) {
		client_drain();
		pthread_mutex_unlock(&ism_client.lock);
	}
	return atomic_load(&ism_client.table) == t;
}

struct ism_table *ism_table(void)
{
	struct ism_table *t = atomic_load_explicit(&ism_client.table, memory_order_acquire);

	if (t && table_alive(t))
		return t;
	if (pthread_mutex_trylock(&ism_client.lock) == 0) {
		client_register();
		pthread_mutex_unlock(&ism_client.lock);
	}
	return atomic_load_explicit(&ism_client.table, memory_order_acquire);
}

void ism_before_socket(void)
{
	if (__builtin_expect(!atomic_load_explicit(&ism_client.of_box, memory_order_relaxed), 1))
		return;
	/* it may have been replaced by one that does not know us yet */
	if (pthread_mutex_trylock(&ism_client.lock) == 0) {
		client_drain();
		pthread_mutex_unlock(&ism_client.lock);
	}
	if (!atomic_load_explicit(&ism_client.table, memory_order_acquire))
		ism_table();
}

void ism_presence(void)
{
	atomic_store(&ism_pid, sys_getpid());
	pthread_mutex_lock(&ism_client.lock);
	channel_ensure();
	pthread_mutex_unlock(&ism_client.lock);
}

void ism_claim_fd(struct ism_table *t, struct fab_row *row, int fd)
{
	struct fab_msg_claim_fd m = { .row = (uint32_t)(row - t->rows),
		                      .gen = atomic_load(&row->gen) };

	head_init(&m.head, FAB_MSG_CLAIM_FD);
	if (pthread_mutex_trylock(&ism_client.lock) != 0)
		return;
	if (!ism_client.inherited)
		client_send(&m, sizeof(m), &fd, 1);
	pthread_mutex_unlock(&ism_client.lock);
}

void ism_atfork_prepare(void)
{
	pthread_mutex_lock(&ism_client.lock);
}

void ism_atfork_parent(void)
{
	pthread_mutex_unlock(&ism_client.lock);
}

void ism_atfork_child(void)
{
	atomic_store(&ism_pid, sys_getpid());
	if (ism_client.ctl >= 0)
		ism_client.inherited = true;
	ism_client.hello_sent = false;
	ism_client.retry_ns = 0;
	atomic_store(&ism_client.table, NULL);
	pthread_mutex_unlock(&ism_client.lock);
}
