/* SPDX-License-Identifier: Apache-2.0 */
/* The library's own descriptors: where they go, and that they stay ours. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/privfd.h"

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void adopted_is_high_and_close_on_exec(void **state)
{
	unsigned before = open_fds();
	privfd_t owner = -1;
	int fd = eventfd(0, 0);

	assert_int_equal(privfd_adopt(fd, &owner), 0);
	assert_false(is_open(fd));
	assert_true(owner >= 512 && owner < 1024);
	assert_int_equal(fcntl(owner, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_true(privfd_is(owner));
	assert_int_equal(privfd_first_from(0), owner);
	assert_int_equal(privfd_first_from(owner), owner);
	assert_int_equal(privfd_first_from(owner + 1), -1);
	assert_int_equal(privfd_first_from(-5), owner);
	fd = owner;
	privfd_close(&owner);
	assert_int_equal(owner, -1);
	assert_false(privfd_is(fd) || is_open(fd));
	privfd_close(&owner); /* nothing */
	assert_int_equal(privfd_first_from(0), -1);
	assert_int_equal(open_fds(), before);
}

static void nonsense_is_not_ours(void **state)
{
	privfd_t owner = 7;

	assert_false(privfd_is(-1) || privfd_is(0) || privfd_is(PRIVFD_MAX) ||
	             privfd_is(INT32_MAX));
	privfd_evict(-1);
	privfd_evict(PRIVFD_MAX);
	assert_int_equal(privfd_adopt(-1, &owner), -EBADF);
	assert_int_equal(owner, -1);
}

static void one_that_is_not_ours_is_never_closed(void **state)
{
	int fd = eventfd(0, 0);
	privfd_t owner = fd;

	privfd_close(&owner);
	assert_true(is_open(fd));
	close(fd);
}

/* dup2(x, ours): we move away, the number is the program's. */
static void evicted_lives_on_elsewhere(void **state)
{
	unsigned before = open_fds();
	privfd_t owner = -1;
	uint64_t v = 5;
	int old;

	assert_int_equal(privfd_adopt(eventfd(0, EFD_NONBLOCK), &owner), 0);
	old = owner;
	privfd_evict(old);
	assert_int_not_equal(owner, old);
	assert_true(privfd_is(owner));
	assert_false(privfd_is(old));
	assert_int_equal(dup2(STDERR_FILENO, old), old);
	assert_int_equal(write(owner, &v, sizeof(v)), sizeof(v));
	v = 0;
	assert_int_equal(read(owner, &v, sizeof(v)), sizeof(v));
	assert_true(v == 5);
	privfd_close(&owner);
	assert_true(is_open(old));
	close(old);
	assert_int_equal(open_fds(), before);
}

static struct rlimit limit_to(rlim_t n)
{
	struct rlimit was, now;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return was;
}

static void low_limits_are_respected(void **state)
{
	static const rlim_t limits[] = { 16, 64, 192, 193, 256 };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit was = limit_to(limits[i]);
		privfd_t owner = -1;
		int r = privfd_adopt(eventfd(0, 0), &owner), at = owner;

		privfd_close(&owner);
		setrlimit(RLIMIT_NOFILE, &was);
		assert_int_equal(r, 0);
		assert_true(at >= 3 && (rlim_t)at < limits[i]);
	}
}

static void no_room_closes_and_says_so(void **state)
{
	unsigned before = open_fds();
	struct rlimit was = limit_to(16);
	privfd_t owner = 3;
	int fds[16], n = 0, r;

	while (n < 16 && (fds[n] = eventfd(0, 0)) >= 0)
		n++;
	r = privfd_adopt(fds[--n], &owner);
	setrlimit(RLIMIT_NOFILE, &was);
	while (n > 0)
		close(fds[--n]);
	assert_int_equal(r, -EMFILE);
	assert_int_equal(owner, -1);
	assert_int_equal(open_fds(), before);
}

/* No room to move to: ours is lost, and says so. */
static void evicted_without_room_is_lost(void **state)
{
	struct rlimit was = limit_to(16);
	privfd_t owner = -1;
	int fds[16], n = 0, r = privfd_adopt(eventfd(0, 0), &owner), at = owner;

	while (n < 16 && (fds[n] = eventfd(0, 0)) >= 0)
		n++;
	privfd_evict(at);
	setrlimit(RLIMIT_NOFILE, &was);
	while (n > 0)
		close(fds[--n]);
	assert_int_equal(r, 0);
	assert_int_equal(owner, -1);
	assert_false(privfd_is(at));
	assert_true(is_open(at)); /* the program's dup2() takes it over */
	close(at);
	assert_int_equal(privfd_first_from(0), -1);
}

static void *adopt_and_close(void *arg)
{
	for (int i = 0; i < 3000; i++) {
		privfd_t owner = -1;

		if (privfd_adopt(eventfd(0, 0), &owner) < 0 || !privfd_is(owner))
			return arg;
		privfd_close(&owner);
	}
	return NULL;
}

static void many_threads_leak_nothing(void **state)
{
	unsigned before = open_fds();
	pthread_t t[3];
	void *bad;

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, adopt_and_close, &before);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(privfd_first_from(0), -1);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adopted_is_high_and_close_on_exec),
		cmocka_unit_test(nonsense_is_not_ours),
		cmocka_unit_test(one_that_is_not_ours_is_never_closed),
		cmocka_unit_test(evicted_lives_on_elsewhere),
		cmocka_unit_test(low_limits_are_respected),
		cmocka_unit_test(no_room_closes_and_says_so),
		cmocka_unit_test(evicted_without_room_is_lost),
		cmocka_unit_test(many_threads_leak_nothing),
	};

	return cmocka_run_group_tests_name("privfd", tests, NULL, NULL);
}
