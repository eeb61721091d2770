/* SPDX-License-Identifier: Apache-2.0 */
/* The built ismd, in a directory of its own, against a false library and real
 * loopback connections. $ISMD names the binary. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fabric/reason.h"
#include "ismd/test_client.h"

static struct tc_daemon the_daemon;
static struct tc us;

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", the_daemon.dir, name);
	return access(path, F_OK) == 0;
}

static int up_with(const char *const *args)
{
	tc_daemon_start(&the_daemon, args);
	return tc_hello(&us) ? 0 : -1;
}

static int up(void **state)
{
	static const char *const args[] = { "-d", NULL };

	return up_with(args);
}

static int down(void **state)
{
	int st;

	tc_close(&us);
	st = tc_daemon_stop(&the_daemon);
	if (st || access(the_daemon.dir, F_OK) == 0) {
		print_error("ismd: status %d, %s %s\n", st, the_daemon.dir,
		            access(the_daemon.dir, F_OK) == 0 ? "still there" : "gone");
		return -1;
	}
	unsetenv("ISM_MAX_DMBS");
	unsetenv("ISM_MAX_DMB_BYTES");
	unsetenv("ISM_NO_GETFD");
	return 0;
}

static void assert_declined(uint32_t row, uint32_t reason, uint32_t peer)
{
	assert_true(tc_state(&us, row, FAB_ROW_DECLINED));
	assert_int_equal(us.rows[row].reason, reason);
	assert_int_equal(us.rows[row].peer_reason, peer);
}

/* Claim both ends of a new connection in this process: rows @cl and @sv. */
static void claim_pair(uint32_t cl, uint32_t sv, int *cfd, int *sfd)
{
	tc_pair(cfd, sfd);
	tc_claim(&us, cl, *cfd, FAB_ROLE_CONNECT);
	tc_claim(&us, sv, *sfd, FAB_ROLE_ACCEPT);
}

/* In a forked child with a table of its own: claim @fd as row 0. The child says
 * 1 when it is done with @then, and waits to be killed. */
static pid_t spawn_end(int fd, uint32_t role, bool (*then)(struct tc *), int *word)
{
	int p[2];
	pid_t pid;

	if (pipe(p) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		struct tc c;
		char ok;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(us.ctl); /* a program of its own would not have it */
		ok = tc_hello(&c);
		if (ok)
			tc_claim(&c, 0, fd, role);
		if (ok && then)
			ok = then(&c);
		if (write(p[1], &ok, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(p[1]);
	close(fd);
	*word = p[0];
	return pid;
}

static bool said_yes(int word)
{
	char ok = 0;

	return read(word, &ok, 1) == 1 && ok;
}

static void finish(pid_t pid, int word)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(word);
}

static bool write_to_peer(struct tc *c)
{
	struct tc_segment s;
	struct fab_dmb *peer;

	if (!tc_state(c, 0, FAB_ROW_MATCHED) || !tc_segment(c, &s) ||
	    s.msg.side != c->rows[0].side || s.msg.seg_id != c->rows[0].seg_id)
		return false;
	peer = tc_dmb(&s, c->rows[0].slot, !c->rows[0].side);
	memcpy((char *)peer + FAB_DMB_RING_OFFSET, "hello", 6);
	atomic_store(&peer->prod, 6);
	return true;
}

static void two_processes_are_married(void **state)
{
	struct tc_segment s;
	struct fab_dmb *own;
	int c, v, word;
	pid_t pid;

	tc_pair(&c, &v);
	pid = spawn_end(c, FAB_ROLE_CONNECT, write_to_peer, &word);
	tc_claim(&us, 7, v, FAB_ROLE_ACCEPT);
	assert_true(tc_state(&us, 7, FAB_ROW_MATCHED));
	assert_true(tc_segment(&us, &s));
	assert_true(said_yes(word));
	own = tc_dmb(&s, us.rows[7].slot, us.rows[7].side);
	assert_int_equal(atomic_load(&own->prod), 6);
	assert_string_equal((char *)own + FAB_DMB_RING_OFFSET, "hello");
	assert_int_equal(s.map->dmb_bytes, FAB_DMB_DEFAULT_BYTES);
	/* sealed: nobody can pull the memory away */
	assert_int_equal(ftruncate(s.memfd, 4096), -1);
	assert_int_equal(fcntl(s.memfd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	finish(pid, word);
	close(v);
}

static void plain_peer_stays_pending(void **state)
{
	int c, v;

	tc_pair(&c, &v);
	tc_claim(&us, 3, v, FAB_ROLE_ACCEPT);
	assert_true(tc_stays(&us, 3, FAB_ROW_PENDING));
	assert_int_equal(us.rows[3].reason, FAB_REASON_PEERNOSMC);
	tc_close_row(&us, 3);
	assert_true(tc_state(&us, 3, FAB_ROW_FREE));
	close(c);
	close(v);
}

static void same_process_gets_both_sides(void **state)
{
	struct tc_segment s;
	int c, v;

	claim_pair(0, 1, &c, &v);
	assert_true(tc_state(&us, 0, FAB_ROW_MATCHED));
	assert_true(tc_state(&us, 1, FAB_ROW_MATCHED));
	assert_true(tc_segment(&us, &s));
	assert_int_equal(s.msg.side, 2);
	assert_int_equal(us.rows[0].side, 0);
	assert_int_equal(us.rows[1].side, 1);
	assert_int_equal(us.rows[0].token, us.rows[1].peer_token);
	close(c);
	close(v);
}

static long dmbs_in_use(void)
{
	struct json_object *o = tc_request("{\"op\":\"functions\"}"), *a = NULL;
	long n = -1;

	if (o && json_object_object_get_ex(o, "functions", &a))
		n = tc_num(json_object_array_get_idx(a, 0), "dmbs");
	json_object_put(o);
	return n;
}

static bool dmbs_become(long want)
{
	for (int i = 0; i < 500; i++) {
		if (dmbs_in_use() == want)
			return true;
		usleep(5000);
	}
	return false;
}

static void closed_rows_free_the_slot(void **state)
{
	int c, v;

	for (int i = 0; i < 30; i++) {
		claim_pair(0, 1, &c, &v);
		assert_true(tc_state(&us, 0, FAB_ROW_MATCHED));
		assert_true(tc_state(&us, 1, FAB_ROW_MATCHED));
		tc_close_row(&us, 0);
		close(c);
		assert_true(tc_state(&us, 0, FAB_ROW_FREE));
		assert_int_equal(dmbs_in_use(), 2); /* the other end still reads */
		tc_close_row(&us, 1);
		close(v);
		assert_true(dmbs_become(0));
	}
}

static void killed_client_frees_everything(void **state)
{
	struct tc_segment s;
	struct fab_dmb *own;
	int c, v, word;
	pid_t pid;

	tc_pair(&c, &v);
	pid = spawn_end(c, FAB_ROLE_CONNECT, write_to_peer, &word);
	tc_claim(&us, 0, v, FAB_ROLE_ACCEPT);
	assert_true(said_yes(word));
	assert_true(tc_segment(&us, &s));
	finish(pid, word);
	own = tc_dmb(&s, us.rows[0].slot, us.rows[0].side);
	for (int i = 0; i < 1000 && !atomic_load(&own->cdc_flags); i++)
		usleep(1000);
	assert_true(atomic_load(&own->cdc_flags) & FAB_CDC_CONN_ABORT);
	assert_int_equal(dmbs_in_use(), 2);
	tc_close_row(&us, 0);
	assert_true(dmbs_become(0));
	close(v);
}

static void power(bool on)
{
	struct json_object *o = tc_request(on ? "{\"op\":\"power\",\"fid\":1,\"on\":true}"
	                                      : "{\"op\":\"power\",\"fid\":1,\"on\":false}");
	struct json_object *ok;

	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "ok", &ok));
	json_object_put(o);
}

static void power_off_declines(void **state)
{
	int c, v, c2, v2;

	tc_pair(&c2, &v2);
	tc_claim(&us, 9, c2, FAB_ROLE_CONNECT);
	assert_true(tc_state(&us, 9, FAB_ROW_PENDING));
	power(false);
	assert_true(exists("power"));
	assert_int_equal(us.head->power, 0);
	assert_int_equal(us.rows[9].reason, FAB_REASON_NOSMCDEV);
	claim_pair(0, 1, &c, &v);
	assert_declined(0, FAB_REASON_NOSMCDEV, 0);
	assert_declined(1, FAB_REASON_PEERDECL, FAB_REASON_NOSMCDEV);
	power(true);
	assert_false(exists("power"));
	assert_int_equal(us.rows[9].reason, FAB_REASON_PEERNOSMC);
	assert_int_equal(us.rows[0].state, FAB_ROW_DECLINED);
	tc_claim(&us, 10, v2, FAB_ROLE_ACCEPT);
	assert_true(tc_state(&us, 9, FAB_ROW_MATCHED));
	close(c);
	close(v);
	close(c2);
	close(v2);
}

static int up_few_dmbs(void **state)
{
	setenv("ISM_MAX_DMBS", "2", 1);
	return up_with(NULL);
}

static void dmb_limit_declines(void **state)
{
	int c, v, c2, v2;

	claim_pair(0, 1, &c, &v);
	assert_true(tc_state(&us, 1, FAB_ROW_MATCHED));
	claim_pair(2, 3, &c2, &v2);
	assert_declined(3, FAB_REASON_MAX_DMB, 0);
	assert_declined(2, FAB_REASON_PEERDECL, FAB_REASON_MAX_DMB);
	close(c);
	close(v);
	close(c2);
	close(v2);
}

static int up_little_memory(void **state)
{
	/* room for two DMBs of the smallest size, and not more */
	setenv("ISM_MAX_DMB_BYTES", "45000", 1);
	return up_with(NULL);
}

static void memory_limit_declines(void **state)
{
	struct tc_segment s;
	int c, v, c2, v2;

	claim_pair(0, 1, &c, &v);
	assert_true(tc_state(&us, 1, FAB_ROW_MATCHED));
	assert_true(tc_segment(&us, &s));
	assert_int_equal(s.map->dmb_bytes, FAB_DMB_MIN_BYTES); /* downgraded */
	claim_pair(2, 3, &c2, &v2);
	assert_declined(3, FAB_REASON_MEM, 0);
	assert_declined(2, FAB_REASON_PEERDECL, FAB_REASON_MEM);
	close(c);
	close(v);
	close(c2);
	close(v2);
}

static void pinned_row_declines_both(void **state)
{
	int c, v;

	tc_pair(&c, &v);
	tc_claim(&us, 0, c, FAB_ROLE_CONNECT);
	assert_true(tc_state(&us, 0, FAB_ROW_PENDING));
	atomic_store(&us.rows[0].pin_reason, FAB_REASON_OI_OOB);
	atomic_store(&us.rows[0].flags, FAB_ROWF_PINNED);
	tc_dirty(&us, 0);
	assert_declined(0, FAB_REASON_OI_OOB, 0);
	tc_claim(&us, 1, v, FAB_ROLE_ACCEPT);
	assert_declined(1, FAB_REASON_PEERDECL, FAB_REASON_OI_OOB);
	close(c);
	close(v);
}

static void self_connected_is_declined(void **state)
{
	uint16_t port;
	int fd, l = tc_listen(&port);
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	getsockname(l, (struct sockaddr *)&sa, &len);
	close(l);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	tc_claim(&us, 0, fd, FAB_ROLE_CONNECT);
	assert_declined(0, FAB_REASON_OI_SELF, 0);
	close(fd);
}

static void forged_claims_are_never_married(void **state)
{
	int c, v, other, p[2], word;
	pid_t pid;

	tc_pair(&c, &v);
	assert_int_equal(pipe(p), 0);
	tc_claim(&us, 0, c, FAB_ROLE_CONNECT);
	/* not a socket, not open, not ours, nobody's */
	tc_claim(&us, 1, p[0], FAB_ROLE_ACCEPT);
	tc_claim(&us, 2, 900, FAB_ROLE_ACCEPT);
	tc_claim(&us, 3, -1, FAB_ROLE_ACCEPT);
	tc_claim_as(&us, 4, 1, v, FAB_ROLE_ACCEPT);
	tc_claim_as(&us, 5, 0, v, FAB_ROLE_ACCEPT);
	tc_claim_as(&us, 6, -7, v, FAB_ROLE_ACCEPT);
	/* another family's process, which does have that socket */
	other = dup(v);
	pid = spawn_end(dup(other), FAB_ROLE_NONE, NULL, &word);
	assert_true(said_yes(word));
	tc_claim_as(&us, 7, pid, v, FAB_ROLE_ACCEPT);
	for (uint32_t i = 0; i < 8; i++)
		assert_true(tc_stays(&us, i, FAB_ROW_PENDING));
	assert_int_not_equal(us.rows[0].state, FAB_ROW_MATCHED);
	finish(pid, word);
	close(c);
	close(v);
	close(other);
}

static void stolen_twice_is_declined(void **state)
{
	int c, v, d;

	tc_pair(&c, &v);
	d = dup(v);
	tc_claim(&us, 1, v, FAB_ROLE_ACCEPT);
	assert_true(tc_state(&us, 1, FAB_ROW_PENDING));
	usleep(20000);
	tc_claim(&us, 2, d, FAB_ROLE_ACCEPT);
	assert_declined(1, FAB_REASON_OI_PASSED, 0);
	assert_declined(2, FAB_REASON_OI_PASSED, 0);
	close(c);
	close(v);
	close(d);
}

static void reused_descriptor_is_not_married(void **state)
{
	int c, v, c2, v2;

	tc_pair(&c, &v);
	tc_claim(&us, 0, c, FAB_ROLE_CONNECT);
	assert_true(tc_state(&us, 0, FAB_ROW_PENDING));
	usleep(20000);
	/* behind the library's back another connection takes the number */
	tc_pair(&c2, &v2);
	dup2(c2, c);
	tc_claim(&us, 1, v, FAB_ROLE_ACCEPT);
	assert_true(tc_stays(&us, 1, FAB_ROW_PENDING));
	assert_int_not_equal(us.rows[0].state, FAB_ROW_MATCHED);
	close(c);
	close(v);
	close(c2);
	close(v2);
}

static void withdrawn_row_costs_nothing(void **state)
{
	uint32_t claimed = FAB_ROW_CLAIMED;
	int c, v;

	tc_pair(&c, &v);
	tc_claim(&us, 0, c, FAB_ROLE_CONNECT);
	assert_true(atomic_compare_exchange_strong(&us.rows[0].state, &claimed, FAB_ROW_FREE));
	assert_true(tc_stays(&us, 0, FAB_ROW_FREE));
	close(c);
	close(v);
}

static void garbage_is_survived(void **state)
{
	unsigned char buf[FAB_WIRE_MAX + 100];
	struct fab_msg_head h = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, 0 };
	int fds[4] = { 0, 1, 2, us.bell };
	struct json_object *o;
	int ctl = tc_connect();

	srand(42);
	for (unsigned i = 0; i < 3000; i++) {
		size_t len = 1 + (size_t)rand() % sizeof(buf);

		for (size_t k = 0; k < sizeof(buf); k++)
			buf[k] = (unsigned char)rand();
		h.type = (uint16_t)(rand() % 9);
		if (i & 1)
			memcpy(buf, &h, sizeof(h));
		if (i % 3 == 0)
			len = 8 + (size_t)rand() % 64;
		if (len > sizeof(buf))
			len = sizeof(buf);
		if (fdpass_send(ctl, buf, len, fds, (unsigned)(i % 5)) == -EPIPE) {
			close(ctl);
			ctl = tc_connect();
		}
		for (;;) { /* keep the channel empty of answers */
			int got[FDPASS_MAX];
			unsigned n;
			ssize_t r = fdpass_recv(ctl, buf, sizeof(buf), got, &n, NULL, MSG_DONTWAIT);

			while (n)
				close(got[--n]);
			if (r <= 0)
				break;
		}
	}
	close(ctl);
	/* and rows of garbage */
	for (size_t k = 0; k < 200 * sizeof(struct fab_row); k++)
		((unsigned char *)&us.rows[100])[k] = (unsigned char)rand();
	for (uint32_t i = 100; i < 300; i++) {
		atomic_store(&us.rows[i].state, i % 8);
		tc_dirty(&us, i);
	}
	for (int i = 0; i < 8; i++)
		atomic_store(&us.head->summary[i], ~0ull);
	o = tc_request("{\"op\":\"info\"}");
	assert_non_null(o);
	assert_int_equal(tc_num(o, "pid"), the_daemon.pid);
	json_object_put(o);
}

static void bad_requests_are_answered(void **state)
{
	static const char *const bad[] = { "",
		                           "x",
		                           "[]",
		                           "{}",
		                           "{\"op\":1}",
		                           "{\"op\":\"nope\"}",
		                           "{\"op\":\"info\"}}",
		                           "{\"op\":\"power\"}",
		                           "[[[[[[[[[[[[[[[[[[[[",
		                           "{\"op\":\"info\",}" };

	for (size_t i = 1; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct json_object *o = tc_request(bad[i]), *e;

		assert_non_null(o);
		assert_true(json_object_object_get_ex(o, "error", &e));
		json_object_put(o);
	}
}

static void wrong_version_is_told(void **state)
{
	struct fab_msg_hello m = { .head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_HELLO },
		                   .layout = FAB_LAYOUT_VERSION + 1 };
	struct fab_msg_welcome w;
	int fds[FDPASS_MAX], ctl = tc_connect();
	unsigned n;

	fdpass_send(ctl, &m, sizeof(m), NULL, 0);
	assert_int_equal(tc_receive(ctl, &w, sizeof(w), fds, &n), sizeof(w));
	assert_int_equal(w.status, FAB_WELCOME_VERSION);
	assert_int_equal(n, 0);
	close(ctl);
}

/* ---------------------------------------------------------------- families */

static void child_inherits_a_connection(void **state)
{
	struct tc_segment s;
	int c, v, word[2];
	pid_t pid;

	claim_pair(0, 1, &c, &v);
	assert_true(tc_state(&us, 1, FAB_ROW_MATCHED));
	assert_true(tc_segment(&us, &s));
	assert_int_equal(pipe(word), 0);
	pid = fork();
	if (pid == 0) {
		struct fab_msg_get_segment m = {
			.head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_GET_SEGMENT },
			.seg_id = us.rows[1].seg_id,
			.side = us.rows[1].side,
		};
		struct tc_segment mine;
		struct tc child;
		char ok = tc_hello_child(&child, &us) && child.rows &&
		          child.welcome.table_id == us.welcome.table_id &&
		          fdpass_send(child.ctl, &m, sizeof(m), NULL, 0) == 0 &&
		          tc_segment(&child, &mine) && mine.msg.seg_id == m.seg_id;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(word[1], &ok, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_true(said_yes(word[0]));
	finish(pid, word[0]);
	close(word[1]);
	/* the parent still has it */
	assert_true(tc_stays(&us, 1, FAB_ROW_MATCHED));
	close(c);
	close(v);
}

/* A daemon: the parent claims, forks and exits; the child says HELLO much later. */
static void daemonised_child_keeps_the_row(void **state)
{
	int c, v, word[2];
	pid_t parent;
	char ok;

	tc_pair(&c, &v);
	assert_int_equal(pipe(word), 0);
	parent = fork();
	if (parent == 0) {
		struct tc p, child;

		close(us.ctl);
		if (!tc_hello(&p))
			_exit(1);
		tc_claim(&p, 0, v, FAB_ROLE_ACCEPT);
		tc_state(&p, 0, FAB_ROW_PENDING);
		if (fork() != 0)
			_exit(0);
		usleep(200000); /* ismd has noticed by now */
		ok = tc_hello_child(&child, &p);
		close(p.ctl);
		if (write(word[1], &ok, 1) != 1 || !ok)
			_exit(1);
		ok = tc_state(&child, 0, FAB_ROW_MATCHED);
		if (write(word[1], &ok, 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(v);
	waitpid(parent, NULL, 0);
	assert_true(said_yes(word[0]));
	tc_claim(&us, 0, c, FAB_ROLE_CONNECT);
	assert_true(said_yes(word[0]));
	close(word[0]);
	close(word[1]);
	close(c);
}

static int up_no_getfd(void **state)
{
	setenv("ISM_NO_GETFD", "1", 1);
	return up_with(NULL);
}

static void send_claim_fd(uint32_t row, int fd)
{
	struct fab_msg_claim_fd m = { .head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION,
		                                FAB_MSG_CLAIM_FD },
		                      .row = row,
		                      .gen = us.rows[row].gen };

	assert_int_equal(fdpass_send(us.ctl, &m, sizeof(m), &fd, 1), 0);
}

static void passed_descriptors_prove(void **state)
{
	int c, v;

	tc_pair(&c, &v);
	tc_claim(&us, 0, c, FAB_ROLE_CONNECT);
	assert_true(tc_state(&us, 0, FAB_ROW_PENDING));
	for (int i = 0; i < 1000 && !us.head->pass_fds; i++)
		usleep(1000);
	assert_int_equal(us.head->pass_fds, 1);
	send_claim_fd(0, c);
	tc_claim(&us, 1, v, FAB_ROLE_ACCEPT);
	send_claim_fd(1, v);
	assert_true(tc_state(&us, 0, FAB_ROW_MATCHED));
	assert_true(tc_state(&us, 1, FAB_ROW_MATCHED));
	close(c);
	close(v);
}

static void passed_but_moved_is_no_proof(void **state)
{
	int c, v;

	tc_pair(&c, &v);
	tc_claim(&us, 0, c, FAB_ROLE_CONNECT);
	send_claim_fd(0, c);
	assert_true(tc_stays(&us, 0, FAB_ROW_PENDING));
	dup2(us.bell, c); /* closed, and the number is something else now */
	tc_claim(&us, 1, v, FAB_ROLE_ACCEPT);
	send_claim_fd(1, v);
	assert_true(tc_stays(&us, 1, FAB_ROW_PENDING));
	assert_int_not_equal(us.rows[0].state, FAB_ROW_MATCHED);
	close(c);
	close(v);
}

/* ---------------------------------------------------------------- tools */

static void sockets_are_shown(void **state)
{
	struct json_object *o, *a, *s, *v6;
	int c, v;
	uint16_t port;
	int l = tc_listen(&port);

	claim_pair(0, 1, &c, &v);
	tc_claim(&us, 2, l, FAB_ROLE_LISTEN);
	assert_true(tc_state(&us, 1, FAB_ROW_MATCHED));
	assert_true(tc_state(&us, 2, FAB_ROW_PENDING));
	usleep(20000);
	o = tc_request("{\"op\":\"sockets\"}");
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "sockets", &a));
	assert_int_equal(json_object_array_length(a), 3);
	s = json_object_array_get_idx(a, 1);
	assert_int_equal(tc_num(s, "state"), 1);
	assert_true(json_object_object_get_ex(s, "mode", &v6));
	assert_string_equal(json_object_get_string(v6), "SMCD");
	assert_int_equal(tc_num(s, "sndbuf"), FAB_DMB_DEFAULT_BYTES);
	s = json_object_array_get_idx(a, 2);
	assert_int_equal(tc_num(s, "state"), 10);
	assert_int_equal(tc_num(s, "lport"), port);
	json_object_put(o);
	o = tc_request("{\"op\":\"linkgroups\"}");
	assert_true(json_object_object_get_ex(o, "linkgroups", &a));
	assert_int_equal(tc_num(json_object_array_get_idx(a, 0), "conns"), 1);
	json_object_put(o);
	o = tc_request("{\"op\":\"stats\"}");
	assert_int_equal(tc_num(o, "smc_conns"), 2);
	json_object_put(o);
	close(c);
	close(v);
	close(l);
}

/* ---------------------------------------------------------------- life */

static void bad_options_exit_2(void **state)
{
	static const char *const a[] = { "--defer-us", "x", NULL };
	static const char *const b[] = { "surplus", NULL };
	static const char *const h[] = { "-h", NULL };

	assert_int_equal(tc_run_ismd(a), 2);
	assert_int_equal(tc_run_ismd(b), 2);
	assert_int_equal(tc_run_ismd(h), 0);
}

static void a_second_one_is_refused(void **state)
{
	assert_int_equal(tc_run_ismd(NULL), 1);
}

static void unsafe_directory_is_refused(void **state)
{
	char dir[] = "/tmp/ismd-test-XXXXXX", link[64];

	assert_non_null(mkdtemp(dir));
	setenv("ISM_RUNTIME_DIR", dir, 1);
	chmod(dir, 0755);
	assert_int_equal(tc_run_ismd(NULL), 1);
	chmod(dir, 0700);
	snprintf(link, sizeof(link), "%s-link", dir);
	assert_int_equal(symlink(dir, link), 0);
	setenv("ISM_RUNTIME_DIR", link, 1);
	assert_int_equal(tc_run_ismd(NULL), 1);
	unlink(link);
	rmdir(dir);
}

static bool is_gone(const char *dir)
{
	for (int i = 0; i < 3000; i++) {
		if (access(dir, F_OK) < 0)
			return true;
		usleep(1000);
	}
	return false;
}

static void starters_race_and_it_leaves(void **state)
{
	static const char *const args[] = { "--background", "--grace", "0.3", NULL };
	char dir[] = "/tmp/ismd-test-XXXXXX";
	pid_t starter[6];
	int ctl;

	assert_non_null(mkdtemp(dir));
	setenv("ISM_RUNTIME_DIR", dir, 1);
	for (int i = 0; i < 6; i++) {
		starter[i] = fork();
		if (starter[i] == 0)
			_exit(tc_run_ismd(args));
	}
	for (int i = 0; i < 6; i++) {
		int st;

		waitpid(starter[i], &st, 0);
		assert_true(WIFEXITED(st));
		assert_int_equal(WEXITSTATUS(st), 0);
	}
	ctl = tc_connect();
	assert_true(ctl >= 0);
	usleep(600000);
	assert_true(tc_answers()); /* presence keeps it */
	close(ctl);
	assert_true(is_gone(dir));
}

static void stale_socket_is_replaced(void **state)
{
	static const char *const args[] = { "--background", "--grace", "0.2", NULL };
	struct tc_daemon d;
	int st;

	tc_daemon_start(&d, NULL);
	kill(d.pid, SIGKILL);
	waitpid(d.pid, &st, 0);
	assert_false(tc_answers());
	assert_int_equal(access(d.dir, F_OK), 0);
	assert_int_equal(tc_run_ismd(args), 0);
	assert_true(tc_answers());
	assert_true(is_gone(d.dir));
}

static void power_off_survives_a_restart(void **state)
{
	static const char *const args[] = { "--background", "--grace", "0.1", NULL };
	char dir[64], path[128];

	snprintf(dir, sizeof(dir), "/tmp/ismd-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("ISM_RUNTIME_DIR", dir, 1);
	snprintf(path, sizeof(path), "%s/ismd.sock", dir);
	assert_int_equal(tc_run_ismd(args), 0);
	power(false);
	assert_true(is_gone(path));
	assert_int_equal(tc_run_ismd(args), 0);
	assert_true(tc_hello(&us));
	assert_int_equal(us.head->power, 0);
	power(true);
	tc_close(&us);
	assert_true(is_gone(dir));
}

#define LIVE(test) cmocka_unit_test_setup_teardown(test, up, down)
#define LIVE_IN(test, up_fn) cmocka_unit_test_setup_teardown(test, up_fn, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE(two_processes_are_married),
		LIVE(plain_peer_stays_pending),
		LIVE(same_process_gets_both_sides),
		LIVE(closed_rows_free_the_slot),
		LIVE(killed_client_frees_everything),
		LIVE(power_off_declines),
		LIVE_IN(dmb_limit_declines, up_few_dmbs),
		LIVE_IN(memory_limit_declines, up_little_memory),
		LIVE(pinned_row_declines_both),
		LIVE(self_connected_is_declined),
		LIVE(forged_claims_are_never_married),
		LIVE(stolen_twice_is_declined),
		LIVE(reused_descriptor_is_not_married),
		LIVE(withdrawn_row_costs_nothing),
		LIVE(garbage_is_survived),
		LIVE(bad_requests_are_answered),
		LIVE(wrong_version_is_told),
		LIVE(child_inherits_a_connection),
		LIVE(daemonised_child_keeps_the_row),
		LIVE_IN(passed_descriptors_prove, up_no_getfd),
		LIVE_IN(passed_but_moved_is_no_proof, up_no_getfd),
		LIVE(sockets_are_shown),
		LIVE(a_second_one_is_refused),
		cmocka_unit_test(bad_options_exit_2),
		cmocka_unit_test(unsafe_directory_is_refused),
		cmocka_unit_test(starters_race_and_it_leaves),
		cmocka_unit_test(stale_socket_is_replaced),
		cmocka_unit_test(power_off_survives_a_restart),
	};

	signal(SIGPIPE, SIG_IGN);
	if (!getenv("ISMD"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
