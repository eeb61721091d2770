/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Harness of the twin tests: one program, run twice, plain (TCP) and under
 * smc_run, with the same expectations, so that the kernel is the oracle.
 *
 * Each case runs in a process of its own (this program executed again), in a
 * process group of its own, under a watchdog; it fails if an expectation in any
 * of its processes fails, if it hangs, or if it leaves a descriptor open.
 * TWIN_INPROCESS=1 runs all cases in one process instead, so that rows, slots
 * and segments are used again and again.
 *
 * In the smc run (OPENISM_TWIN=smc) a case that settles its connection and
 * proves it (PROVE_*) fails if the bytes did not travel by shared memory.
 */
#ifndef OPENISM_TESTS_TWIN_H
#define OPENISM_TESTS_TWIN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sanitizers: everything takes longer, and some things are not for them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TWIN_SLOW 4
#define SKIP_IF_SANITIZED(why) twin_skip("sanitizer: " why)
#else
#define TWIN_SLOW 1
#define SKIP_IF_SANITIZED(why) (void)0
#endif

/* ------------------------------------------------------------------ cases */

struct twin_case {
	const char *name;
	void (*run)(const struct twin_case *self);
	int seconds;          /* watchdog */
	int how, fam, settle; /* for pair cases */
	void (*client)(int fd);
	void (*server)(int fd);
};

void twin_add(struct twin_case *c);

#define CASE_T(id, secs)                                                            \
	static void case_##id(const struct twin_case *self);                        \
	static struct twin_case reg_##id = { #id, case_##id, secs, 0, 0, 0, 0, 0 }; \
	__attribute__((constructor)) static void add_##id(void)                     \
	{                                                                           \
		twin_add(&reg_##id);                                                \
	}                                                                           \
	static void case_##id(const struct twin_case *self)

#define CASE(id) CASE_T(id, 10)

enum twin_how { HOW_THREADS, HOW_PROCS };
enum twin_fam { FAM_4, FAM_6, FAM_MAPPED, FAM_MIXED }; /* mixed: mapped to plain v4 */
enum twin_settle { LATE, SETTLED };

/* Runs client(fd) and server(fd) on the ends of a connection; each closes its fd. */
void twin_pair_case(const struct twin_case *self);

#define PAIR_ONE_(id, tag, label, secs, h, f, s)                                                 \
	static struct twin_case preg_##id##tag = { #id "/" label, twin_pair_case, secs, h, f, s, \
		                                   client_##id,   server_##id };                 \
	__attribute__((constructor)) static void padd_##id##tag(void)                            \
	{                                                                                        \
		twin_add(&preg_##id##tag);                                                       \
	}

/* threads and processes, bound before and while data flow, over IPv4 */
#define PAIR_CASE_T(id, secs)                                                   \
	PAIR_ONE_(id, ts, "threads-settled", secs, HOW_THREADS, FAM_4, SETTLED) \
	PAIR_ONE_(id, tl, "threads-late", secs, HOW_THREADS, FAM_4, LATE)       \
	PAIR_ONE_(id, ps, "procs-settled", secs, HOW_PROCS, FAM_4, SETTLED)     \
	PAIR_ONE_(id, pl, "procs-late", secs, HOW_PROCS, FAM_4, LATE)
#define PAIR_CASE(id) PAIR_CASE_T(id, 10)

/* and the other address families */
#define PAIR_CASE_FULL(id)                                                       \
	PAIR_CASE_T(id, 10)                                                      \
	PAIR_ONE_(id, t6, "threads-ipv6", 10, HOW_THREADS, FAM_6, SETTLED)       \
	PAIR_ONE_(id, p6, "procs-ipv6", 10, HOW_PROCS, FAM_6, SETTLED)           \
	PAIR_ONE_(id, p6l, "procs-ipv6-late", 10, HOW_PROCS, FAM_6, LATE)        \
	PAIR_ONE_(id, pm, "procs-mapped", 10, HOW_PROCS, FAM_MAPPED, SETTLED)    \
	PAIR_ONE_(id, pml, "procs-mapped-late", 10, HOW_PROCS, FAM_MAPPED, LATE) \
	PAIR_ONE_(id, px, "procs-mixed", 10, HOW_PROCS, FAM_MIXED, SETTLED)

/* ----------------------------------------------------------- expectations */

void twin_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void twin_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void twin_die(void) __attribute__((noreturn));
void twin_skip(const char *why) __attribute__((noreturn));

#define EXPECT(c)                                                                            \
	do {                                                                                 \
		if (!(c))                                                                    \
			twin_fail(__FILE__, __LINE__, "not true: %s (errno %d)", #c, errno); \
	} while (0)
#define REQUIRE(c)                                                                           \
	do {                                                                                 \
		if (!(c)) {                                                                  \
			twin_fail(__FILE__, __LINE__, "not true: %s (errno %d)", #c, errno); \
			twin_die();                                                          \
		}                                                                            \
	} while (0)
#define TWIN_CMP_(a, op, b, fatal)                          \
	do {                                                \
		long long a_ = (long long)(a);              \
		int e_ = errno;                             \
		long long b_ = (long long)(b);              \
		if (!(a_ op b_)) {                          \
			twin_fail(__FILE__, __LINE__,       \
			          "%s is %lld (errno %d), " \
			          "expected " #op " %lld",  \
			          #a, a_, e_, b_);          \
			if (fatal)                          \
				twin_die();                 \
		}                                           \
	} while (0)
#define EXPECT_EQ(a, b) TWIN_CMP_(a, ==, b, 0)
#define EXPECT_GE(a, b) TWIN_CMP_(a, >=, b, 0)
#define EXPECT_LE(a, b) TWIN_CMP_(a, <=, b, 0)
#define REQUIRE_EQ(a, b) TWIN_CMP_(a, ==, b, 1)
#define EXPECT_FAIL(call, err)                                       \
	do {                                                         \
		errno = 0;                                           \
		long long r_ = (long long)(call);                    \
		int e_ = errno;                                      \
		if (r_ != -1 || e_ != (err))                         \
			twin_fail(__FILE__, __LINE__,                \
			          "%s is %lld (errno %d), "          \
			          "expected -1 (errno %d " #err ")", \
			          #call, r_, e_, err);               \
	} while (0)

/* ------------------------------------------------------------ connections */

struct pair {
	int c, s; /* connected and accepted end */
};

bool twin_smc(void);
bool twin_has_family(enum twin_fam fam);

int twin_listen(enum twin_fam fam, struct sockaddr_storage *sa, socklen_t *len);
int twin_socket(enum twin_fam fam, int flags);
int twin_connect(enum twin_fam fam, const struct sockaddr_storage *sa, socklen_t len);
struct pair pair_open(enum twin_fam fam); /* in one thread, not settled */
struct pair pair_settled(enum twin_fam fam);
void pair_settle(struct pair p);
void pair_close(struct pair *p);

/* One end, its peer being settled at the same time by somebody else. */
void twin_settle(int fd);
bool twin_settled(void); /* the running pair case has been settled */

/* Client in a child process, server here. */
void twin_run(enum twin_how how, enum twin_fam fam, enum twin_settle settle, void (*client)(int fd),
              void (*server)(int fd));

/* The bytes of @fd went through shared memory: at least that many so far. */
void twin_prove(const char *file, int line, int fd, uint64_t tx, uint64_t rx);
#define PROVE_SMC(fd, tx, rx) twin_prove(__FILE__, __LINE__, fd, tx, rx)
/* Only if the pair case has been settled before the exchange. */
#define PROVE_IF_SETTLED(fd, tx, rx)                                \
	do {                                                        \
		if (twin_settled())                                 \
			twin_prove(__FILE__, __LINE__, fd, tx, rx); \
	} while (0)

/* --------------------------------------------------------------- contents */

/* Position-dependent bytes: any loss, repetition or reordering shows. */
void pat_fill(void *buf, uint64_t seed, uint64_t off, size_t n);
/* Offset of the first wrong byte, or -1. */
long long pat_find(const void *buf, uint64_t seed, uint64_t off, size_t n);
void pat_expect(const char *file, int line, const void *buf, uint64_t seed, uint64_t off, size_t n);
#define PAT_EXPECT(buf, seed, off, n) pat_expect(__FILE__, __LINE__, buf, seed, off, n)

/* Blocking, pattern bytes [off, off + n) in calls of @chunk (0: as one). */
void put_pat(int fd, uint64_t seed, uint64_t off, size_t n, size_t chunk);
void get_pat(int fd, uint64_t seed, uint64_t off, size_t n, size_t chunk);
void expect_eof(int fd);
void drain_to_eof(int fd);

/* ------------------------------------------------------------------ other */

void *twin_shared(size_t n); /* zeroed, shared with children */
void stage_set(_Atomic int *s, int v);
void stage_wait(_Atomic int *s, int v); /* until *s >= v */
uint64_t now_ms(void);
uint64_t now_us(void);
void sleep_ms(unsigned ms);
uint64_t rnd(uint64_t *state);

pid_t twin_fork(void (*fn)(void *), void *arg); /* child runs fn and exits */
void twin_wait(pid_t pid);                      /* it must exit with 0 */
pthread_t twin_thread(void *(*fn)(void *), void *arg);
void twin_join(pthread_t t);

unsigned twin_open_fds(void); /* below 512: ours, not the library's */
/* Runs fn(arg) after ms milliseconds in another thread. */
void twin_later(unsigned ms, void (*fn)(void *), void *arg);
void twin_nonblock(int fd, bool on);
void twin_ignore_signal(int sig); /* handler that only counts */
extern _Atomic int twin_signals;
extern void *volatile twin_bad; /* an address nobody has mapped */
extern volatile int twin_odd;   /* for arguments the compiler would refuse */

#endif
