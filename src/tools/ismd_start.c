/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon gets nothing of its caller but the environment: no descriptor (a
 * lock file of the caller's must not stay locked), no terminal, no LD_PRELOAD
 * (with our own library in it, it would be its own client). What it says on
 * stderr is caught, so that a failure is reported in one line.
 */
#define _GNU_SOURCE
#include "tools/ismd_start.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/ismd_conn.h"
#include "tools/tool_paths.h"

extern char **environ;

enum { START_LIMIT_MS = 3000 };

static int is_alive(void)
{
	int sock = ismd_connect(0);

	if (sock >= 0)
		close(sock);
	return sock == -ETIMEDOUT || sock >= 0 ? 0 : sock;
}

/* Our environment without LD_PRELOAD; the strings stay ours. */
static char **daemon_environment(void)
{
	size_t n = 0, used = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 1, sizeof(*env));
	for (size_t i = 0; env && i < n; i++)
		if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
			env[used++] = environ[i];
	return env;
}

static int spawn(const char *path, int err_fd, pid_t *pid)
{
	char *const argv[] = { (char *)"ismd", (char *)"--background", NULL };
	char **env = daemon_environment();
	posix_spawn_file_actions_t fa;
	int r;

	if (!env)
		return ENOMEM;
	posix_spawn_file_actions_init(&fa);
	r = posix_spawn_file_actions_adddup2(&fa, err_fd, 2);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDWR, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, 0, 1);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	if (r == 0)
		r = posix_spawn(pid, path, &fa, NULL, argv, env);
	posix_spawn_file_actions_destroy(&fa);
	free(env);
	return r;
}

/* The starter's exit status, -ECHILD (SIGCHLD is ignored), or -ETIMEDOUT. */
static int await_exit(pid_t pid)
{
	const struct timespec pause = { 0, 1000000 };
	struct timespec now, end;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += START_LIMIT_MS / 1000;
	for (;;) {
		pid_t r = waitpid(pid, &status, WNOHANG);

		if (r == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
		if (r < 0 && errno != EINTR)
			return -errno;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec ||
		    (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec))
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
}

/* The first line of what the starter said, without its own name in front. */
static void first_line(int fd, char *line, size_t size)
{
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	n = read(fd, line, size - 1);
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "ismd: ", 6) == 0)
		memmove(line, line + 6, strlen(line + 6) + 1);
}

static int run_starter(const char *path, char *why, size_t size)
{
	char said[160];
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = spawn(path, fds[1], &pid);
	close(fds[1]);
	if (r) {
		close(fds[0]);
		snprintf(why, size, "cannot start %s: %s", path, strerror(r));
		return -r;
	}
	r = await_exit(pid);
	first_line(fds[0], said, sizeof(said));
	close(fds[0]);
	if (r == 0)
		return 0;
	if (r == -ETIMEDOUT)
		snprintf(why, size, "ismd did not start within %d s", START_LIMIT_MS / 1000);
	else if (said[0])
		snprintf(why, size, "ismd did not start: %s", said);
	else
		snprintf(why, size, "ismd did not start (exit status %d)", r);
	return r < 0 ? r : -EIO;
}

int ismd_ensure(char *why, size_t size)
{
	static const char *const places[] = { "ismd", "../sbin/ismd", "../libexec/openism/ismd",
		                              "../bin/ismd", NULL };
	char path[PATH_MAX];
	int r = is_alive();

	if (r == 0)
		return 0;
	if (!ismd_is_absent(r)) {
		snprintf(why, size, "cannot connect to ismd: %s", strerror(-r));
		return r;
	}
	r = tool_find(places, X_OK, path);
	if (r < 0) {
		snprintf(why, size, "ismd is not installed beside this program");
		return r;
	}
	snprintf(why, size, "ismd did not start");
	r = run_starter(path, why, size);
	/* Somebody else may have started one at the same moment. */
	return is_alive() == 0 ? 0 : r < 0 ? r : -EIO;
}
