/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ismd/test_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rundir.h"

#define PATIENCE_MS 5000

static pid_t spawn_ismd(const char *const *args)
{
	const char *argv[16] = { getenv("ISMD") };
	pid_t pid;
	int n = 1;

	while (args && args[n - 1] && n < 15) {
		argv[n] = args[n - 1];
		n++;
	}
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (!getenv("ISMD_TEST_VERBOSE")) {
			int null = open("/dev/null", O_RDWR);

			dup2(null, 2);
		}
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(99);
	}
	return pid;
}

int tc_run_ismd(const char *const *args)
{
	pid_t pid = spawn_ismd(args);
	int st;

	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

bool tc_answers(void)
{
	int fd = tc_connect();

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void tc_daemon_start(struct tc_daemon *d, const char *const *args)
{
	snprintf(d->dir, sizeof(d->dir), "/tmp/ismd-test-XXXXXX");
	if (!mkdtemp(d->dir))
		abort();
	setenv("ISM_RUNTIME_DIR", d->dir, 1);
	d->pid = spawn_ismd(args);
	for (int i = 0; i < PATIENCE_MS && !tc_answers(); i++)
		usleep(1000);
}

int tc_daemon_stop(struct tc_daemon *d)
{
	int st = 0;

	kill(d->pid, SIGTERM);
	waitpid(d->pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

int tc_connect(void)
{
	char dir[RUNDIR_PATH_MAX];
	struct sockaddr_un sa;
	socklen_t len;
	int fd;

	if (rundir_path(dir) < 0 || rundir_socket(dir, &sa, &len) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

ssize_t tc_receive(int ctl, void *buf, size_t size, int fds[FDPASS_MAX], unsigned *nfds)
{
	struct pollfd p = { ctl, POLLIN, 0 };

	*nfds = 0;
	if (poll(&p, 1, PATIENCE_MS) != 1)
		return -1;
	return fdpass_recv(ctl, buf, size, fds, nfds, NULL, MSG_DONTWAIT);
}

bool tc_welcome(struct tc *c)
{
	int fds[FDPASS_MAX];
	unsigned nfds;

	if (tc_receive(c->ctl, &c->welcome, sizeof(c->welcome), fds, &nfds) != sizeof(c->welcome) ||
	    c->welcome.head.type != FAB_MSG_WELCOME)
		return false;
	if (c->welcome.status != FAB_WELCOME_OK || nfds != 3)
		return false;
	c->bell = fds[1];
	c->vector = fds[2];
	c->head = mmap(NULL, FAB_TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	close(fds[0]);
	if (c->head == MAP_FAILED || c->head->magic != FAB_TABLE_MAGIC)
		return false;
	c->rows = (struct fab_row *)((char *)c->head + FAB_TABLE_ROWS_OFFSET);
	return true;
}

struct fab_msg_hello tc_hello_message(void)
{
	struct fab_msg_hello m = {
		.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_HELLO },
		.layout = FAB_LAYOUT_VERSION,
		.comm = "test",
	};

	m.pid = (uint32_t)getpid();
	return m;
}

bool tc_hello(struct tc *c)
{
	struct fab_msg_hello m = tc_hello_message();

	memset(c, 0, sizeof(*c));
	c->ctl = tc_connect();
	return c->ctl >= 0 && fdpass_send(c->ctl, &m, sizeof(m), NULL, 0) == 0 && tc_welcome(c);
}

bool tc_hello_child(struct tc *c, const struct tc *parent)
{
	struct fab_msg_hello m = tc_hello_message();
	int sv[2];

	memset(c, 0, sizeof(*c));
	m.flags = FAB_HELLO_CHILD;
	m.table_id = parent->welcome.table_id;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0 ||
	    fdpass_send(parent->ctl, &m, sizeof(m), &sv[1], 1) < 0)
		return false;
	close(sv[1]);
	c->ctl = sv[0];
	return tc_welcome(c);
}

void tc_close(struct tc *c)
{
	close(c->ctl);
	if (c->head) {
		munmap(c->head, FAB_TABLE_BYTES);
		close(c->bell);
		close(c->vector);
	}
	c->head = NULL;
}

void tc_dirty(struct tc *c, uint32_t row)
{
	uint64_t one = 1;

	atomic_fetch_or(&c->head->dirty[row / 64], 1ull << (row % 64));
	atomic_fetch_or(&c->head->summary[row / 4096], 1ull << (row / 64 % 64));
	if (atomic_exchange(&c->head->bell_armed, 0) && write(c->bell, &one, sizeof(one)) < 0)
		abort();
}

void tc_claim_as(struct tc *c, uint32_t row, pid_t pid, int fd, uint32_t role)
{
	struct fab_row *r = &c->rows[row];
	uint32_t expect = FAB_ROW_FREE;

	for (int i = 0; i < PATIENCE_MS; i++) {
		if (atomic_compare_exchange_strong(&r->state, &expect, FAB_ROW_HELD))
			break;
		expect = FAB_ROW_FREE;
		usleep(1000);
	}
	atomic_fetch_add(&r->gen, 1);
	atomic_store(&r->flags, 0);
	atomic_store(&r->want_rcvbuf, 0);
	atomic_store(&r->pid, pid);
	atomic_store(&r->fd, fd);
	atomic_store(&r->role, role);
	atomic_store(&r->state, FAB_ROW_CLAIMED);
	tc_dirty(c, row);
}

void tc_claim(struct tc *c, uint32_t row, int fd, uint32_t role)
{
	tc_claim_as(c, row, getpid(), fd, role);
}

void tc_close_row(struct tc *c, uint32_t row)
{
	atomic_store(&c->rows[row].state, FAB_ROW_CLOSED);
	tc_dirty(c, row);
}

bool tc_state(const struct tc *c, uint32_t row, uint32_t state)
{
	for (int i = 0; i < PATIENCE_MS; i++) {
		if (atomic_load(&c->rows[row].state) == state)
			return true;
		usleep(1000);
	}
	return false;
}

bool tc_stays(const struct tc *c, uint32_t row, uint32_t state)
{
	if (!tc_state(c, row, state))
		return false;
	for (int i = 0; i < 60; i++) {
		if (atomic_load(&c->rows[row].state) != state)
			return false;
		usleep(1000);
	}
	return true;
}

bool tc_segment(struct tc *c, struct tc_segment *s)
{
	int fds[FDPASS_MAX];
	unsigned nfds;

	if (tc_receive(c->ctl, &s->msg, sizeof(s->msg), fds, &nfds) != sizeof(s->msg) ||
	    s->msg.head.type != FAB_MSG_SEGMENT || s->msg.status || (nfds != 2 && nfds != 3))
		return false;
	if (nfds == 3) /* between users: a vector to sleep on */
		close(fds[2]);
	s->memfd = fds[0];
	s->vector = fds[1];
	s->map = mmap(NULL, s->msg.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->memfd, 0);
	return s->map != MAP_FAILED && s->map->magic == FAB_SEG_MAGIC;
}

struct fab_dmb *tc_dmb(const struct tc_segment *s, unsigned slot, unsigned side)
{
	uint64_t stride = FAB_DMB_RING_OFFSET + (uint64_t)s->map->dmb_bytes;

	return (struct fab_dmb *)((char *)s->map + FAB_SEG_SLOTS_OFFSET +
	                          (2 * slot + side) * stride);
}

struct json_object *tc_request(const char *text)
{
	char buf[FAB_WIRE_MAX];
	struct fab_msg_head h = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_REQUEST };
	size_t len = strlen(text);
	struct json_object *o = NULL;
	int fds[FDPASS_MAX], ctl = tc_connect();
	unsigned nfds;

	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), text, len);
	if (ctl >= 0 && fdpass_send(ctl, buf, sizeof(h) + len, NULL, 0) == 0 &&
	    tc_receive(ctl, buf, sizeof(buf), fds, &nfds) == sizeof(h) && nfds == 1) {
		lseek(fds[0], 0, SEEK_SET);
		o = json_object_from_fd(fds[0]);
		close(fds[0]);
	}
	close(ctl);
	return o;
}

long tc_num(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? (long)json_object_get_int64(v) : -1;
}

int tc_listen(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		abort();
	*port = ntohs(sa.sin_port);
	return fd;
}

int tc_dial(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		abort();
	return fd;
}

void tc_pair(int *client, int *server)
{
	uint16_t port;
	int l = tc_listen(&port);

	*client = tc_dial(port);
	*server = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	close(l);
}
