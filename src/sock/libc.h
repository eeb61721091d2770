/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions behind our hooks: the next definition of each name after ours,
 * libc's or that of another preloaded library. The only user of dlsym().
 */
#ifndef OPENISM_SOCK_LIBC_H
#define OPENISM_SOCK_LIBC_H

#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define LIBC_FUNCTIONS(X)                                                                        \
	X(int, socket, (int, int, int))                                                          \
	X(int, connect, (int, const struct sockaddr *, socklen_t))                               \
	X(int, listen, (int, int))                                                               \
	X(int, accept, (int, struct sockaddr *, socklen_t *))                                    \
	X(int, accept4, (int, struct sockaddr *, socklen_t *, int))                              \
	X(int, shutdown, (int, int))                                                             \
	X(int, close, (int))                                                                     \
	X(ssize_t, recv, (int, void *, size_t, int))                                             \
	X(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *))         \
	X(ssize_t, recvmsg, (int, struct msghdr *, int))                                         \
	X(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *))              \
	X(ssize_t, read, (int, void *, size_t))                                                  \
	X(ssize_t, readv, (int, const struct iovec *, int))                                      \
	X(ssize_t, preadv2, (int, const struct iovec *, int, off64_t, int))                      \
	X(ssize_t, send, (int, const void *, size_t, int))                                       \
	X(ssize_t, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t)) \
	X(ssize_t, sendmsg, (int, const struct msghdr *, int))                                   \
	X(int, sendmmsg, (int, struct mmsghdr *, unsigned, int))                                 \
	X(ssize_t, write, (int, const void *, size_t))                                           \
	X(ssize_t, writev, (int, const struct iovec *, int))                                     \
	X(ssize_t, pwritev2, (int, const struct iovec *, int, off64_t, int))                     \
	X(ssize_t, sendfile64, (int, int, off64_t *, size_t))                                    \
	X(ssize_t, splice, (int, off64_t *, int, off64_t *, size_t, unsigned))                   \
	X(int, dup, (int))                                                                       \
	X(int, dup2, (int, int))                                                                 \
	X(int, dup3, (int, int, int))                                                            \
	X(int, fcntl64, (int, int, ...))                                                         \
	X(int, ioctl, (int, unsigned long, ...))                                                 \
	X(int, getsockopt, (int, int, int, void *, socklen_t *))                                 \
	X(int, setsockopt, (int, int, int, const void *, socklen_t))                             \
	X(int, poll, (struct pollfd *, nfds_t, int))                                             \
	X(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))      \
	X(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *))                    \
	X(int, pselect,                                                                          \
	  (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))        \
	X(int, epoll_create, (int))                                                              \
	X(int, epoll_create1, (int))                                                             \
	X(int, epoll_ctl, (int, int, int, struct epoll_event *))                                 \
	X(int, epoll_wait, (int, struct epoll_event *, int, int))                                \
	X(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *))             \
	X(int, epoll_pwait2,                                                                     \
	  (int, struct epoll_event *, int, const struct timespec *, const sigset_t *))           \
	X(int, close_range, (unsigned, unsigned, int))                                           \
	X(void, closefrom, (int))                                                                \
	X(int, execve, (const char *, char *const[], char *const[]))                             \
	X(int, execvpe, (const char *, char *const[], char *const[]))                            \
	X(void, _exit, (int))                                                                    \
	X(int, fexecve, (int, char *const[], char *const[]))                                     \
	X(FILE *, fdopen, (int, const char *))                                                   \
	X(int, fclose, (FILE *))                                                                 \
	X(FILE *, freopen, (const char *, const char *, FILE *))                                 \
	X(int, vdprintf, (int, const char *, va_list))                                           \
	X(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t *, int, int))       \
	X(int, posix_spawn,                                                                      \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, \
	   char *const[], char *const[]))                                                        \
	X(int, posix_spawnp,                                                                     \
	  (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, \
	   char *const[], char *const[]))                                                        \
	X(int, system, (const char *))                                                           \
	X(FILE *, popen, (const char *, const char *))                                           \
	X(long, syscall, (long, ...))

struct libc_functions {
#define LIBC_MEMBER(ret, name, args) ret(*name) args;
	LIBC_FUNCTIONS(LIBC_MEMBER)
#undef LIBC_MEMBER
};

extern struct libc_functions libc_next;
extern _Atomic int libc_ready;

/* Look up everything. Called by the constructor, or by the first hook that runs
 * before it; harmless if several threads do it at once. */
void libc_init(void);

/* The next definition of @name: LIBC(send)(fd, buf, len, flags). */
#define LIBC(name)                                                                    \
	(*(__builtin_expect(__atomic_load_n((int *)&libc_ready, __ATOMIC_ACQUIRE), 1) \
	           ? (void)0                                                          \
	           : libc_init(),                                                     \
	   libc_next.name))

/* Marks a hook: the only symbols that the library exports. */
#define HOOK __attribute__((visibility("default")))

#endif
