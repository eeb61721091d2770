/* SPDX-License-Identifier: Apache-2.0 */
/* What ismd can and cannot do once it gave up its privileges: each case in a child
 * process of its own, since there is no way back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fdpass.h"
#include "ismd/privileges.h"
#include "proof/proof.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#define NOBODY 65534
#define CANNOT_HERE 77

/* In a child: say where, and end with an exit status that is a failure. */
#define NEED(what)                                                                    \
	do {                                                                          \
		if (!(what)) {                                                        \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #what, \
			        strerror(errno));                                     \
			return 1;                                                     \
		}                                                                     \
	} while (0)

#define REFUSED(call) NEED((long)(call) == -1 && errno == EPERM)

static char dir[64]; /* for files of the tests */

static int drop(bool with_proof)
{
	char why[128] = "";
	int r = privileges_drop(with_proof, why, sizeof(why));

	if (r < 0)
		fprintf(stderr, "privileges_drop: %s\n", why);
	return r;
}

/* The value behind "NAME:\t" in our own status, read as @base; -1 if not there. */
static long long status_of(const char *name, int base)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long long v = -1;
	size_t n = strlen(name);

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && line[n] == ':')
			v = (long long)strtoull(line + n + 1, NULL, base);
	if (f)
		fclose(f);
	return v;
}

static bool is_filtered(void)
{
	return status_of("Seccomp", 10) == 2;
}

/* Run @body in a child; its wait status. */
static int in_child(int (*body)(void))
{
	struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		_exit(body());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_well(int (*body)(void))
{
	int status = in_child(body);

	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_HERE)
		skip();
	if (WIFSIGNALED(status))
		fail_msg("the child ended by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* -------------------------------------------------------------- what is left */

static int body_rights(void)
{
	bool was_root = geteuid() == 0;

	NEED(drop(true) == 0);
	/* CAP_DAC_READ_SEARCH 2, CAP_SYS_PTRACE 19, CAP_BPF 39 */
	NEED((status_of("CapEff", 16) & ~(1ll << 2 | 1ll << 19 | 1ll << 39)) == 0);
	NEED(status_of("CapPrm", 16) == status_of("CapEff", 16));
	NEED(status_of("CapInh", 16) == 0 && status_of("CapAmb", 16) == 0);
	NEED(!was_root || status_of("CapBnd", 16) == 0);
	NEED(status_of("NoNewPrivs", 10) == 1);
	if (is_filtered())
		NEED(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	return 0;
}

static int body_rights_without_proof(void)
{
	NEED(drop(false) == 0);
	NEED((status_of("CapPrm", 16) & 1ll << 39) == 0);
	return 0;
}

/* ------------------------------------------------------------ what still works */

static int body_waiting(void)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1000 };
	struct timespec second = { 1, 0 };
	struct epoll_event ev = { .events = EPOLLIN };
	uint64_t one = 1;
	sigset_t set;
	int ep, e, t, s;

	NEED(drop(false) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	NEED((ep = epoll_create1(EPOLL_CLOEXEC)) >= 0);
	NEED((e = eventfd(0, EFD_CLOEXEC)) >= 0);
	NEED((t = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) >= 0);
	NEED((s = signalfd(-1, &set, SFD_CLOEXEC)) >= 0);
	NEED(epoll_ctl(ep, EPOLL_CTL_ADD, e, &ev) == 0);
	NEED(epoll_ctl(ep, EPOLL_CTL_ADD, s, &ev) == 0);
	NEED(epoll_ctl(ep, EPOLL_CTL_ADD, t, &ev) == 0);
	NEED(timerfd_settime(t, 0, &soon, NULL) == 0);
	NEED(epoll_pwait2(ep, &ev, 1, &second, NULL) == 1);
	NEED(write(e, &one, 8) == 8 && read(e, &one, 8) == 8);
	return 0;
}

static int body_memory(void)
{
	char *p;
	int fd;

	NEED(drop(false) == 0);
	NEED((fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)) >= 0);
	NEED(ftruncate(fd, 1 << 20) == 0);
	NEED(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	NEED(fallocate(fd, 0, 0, 65536) == 0);
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEED(p != MAP_FAILED);
	p[1] = 1;
	NEED(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536) == 0);
	NEED(p[1] == 0 && munmap(p, 1 << 20) == 0);
	free(malloc(8 << 20));
	NEED(getrandom(&fd, sizeof(fd), GRND_NONBLOCK) == sizeof(fd));
	return 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, 5) < 0)
		return -1;
	return fd;
}

/* A new socket for a container, and a client with a descriptor in its packet. */
static int body_sockets(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int l, c, a, fds[FDPASS_MAX], one = 1;
	unsigned nfds;
	char byte = 'x';

	NEED(drop(false) == 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/sock", dir);
	NEED((l = listen_at(sa.sun_path)) >= 0);
	NEED((c = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) >= 0);
	NEED(connect(c, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	NEED((a = accept4(l, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	NEED(setsockopt(a, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) == 0);
	NEED(getsockopt(a, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0);
	NEED(fdpass_send(c, &byte, 1, &l, 1) == 0);
	NEED(fdpass_recv(a, &byte, 1, fds, &nfds, &cred, 0) == 1);
	NEED(nfds == 1 && cred.pid == getpid());
	NEED(unlink(sa.sun_path) == 0);
	return 0;
}

static int body_files(void)
{
	char a[96], b[96], text[32];
	struct stat st;
	time_t now = time(NULL);
	struct tm tm;
	FILE *f;

	NEED(drop(false) == 0);
	snprintf(a, sizeof(a), "%s/state.new", dir);
	snprintf(b, sizeof(b), "%s/state", dir);
	NEED((f = fopen(a, "we")));
	NEED(fprintf(f, "on\n") == 3 && fflush(f) == 0 && fsync(fileno(f)) == 0 && fclose(f) == 0);
	NEED(rename(a, b) == 0 && stat(b, &st) == 0);
	NEED((f = fopen(b, "re")) && fgets(text, sizeof(text), f) && fclose(f) == 0);
	NEED(unlink(b) == 0);
	NEED(localtime_r(&now, &tm));
	NEED(open("/etc/hostname", O_RDONLY | O_CLOEXEC) >= 0 || errno == ENOENT);
	return 0;
}

static void *add_one(void *arg)
{
	++*(int *)arg;
	return NULL;
}

static int body_threads(void)
{
	pthread_t t;
	int n = 0;

	NEED(drop(false) == 0);
	for (int i = 0; i < 3; i++)
		NEED(pthread_create(&t, NULL, add_one, &n) == 0 && pthread_join(t, NULL) == 0);
	NEED(n == 3);
	return 0;
}

/*
 * A process of user @uid with a socket at descriptor *@fd: its pid. It ends with us,
 * by the end of a pipe: a signal might not be permitted once we dropped our rights.
 */
static pid_t make_client(uid_t uid, int *fd)
{
	int ready[2], life[2];
	pid_t pid;

	*fd = -1;
	if (pipe(ready) < 0 || pipe(life) < 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0) {
		int s = socket(AF_INET, SOCK_STREAM, 0);
		char c;

		close(life[1]);
		if (uid != geteuid() && setresuid(uid, uid, uid) < 0)
			_exit(1);
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* /proc/PID is the user's, not root's */
		if (s >= 0 && write(ready[1], &s, sizeof(s)) == sizeof(s))
			_exit(read(life[0], &c, 1) != 0);
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], fd, sizeof(*fd)) != sizeof(*fd))
		*fd = -1;
	return pid;
}

static int look_at(pid_t pid, int fd)
{
	char path[64], link[64];
	int pidfd, copy, type = 0;
	socklen_t len = sizeof(type);

	NEED((pidfd = (int)syscall(SYS_pidfd_open, pid, 0)) >= 0);
	NEED((copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0)) >= 0);
	NEED(getsockopt(copy, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	NEED(readlink(path, link, sizeof(link)) > 0 && !strncmp(link, "socket:", 7));
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	NEED(readlink(path, link, sizeof(link)) > 0 && !strncmp(link, "net:", 4));
	NEED((copy = open(path, O_RDONLY | O_CLOEXEC)) >= 0);
	NEED(ioctl(copy, NS_GET_USERNS) >= 0);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	NEED(access(path, R_OK) == 0);
	NEED(kill(pid, 0) == 0 || errno == EPERM);
	return 0;
}

static int body_own_client(void)
{
	int fd;
	pid_t pid = make_client(geteuid(), &fd);

	NEED(pid > 0 && fd >= 0);
	NEED(drop(false) == 0);
	return look_at(pid, fd);
}

static int body_other_client(void)
{
	int fd;
	pid_t pid;

	if (geteuid() != 0)
		return CANNOT_HERE;
	pid = make_client(NOBODY, &fd);
	NEED(pid > 0 && fd >= 0);
	NEED(drop(false) == 0);
	return look_at(pid, fd);
}

/* The daemon of one user has nothing to give up but can still lock itself in. */
static int body_unprivileged(void)
{
	int fd;
	pid_t pid;

	if (geteuid() == 0)
		NEED(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	NEED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	pid = make_client(geteuid(), &fd);
	NEED(pid > 0 && fd >= 0);
	NEED(drop(false) == 0);
	NEED(status_of("CapPrm", 16) == 0 && status_of("NoNewPrivs", 10) == 1);
	return look_at(pid, fd);
}

static long bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int body_maps(void)
{
	union bpf_attr a = { 0 };
	uint32_t key = 7;
	uint64_t value = 9, got = 0;
	int map;

	a.map_type = BPF_MAP_TYPE_HASH;
	a.key_size = sizeof(key);
	a.value_size = sizeof(value);
	a.max_entries = 4;
	map = (int)bpf(BPF_MAP_CREATE, &a);
	if (map < 0)
		return CANNOT_HERE;
	NEED(drop(true) == 0);
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)map;
	a.key = (uintptr_t)&key;
	a.value = (uintptr_t)&value;
	NEED(bpf(BPF_MAP_UPDATE_ELEM, &a) == 0);
	a.value = (uintptr_t)&got;
	a.flags = 0;
	NEED(bpf(BPF_MAP_LOOKUP_ELEM, &a) == 0 && got == 9);
	a.value = 0;
	NEED(bpf(BPF_MAP_DELETE_ELEM, &a) == 0);
	if (is_filtered()) {
		memset(&a, 0, sizeof(a));
		a.map_type = BPF_MAP_TYPE_HASH;
		REFUSED(bpf(BPF_MAP_CREATE, &a));
	}
	return 0;
}

/* Clients come and go in cgroups, and at the end nothing of it stays. */
static int body_cgroups(void)
{
	struct proof *p;
	char name[40], why[256];

	snprintf(name, sizeof(name), "test-priv-%d", (int)getppid());
	if (geteuid() != 0 || proof_open(&p, name, why, sizeof(why)) < 0)
		return CANNOT_HERE;
	NEED(drop(true) == 0);
	NEED(proof_client_add(p, getpid(), "/") == 0);
	NEED(proof_client_add(p, getpid(), "/no/such") == -ENOENT);
	proof_client_del(p, getpid());
	proof_tick(p, UINT64_MAX / 2);
	NEED(proof_due_ns(p) == UINT64_MAX);
	NEED(proof_client_add(p, getpid(), "/") == 0);
	proof_close(p);
	return 0;
}

static void test_cgroups(void **state)
{
	char name[40];
	int status = in_child(body_cgroups);
	int left;

	snprintf(name, sizeof(name), "test-priv-%d", (int)getpid());
	left = proof_cleanup(name);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_HERE)
		skip();
	assert_int_equal(status, 0);
	assert_int_equal(left, 0);
}

/* --------------------------------------------------------- what does not any more */

static int body_refused(void)
{
	struct rlimit l;

	NEED(drop(false) == 0);
	if (!is_filtered())
		return CANNOT_HERE;
	REFUSED(socket(AF_INET, SOCK_STREAM, 0));
	REFUSED(socket(AF_NETLINK, SOCK_RAW, 0));
	REFUSED(kill(getppid(), SIGCONT));
	REFUSED(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	NEED(getrlimit(RLIMIT_NOFILE, &l) == 0);
	REFUSED(setrlimit(RLIMIT_NOFILE, &l));
	REFUSED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	REFUSED(symlink("a", "b"));
	REFUSED(fork());
	return 0;
}

/* Without a right, not only without a system call: this one is let through. */
static int body_no_override(void)
{
	char path[96];

	if (geteuid() != 0)
		return CANNOT_HERE;
	snprintf(path, sizeof(path), "%s/nobody", dir);
	NEED(mkdir(path, 0700) == 0 && chown(path, NOBODY, NOBODY) == 0);
	NEED(drop(false) == 0);
	strcat(path, "/file");
	NEED(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EACCES);
	return 0;
}

static int deadly_call(const char *name)
{
	static char *const none[] = { NULL };
	union bpf_attr a = { 0 };

	if (!strcmp(name, "execve"))
		execve("/bin/true", none, none);
	else if (!strcmp(name, "ptrace"))
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	else if (!strcmp(name, "mount"))
		mount("none", dir, "tmpfs", 0, NULL);
	else if (!strcmp(name, "unshare"))
		unshare(CLONE_NEWUSER);
	else if (!strcmp(name, "module"))
		syscall(SYS_finit_module, -1, "", 0);
	else if (!strcmp(name, "setuid"))
		syscall(SYS_setuid, 0);
	else if (!strcmp(name, "prog"))
		bpf(BPF_PROG_LOAD, &a);
	else if (!strcmp(name, "attach"))
		bpf(BPF_PROG_ATTACH, &a);
	return 0;
}

static const char *deadly_name;

static int body_deadly(void)
{
	NEED(drop(true) == 0);
	if (!is_filtered())
		return CANNOT_HERE;
	return deadly_call(deadly_name);
}

static void test_deadly(void **state)
{
	static const char *const names[] = { "execve", "ptrace", "mount", "unshare",
		                             "module", "setuid", "prog",  "attach" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int status;

		deadly_name = names[i];
		status = in_child(body_deadly);
		if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_HERE)
			skip();
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: wait status 0x%x, expected death by SIGSYS", names[i],
			         (unsigned)status);
	}
}

#define WELL(name)                            \
	static void test_##name(void **state) \
	{                                     \
		expect_well(body_##name);     \
	}

WELL(rights)
WELL(rights_without_proof)
WELL(waiting)
WELL(memory)
WELL(sockets)
WELL(files)
WELL(threads)
WELL(own_client)
WELL(other_client)
WELL(unprivileged)
WELL(maps)
WELL(refused)
WELL(no_override)

static int make_dir(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/oism-priv.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/nobody", dir);
	rmdir(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights),       cmocka_unit_test(test_rights_without_proof),
		cmocka_unit_test(test_waiting),      cmocka_unit_test(test_memory),
		cmocka_unit_test(test_sockets),      cmocka_unit_test(test_files),
		cmocka_unit_test(test_threads),      cmocka_unit_test(test_own_client),
		cmocka_unit_test(test_other_client), cmocka_unit_test(test_unprivileged),
		cmocka_unit_test(test_maps),         cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_override),  cmocka_unit_test(test_deadly),
		cmocka_unit_test(test_cgroups),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
