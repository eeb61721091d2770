/* SPDX-License-Identifier: Apache-2.0 */
/* Harness of the twin tests: see twin.h. */
#include "twin.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include <openism/openism.h>

#define MAX_CASES 512
#define EXIT_SKIP 77
#define PROGRAM_FDS 512 /* the library's own are above */

static struct twin_case *cases[MAX_CASES];
static int ncases;
static _Atomic int *failures; /* shared by the processes of a case */
static bool one_process;
static bool pair_is_settled;
static jmp_buf skip_case;
_Atomic int twin_signals;
void *volatile twin_bad = (void *)8;
volatile int twin_odd;

void twin_add(struct twin_case *c)
{
	if (ncases == MAX_CASES)
		abort();
	cases[ncases++] = c;
}

/* ------------------------------------------------------------------ output */

static void say(const char *line)
{
	size_t n = strlen(line);

	if (write(STDOUT_FILENO, line, n) != (ssize_t)n)
		_exit(98);
}

void twin_note(const char *fmt, ...)
{
	char text[800], line[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "# %s\n", text);
	say(line);
}

void twin_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	int saved = errno;
	char text[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (atomic_fetch_add(failures, 1) < 20)
		twin_note("%s:%d: [%d] %s", base ? base + 1 : file, line, (int)getpid(), text);
	errno = saved;
}

void twin_die(void)
{
	if (one_process)
		say("Bail out! a case that cannot go on\n");
	_exit(1);
}

void twin_skip(const char *why)
{
	twin_note("SKIP: %s", why);
	if (one_process)
		longjmp(skip_case, 1); /* called by the thread that runs the case */
	_exit(EXIT_SKIP);
}

/* ------------------------------------------------------------------- time */

uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t now_ms(void)
{
	return now_us() / 1000;
}

void sleep_ms(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* --------------------------------------------------------------- contents */

static uint64_t pat_word(uint64_t seed, uint64_t index)
{
	uint64_t z = (index + 1) * 0x9e3779b97f4a7c15ull + seed * 0xd6e8feb86659fd93ull;

	z ^= z >> 32;
	z *= 0xd6e8feb86659fd93ull;
	return z ^ (z >> 29);
}

void pat_fill(void *buf, uint64_t seed, uint64_t off, size_t n)
{
	unsigned char *p = buf;

	while (n && (off & 7)) {
		*p++ = (unsigned char)(pat_word(seed, off >> 3) >> (8 * (off & 7)));
		off++, n--;
	}
	for (; n >= 8; n -= 8, off += 8, p += 8) {
		uint64_t w = pat_word(seed, off >> 3);

		memcpy(p, &w, 8);
	}
	for (; n; n--, off++)
		*p++ = (unsigned char)(pat_word(seed, off >> 3) >> (8 * (off & 7)));
}

long long pat_find(const void *buf, uint64_t seed, uint64_t off, size_t n)
{
	const unsigned char *p = buf;
	unsigned char want[4096];
	size_t at = 0;

	while (at < n) {
		size_t part = n - at < sizeof(want) ? n - at : sizeof(want);

		pat_fill(want, seed, off + at, part);
		if (memcmp(p + at, want, part) != 0)
			for (size_t i = 0; i < part; i++)
				if (p[at + i] != want[i])
					return (long long)(at + i);
		at += part;
	}
	return -1;
}

void pat_expect(const char *file, int line, const void *buf, uint64_t seed, uint64_t off, size_t n)
{
	long long at = pat_find(buf, seed, off, n);

	if (at < 0)
		return;
	twin_fail(file, line, "stream byte %llu is wrong (%zu bytes from offset %llu)",
	          (unsigned long long)off + (unsigned long long)at, n, (unsigned long long)off);
	twin_die();
}

void put_pat(int fd, uint64_t seed, uint64_t off, size_t n, size_t chunk)
{
	size_t size = chunk && chunk < n ? chunk : n;
	char *buf = malloc(size ? size : 1);

	for (size_t done = 0; done < n;) {
		size_t want = n - done < size ? n - done : size, at = 0;

		pat_fill(buf, seed, off + done, want);
		while (at < want) {
			ssize_t r = send(fd, buf + at, want - at, MSG_NOSIGNAL);

			REQUIRE(r > 0);
			REQUIRE((size_t)r <= want - at);
			at += (size_t)r;
		}
		done += want;
	}
	free(buf);
}

void get_pat(int fd, uint64_t seed, uint64_t off, size_t n, size_t chunk)
{
	size_t size = chunk && chunk < n ? chunk : n;
	char *buf = malloc(size ? size : 1);

	for (size_t done = 0; done < n;) {
		size_t want = n - done < size ? n - done : size;
		ssize_t r = recv(fd, buf, want, 0);

		if (r <= 0)
			twin_note("after %zu of %zu bytes from offset %llu:", done, n,
			          (unsigned long long)off);
		REQUIRE(r > 0);
		REQUIRE((size_t)r <= want);
		PAT_EXPECT(buf, seed, off + done, (size_t)r);
		done += (size_t)r;
	}
	free(buf);
}

void expect_eof(int fd)
{
	char c;

	REQUIRE_EQ(recv(fd, &c, 1, 0), 0);
	EXPECT_EQ(recv(fd, &c, 1, 0), 0);
}

void drain_to_eof(int fd)
{
	char buf[65536];
	ssize_t r;

	while ((r = recv(fd, buf, sizeof(buf), 0)) > 0)
		;
	EXPECT_EQ(r, 0);
}

/* ------------------------------------------------------------ connections */

bool twin_smc(void)
{
	const char *mode = getenv("OPENISM_TWIN");

	return mode && strcmp(mode, "smc") == 0;
}

static int domain_of(enum twin_fam fam, bool server)
{
	return fam == FAM_4 || (fam == FAM_MIXED && server) ? AF_INET : AF_INET6;
}

bool twin_has_family(enum twin_fam fam)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd;
	bool ok;

	if (fam == FAM_4)
		return true;
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0)
		return false;
	if (fam != FAM_6)
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &sin6.sin6_addr);
	ok = bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) == 0;
	close(fd);
	return ok;
}

/* Loopback address of the family, with port (network order). */
static socklen_t loopback(enum twin_fam fam, bool server, in_port_t port,
                          struct sockaddr_storage *sa)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)sa;

	memset(sa, 0, sizeof(*sa));
	sa->ss_family = (sa_family_t)domain_of(fam, server);
	if (sa->ss_family == AF_INET) {
		sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		sin->sin_port = port;
		return sizeof(*sin);
	}
	inet_pton(AF_INET6, fam == FAM_6 ? "::1" : "::ffff:127.0.0.1", &sin6->sin6_addr);
	sin6->sin6_port = port;
	return sizeof(*sin6);
}

int twin_socket(enum twin_fam fam, int flags)
{
	int fd = socket(domain_of(fam, false), SOCK_STREAM | flags, 0);

	REQUIRE(fd > 2);
	return fd;
}

/* Listens on a free port; *sa is what a client has to connect to. */
int twin_listen(enum twin_fam fam, struct sockaddr_storage *sa, socklen_t *len)
{
	struct sockaddr_storage me;
	socklen_t n;
	int fd, one = 1;

	if (!twin_has_family(fam))
		twin_skip("no IPv6 here");
	fd = socket(domain_of(fam, true), SOCK_STREAM, 0);
	REQUIRE(fd > 2);
	n = loopback(fam, true, 0, &me);
	REQUIRE(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	REQUIRE(bind(fd, (struct sockaddr *)&me, n) == 0);
	REQUIRE(listen(fd, 512) == 0);
	REQUIRE(getsockname(fd, (struct sockaddr *)&me, &n) == 0);
	*len = loopback(fam, false, ((struct sockaddr_in *)&me)->sin_port, sa);
	return fd;
}

int twin_connect(enum twin_fam fam, const struct sockaddr_storage *sa, socklen_t len)
{
	int fd = twin_socket(fam, 0);

	REQUIRE(connect(fd, (const struct sockaddr *)sa, len) == 0);
	return fd;
}

struct pair pair_open(enum twin_fam fam)
{
	struct sockaddr_storage sa;
	struct pair p;
	socklen_t len;
	int l = twin_listen(fam, &sa, &len);

	p.c = twin_connect(fam, &sa, len);
	p.s = accept(l, NULL, NULL);
	REQUIRE(p.s > 2);
	close(l);
	return p;
}

static void expect_smcd(int fd, int mode)
{
	struct openism_stat st = { .size = sizeof(st) };

	if (mode == OPENISM_MODE_SMCD)
		return;
	openism_stat(fd, &st);
	twin_fail(__FILE__, __LINE__, "fd %d settled in mode %d, reason 0x%08x/0x%08x", fd, mode,
	          st.reason, st.peer_reason);
	twin_die();
}

static void need_library(void)
{
	if (openism_settle && openism_stat)
		return;
	twin_fail(__FILE__, __LINE__, "smc run, but the library is not loaded");
	twin_die();
}

void twin_settle(int fd)
{
	if (!twin_smc())
		return;
	need_library();
	expect_smcd(fd, openism_settle(fd, 2000));
}

static void *settle_thread(void *arg)
{
	twin_settle(*(int *)arg);
	return NULL;
}

/* Each end waits for the other to come by, so one of them needs a thread. */
void pair_settle(struct pair p)
{
	int saved = errno;
	pthread_t t;

	if (!twin_smc())
		return;
	t = twin_thread(settle_thread, &p.c);
	twin_settle(p.s);
	twin_join(t);
	errno = saved;
}

struct pair pair_settled(enum twin_fam fam)
{
	struct pair p = pair_open(fam);

	pair_settle(p);
	return p;
}

void pair_close(struct pair *p)
{
	if (p->c >= 0)
		EXPECT_EQ(close(p->c), 0);
	if (p->s >= 0)
		EXPECT_EQ(close(p->s), 0);
	p->c = p->s = -1;
}

bool twin_settled(void)
{
	return pair_is_settled;
}

void twin_prove(const char *file, int line, int fd, uint64_t tx, uint64_t rx)
{
	struct openism_stat st = { .size = sizeof(st) };
	int saved = errno;

	if (!twin_smc())
		return;
	need_library();
	if (openism_stat(fd, &st) < 0)
		twin_fail(file, line, "fd %d is not followed", fd);
	else if (st.mode != OPENISM_MODE_SMCD || st.tx_smc_bytes < tx || st.rx_smc_bytes < rx)
		twin_fail(file, line,
		          "fd %d: mode %u, ring bytes sent %llu (expected %llu), received "
		          "%llu (expected %llu); TCP bytes sent %llu, received %llu",
		          fd, st.mode, (unsigned long long)st.tx_smc_bytes, (unsigned long long)tx,
		          (unsigned long long)st.rx_smc_bytes, (unsigned long long)rx,
		          (unsigned long long)st.tx_tcp_bytes, (unsigned long long)st.rx_tcp_bytes);
	errno = saved;
}

struct end {
	void (*fn)(int fd);
	enum twin_fam fam;
	struct sockaddr_storage sa;
	socklen_t len;
};

static void run_client(void *arg)
{
	struct end *e = arg;
	int fd = twin_connect(e->fam, &e->sa, e->len);

	if (pair_is_settled)
		twin_settle(fd);
	e->fn(fd);
}

static void *client_thread(void *arg)
{
	run_client(arg);
	return NULL;
}

void twin_run(enum twin_how how, enum twin_fam fam, enum twin_settle settle, void (*client)(int fd),
              void (*server)(int fd))
{
	struct end e = { .fn = client, .fam = fam };
	int l = twin_listen(fam, &e.sa, &e.len), fd;
	pthread_t t = 0;
	pid_t pid = 0;

	pair_is_settled = settle == SETTLED;
	if (how == HOW_PROCS)
		pid = twin_fork(run_client, &e);
	else
		t = twin_thread(client_thread, &e);
	fd = accept(l, NULL, NULL);
	REQUIRE(fd > 2);
	EXPECT_EQ(close(l), 0);
	if (pair_is_settled)
		twin_settle(fd);
	server(fd);
	if (how == HOW_PROCS)
		twin_wait(pid);
	else
		twin_join(t);
}

void twin_pair_case(const struct twin_case *self)
{
	twin_run((enum twin_how)self->how, (enum twin_fam)self->fam, (enum twin_settle)self->settle,
	         self->client, self->server);
}

/* ------------------------------------------------------------------ other */

void *twin_shared(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

void stage_set(_Atomic int *s, int v)
{
	atomic_store(s, v);
}

void stage_wait(_Atomic int *s, int v)
{
	while (atomic_load(s) < v)
		usleep(200);
}

pid_t twin_fork(void (*fn)(void *), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

void twin_wait(pid_t pid)
{
	int status = -1;

	REQUIRE_EQ(waitpid(pid, &status, 0), pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

pthread_t twin_thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	REQUIRE(pthread_create(&t, NULL, fn, arg) == 0);
	return t;
}

void twin_join(pthread_t t)
{
	REQUIRE(pthread_join(t, NULL) == 0);
}

struct later {
	unsigned ms;
	void (*fn)(void *);
	void *arg;
};

static void *later_thread(void *arg)
{
	struct later l = *(struct later *)arg;

	free(arg);
	sleep_ms(l.ms);
	l.fn(l.arg);
	return NULL;
}

void twin_later(unsigned ms, void (*fn)(void *), void *arg)
{
	struct later *l = malloc(sizeof(*l));
	pthread_t t;

	*l = (struct later){ ms, fn, arg };
	t = twin_thread(later_thread, l);
	REQUIRE(pthread_detach(t) == 0);
}

void twin_nonblock(int fd, bool on)
{
	int fl = fcntl(fd, F_GETFL);

	REQUIRE(fl >= 0);
	REQUIRE(fcntl(fd, F_SETFL, on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK) == 0);
}

static void count_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&twin_signals, 1);
}

void twin_ignore_signal(int sig)
{
	struct sigaction sa = { .sa_handler = count_signal };

	atomic_store(&twin_signals, 0);
	REQUIRE(sigaction(sig, &sa, NULL) == 0);
}

unsigned twin_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	unsigned n = 0;

	REQUIRE(d != NULL);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && atoi(e->d_name) < PROGRAM_FDS &&
		    atoi(e->d_name) != dirfd(d))
			n++;
	closedir(d);
	return n;
}

/* -------------------------------------------------------------------- main */

/* In the process of the case: 0, 1 or EXIT_SKIP. */
static int run_here(const struct twin_case *c)
{
	volatile int before = atomic_load(failures);
	volatile unsigned fds = twin_open_fds();
	unsigned after;

	sigset_t none;

	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL); /* what an earlier case left */
	signal(SIGUSR1, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	twin_signals = 0;
	pair_is_settled = false;
	if (setjmp(skip_case))
		return EXIT_SKIP;
	c->run(c);
	after = twin_open_fds();
	if (after != fds)
		twin_fail(__FILE__, __LINE__, "%u descriptors open before, %u after", fds, after);
	return atomic_load(failures) != before;
}

static void show_stuck(pid_t pid)
{
	char cmd[256];

	if (!getenv("TWIN_GDB"))
		return;
	snprintf(cmd, sizeof(cmd),
	         "gdb -p %d -batch -ex 'thread apply all bt 12' 2>/dev/null | sed 's/^/# /'",
	         (int)pid);
	if (system(cmd) < 0)
		return;
}

/* In a process of its own; the same results, or 2 if it hung. */
static int run_away(const struct twin_case *c, char *self)
{
	char *argv[] = { self, (char *)"--run", (char *)c->name, NULL };
	uint64_t end = now_ms() + (uint64_t)c->seconds * 1000 * TWIN_SLOW;
	int status = 0;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return 1;
	if (pid == 0) {
		setpgid(0, 0);
		execv("/proc/self/exe", argv);
		_exit(97);
	}
	setpgid(pid, pid);
	for (unsigned us = 200;; us = us < 5000 ? us * 2 : us) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (now_ms() >= end) {
			twin_note("%s: no end after %d s", c->name, c->seconds * TWIN_SLOW);
			show_stuck(pid);
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			return 2;
		}
		usleep(us);
	}
	kill(-pid, SIGKILL); /* what a failed case left */
	if (WIFSIGNALED(status)) {
		twin_note("%s: killed by signal %d", c->name, WTERMSIG(status));
		return 1;
	}
	return WEXITSTATUS(status);
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 2;
}

static int report(int n, const struct twin_case *c, int r, uint64_t ms)
{
	char line[300];

	snprintf(line, sizeof(line), "%sok %d - %s%s # %llu ms%s\n",
	         r == 0 || r == EXIT_SKIP ? "" : "not ", n, c->name,
	         r == EXIT_SKIP ? " # SKIP" : "", (unsigned long long)ms, r == 2 ? ", hung" : "");
	say(line);
	return r != 0 && r != EXIT_SKIP;
}

int main(int argc, char **argv)
{
	int bad = 0, n = 0, total = 0;
	char line[80];

	failures = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (failures == MAP_FAILED)
		return 1;
	if (argc == 3 && strcmp(argv[1], "--run") == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < ncases; i++)
			if (strcmp(cases[i]->name, argv[2]) == 0)
				return run_here(cases[i]);
		return 1;
	}
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (int i = 0; i < ncases; i++)
			puts(cases[i]->name);
		return 0;
	}
	one_process = getenv("TWIN_INPROCESS") != NULL;
	for (int i = 0; i < ncases; i++)
		total += wanted(cases[i]->name, argc, argv);
	snprintf(line, sizeof(line), "1..%d\n", total);
	say(line);
	for (int i = 0; i < ncases; i++) {
		uint64_t t = now_ms();
		int r;

		if (!wanted(cases[i]->name, argc, argv))
			continue;
		alarm(one_process ? (unsigned)cases[i]->seconds * TWIN_SLOW : 0);
		r = one_process ? run_here(cases[i]) : run_away(cases[i], argv[0]);
		bad += report(++n, cases[i], r, now_ms() - t);
	}
	return bad != 0;
}
