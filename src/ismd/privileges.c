/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three layers, in the order in which each needs the one before it undone:
 * capabilities (CAP_SETPCAP empties the bounding set), no_new_privs and dumpable,
 * then the filter. What is allowed is written as one table of names, a rule with a
 * condition below it. A name that the kernel's headers or libseccomp do not know
 * is left out: nobody can call it by that name here.
 *
 * Threads are allowed (fetch.c closes slow sockets in one), processes are not.
 * clone3() takes its flags by pointer, out of a filter's reach, so it is "not
 * implemented", upon which libc uses clone().
 */
#define _GNU_SOURCE
#include "ismd/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static int failed(char *why, size_t size, const char *what, int r)
{
	snprintf(why, size, "%s: %s", what, strerror(-r));
	return r;
}

/* ------------------------------------------------------------ capabilities */

static int drop_capabilities(bool with_proof, char *why, size_t size)
{
	/* CAP_NET_ADMIN is for attaching only, CAP_SYS_RESOURCE for raising limits. */
	static const unsigned keep[] = { CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_BPF };
	bool have[3], can_bound;
	int r;

	capng_clear(CAPNG_SELECT_ALL);
	if (capng_get_caps_process() < 0)
		return failed(why, size, "capabilities cannot be read", -EIO);
	for (unsigned i = 0; i < 3; i++)
		have[i] = capng_have_capability(CAPNG_PERMITTED, keep[i]) &&
		          (keep[i] != CAP_BPF || with_proof);
	can_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned i = 0; i < 3; i++)
		if (have[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, keep[i]);
	/* user id 0 alone shall give nothing back, not even across an exec */
	if (can_bound && (capng_apply(CAPNG_SELECT_BOUNDS) < 0 || capng_lock() < 0))
		return failed(why, size, "the capability bounding set cannot be emptied", -EPERM);
	r = capng_apply(CAPNG_SELECT_CAPS);
	if (r < 0)
		return failed(why, size, "capabilities cannot be given up", -EPERM);
	return 0;
}

/* -------------------------------------------------------------- the filter */

/* What ismd, libc's stdio and threads, libconfig, json-c and sd_notify() call. */
static const char *const allowed[] = {
	/* waiting */
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "poll", "ppoll",
	"select", "pselect6", "eventfd2", "signalfd4", "timerfd_create", "timerfd_settime",
	"timerfd_gettime", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres",
	"gettimeofday", "time", "sched_yield",
	/* descriptors and what they hold */
	"read", "readv", "pread64", "preadv2", "write", "writev", "pwrite64", "lseek", "close",
	"close_range", "dup", "dup2", "dup3", "fcntl", "flock", "pipe2", "fsync", "fdatasync",
	"memfd_create", "fallocate", "ftruncate", "fstat", "fstatfs", "statx",
	/* files: configuration, state, /proc, sockets' names */
	"open", "openat", "stat", "lstat", "newfstatat", "statfs", "access", "faccessat",
	"faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "mkdir", "mkdirat", "rmdir",
	"unlink", "unlinkat", "rename", "renameat", "renameat2", "chmod", "fchmod", "fchmodat",
	"umask",
	/* sockets: our own, and the copies of clients' */
	"bind", "listen", "accept4", "connect", "sendmsg", "sendto", "recvmsg", "recvfrom",
	"getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown",
	/* other processes */
	"pidfd_open", "pidfd_getfd",
	/* memory and threads */
	"brk", "munmap", "mremap", "madvise", "futex", "rseq", "set_robust_list", "membarrier",
	"sched_getaffinity", "exit", "exit_group", "getrandom",
	/* signals */
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack",
	"restart_syscall",
	/* questions about ourselves */
	"getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid",
	"getresgid", "getgroups", "capget", "getrlimit", "getrusage", "sysinfo", "uname", NULL
};

/* Nothing of ismd's, nor of its libraries': whoever calls these is not ismd. */
static const char *const deadly[] = {
	/* programs, and other processes' memory */
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
	"perf_event_open", "userfaultfd", "personality", "modify_ldt",
	/* what we and others see of the system */
	"mount", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount",
	"fspick", "mount_setattr", "unshare", "setns", "mknod", "mknodat",
	/* the kernel and the machine */
	"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
	"swapon", "swapoff", "iopl", "ioperm", "acct", "quotactl", "settimeofday", "clock_settime",
	/* rights, and ways around a filter */
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset",
	"add_key", "request_key", "keyctl", "io_uring_setup", "io_uring_enter", "io_uring_register",
	NULL
};

static int add_names(scmp_filter_ctx ctx, const char *const *names, uint32_t action)
{
	for (; *names; names++) {
		int r, nr = seccomp_syscall_resolve_name(*names);

		if (nr == __NR_SCMP_ERROR)
			continue;
		r = seccomp_rule_add(ctx, action, nr, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One rule for each value of argument @arg (0 to 5) of @name. */
static int add_values(scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned arg,
                      const unsigned *values, size_t n)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr == __NR_SCMP_ERROR)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(ctx, action, nr, 1,
		                         SCMP_CMP32(arg, SCMP_CMP_EQ, values[i]));

		if (r < 0)
			return r;
	}
	return 0;
}

#define VALUES(name, arg, ...)                                                        \
	add_values(ctx, SCMP_ACT_ALLOW, name, arg, (const unsigned[]){ __VA_ARGS__ }, \
	           sizeof((const unsigned[]){ __VA_ARGS__ }) / sizeof(unsigned))

/* Allow @name where argument @arg has, of the bits in @mask, exactly @bits. */
static int add_bits(scmp_filter_ctx ctx, const char *name, unsigned arg, uint64_t mask,
                    uint64_t bits)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 1,
	                        SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, bits));
}

/* Maps are read and written. No program or map comes any more, nor another's, so what
 * is attached (to cgroups that clients are in) can only be our own two. */
static int add_bpf(scmp_filter_ctx ctx, bool with_proof)
{
	static const unsigned hostile[] = { BPF_PROG_LOAD, BPF_BTF_LOAD, BPF_PROG_ATTACH,
		                            BPF_RAW_TRACEPOINT_OPEN, BPF_LINK_CREATE };
	int r = add_values(ctx, SCMP_ACT_KILL_PROCESS, "bpf", 0, hostile,
	                   sizeof(hostile) / sizeof(hostile[0]) - with_proof);

	if (r < 0 || !with_proof)
		return r;
	/* A link is made, pinned and ended; pins are removed like files. A bpffs that we
	 * had to mount for them stays, empty, until "ismd --cleanup". */
	return VALUES("bpf", 0, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
	              BPF_MAP_GET_NEXT_KEY, BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_OBJ_GET_INFO_BY_FD,
	              BPF_LINK_CREATE, BPF_OBJ_PIN, BPF_LINK_DETACH);
}

/* Calls that are as good or bad as their arguments. */
static int add_conditional(scmp_filter_ctx ctx)
{
	int r;

	if ((r = VALUES("socket", 0, AF_UNIX)) < 0 ||
	    /* the last: whose is a network namespace? (ident.c) */
	    (r = VALUES("ioctl", 1, TCGETS, FIONREAD, FIONBIO, FIOCLEX, SIOCOUTQ, NS_GET_USERNS)) <
	            0 ||
	    (r = VALUES("prctl", 0, PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE)) < 0 ||
	    /* is it there? No signal to others; to ourselves for abort() */
	    (r = VALUES("kill", 1, 0)) < 0 || (r = VALUES("pidfd_send_signal", 1, 0)) < 0 ||
	    (r = VALUES("tgkill", 0, (unsigned)getpid())) < 0 ||
	    /* limits are read, not set */
	    (r = add_bits(ctx, "prlimit64", 2, UINT64_MAX, 0)) < 0 ||
	    /* no code but what is there */
	    (r = add_bits(ctx, "mmap", 2, PROT_EXEC, 0)) < 0 ||
	    (r = add_bits(ctx, "mprotect", 2, PROT_EXEC, 0)) < 0 ||
	    /* a thread, never a process */
	    (r = add_bits(ctx, "clone", 0, CLONE_THREAD, CLONE_THREAD)) < 0)
		return r;
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name("clone3"),
	                        0);
}

static int install_filter(bool with_proof)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!ctx)
		return -ENOMEM;
	/* What was refused is for the audit log, where the kernel has one. The tree
	 * keeps the filter at some ten comparisons for any call. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = add_names(ctx, allowed, SCMP_ACT_ALLOW);
	if (r == 0)
		r = add_names(ctx, deadly, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = add_bpf(ctx, with_proof);
	if (r == 0)
		r = add_conditional(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int privileges_drop(bool with_proof, char *why, size_t size)
{
	int r = drop_capabilities(with_proof, why, size);

	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(why, size, "no_new_privs cannot be set", -errno);
	if (SANITIZED)
		return 0;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return failed(why, size, "the process cannot be made undumpable", -errno);
	r = install_filter(with_proof);
	return r < 0 ? failed(why, size, "the system call filter cannot be installed", r) : 0;
}
