/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks: becoming or starting another program. A connection whose descriptor the
 * other program inherits goes back to TCP first: that program may be static, or
 * may use the socket in ways we do not see. (The library of a program that is
 * ours follows only connections it makes or accepts itself.)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "fabric/reason.h"
#include "sock/libc.h"
#include "sock/sock.h"

#define MAX_ARGS 4096

HOOK int execve(const char *path, char *const argv[], char *const envp[])
{
	int r;

	sock_before_exec();
	sock_leaving(true, false);
	r = LIBC(execve)(path, argv, envp);
	sock_leaving(true, true);
	return r;
}

HOOK int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

HOOK int execvpe(const char *file, char *const argv[], char *const envp[])
{
	int r;

	sock_before_exec();
	sock_leaving(true, false);
	r = LIBC(execvpe)(file, argv, envp);
	sock_leaving(true, true);
	return r;
}

HOOK int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

HOOK int fexecve(int fd, char *const argv[], char *const envp[])
{
	int r;

	sock_before_exec();
	sock_leaving(true, false);
	r = LIBC(fexecve)(fd, argv, envp);
	sock_leaving(true, true);
	return r;
}

/* A forked child that ends: what it inherited is not its own to close. */
HOOK void _exit(int status)
{
	sock_leaving(false, false);
	LIBC(_exit)(status);
	__builtin_unreachable();
}

HOOK void _Exit(int status)
{
	_exit(status);
}

/* The arguments of an execl*() as an array; @envp: one more follows the NULL. */
static int collect(char **argv, const char *arg, va_list ap, char *const **envp)
{
	size_t n = 0;

	argv[n++] = (char *)arg;
	while (argv[n - 1]) {
		if (n == MAX_ARGS) {
			errno = E2BIG;
			return -1;
		}
		argv[n++] = va_arg(ap, char *);
	}
	if (envp)
		*envp = va_arg(ap, char *const *);
	return 0;
}

HOOK int execl(const char *path, const char *arg, ...)
{
	char *argv[MAX_ARGS];
	va_list ap;
	int r;

	va_start(ap, arg);
	r = collect(argv, arg, ap, NULL);
	va_end(ap);
	return r < 0 ? r : execve(path, argv, environ);
}

HOOK int execlp(const char *file, const char *arg, ...)
{
	char *argv[MAX_ARGS];
	va_list ap;
	int r;

	va_start(ap, arg);
	r = collect(argv, arg, ap, NULL);
	va_end(ap);
	return r < 0 ? r : execvpe(file, argv, environ);
}

HOOK int execle(const char *path, const char *arg, ...)
{
	char *argv[MAX_ARGS];
	char *const *envp;
	va_list ap;
	int r;

	va_start(ap, arg);
	r = collect(argv, arg, ap, &envp);
	va_end(ap);
	return r < 0 ? r : execve(path, argv, envp);
}

HOOK int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *fa,
                     const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	sock_before_exec();
	return LIBC(posix_spawn)(pid, path, fa, attr, argv, envp);
}

HOOK int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *fa,
                      const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	sock_before_exec();
	return LIBC(posix_spawnp)(pid, file, fa, attr, argv, envp);
}

/* The copy is made in libc's child, where no hook runs: the parent gives the
 * connection up as soon as it is named. */
HOOK int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *fa, int fd, int as)
{
	struct sock *s = sock_get(fd);

	if (s)
		sock_return(s, FAB_REASON_OI_EXEC);
	return LIBC(posix_spawn_file_actions_adddup2)(fa, fd, as);
}

HOOK int system(const char *cmd)
{
	sock_before_exec();
	return LIBC(system)(cmd);
}

HOOK FILE *popen(const char *cmd, const char *mode)
{
	sock_before_exec();
	return LIBC(popen)(cmd, mode);
}
