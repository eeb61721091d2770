/* SPDX-License-Identifier: Apache-2.0 */
/* ismd: options, becoming the one daemon of the runtime directory, running. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "ismd/instance.h"
#include "ismd/ismd.h"
#include "ismd/lpar.h"
#include "ismd/privileges.h"
#include "ismd/service.h"

#define DEFAULT_CONF OPENISM_SYSCONFDIR "/ism/ism.conf"

#define OTHER_TRIES 500 /* of 10 ms, until a rival answers */

static struct ismd the_daemon;

/* Started from a program under smc_run, we would be our own client for ever. */
static void shed_preload(char **argv)
{
	const char *preload = getenv("LD_PRELOAD");

	if (!preload || !strstr(preload, "libsmc-preload"))
		return;
	unsetenv("LD_PRELOAD");
	execv("/proc/self/exe", argv);
}

static int refuse_dir(const char *dir, int r)
{
	if (r == -EPERM)
		fprintf(stderr, "ismd: %s: unsafe: it must belong to you and have mode %s\n", dir,
		        the_daemon.opt.system ? "0755" : "0700");
	else if (r == -ENOTDIR)
		fprintf(stderr, "ismd: %s: not a directory (a symbolic link is not followed)\n",
		        dir);
	else
		fprintf(stderr, "ismd: %s: %s\n", dir, strerror(-r));
	return 1;
}

/* Be the one daemon. -1: we are; else the exit status. */
static int become_the_one(struct ismd *d)
{
	pid_t holder = 0;
	int r;

	for (int i = 0; i < OTHER_TRIES; i++) {
		r = instance_lock(d->dir, d->opt.system ? 0755 : 0700, &d->lock_fd, &holder);
		if (r == INSTANCE_OURS)
			return -1;
		if (r < 0)
			return refuse_dir(d->dir, r);
		if (!d->opt.background)
			break;
		if (instance_answers(d->dir))
			return 0; /* somebody was faster: as good */
		usleep(10000);
	}
	fprintf(stderr, "ismd: already running (pid %d, socket %s/ismd.sock)\n", (int)holder,
	        d->dir);
	return 1;
}

/* In the background: the child goes on; the parent waits for its word. */
static int daemonise(void)
{
	unsigned char status = 1;
	int word[2];
	pid_t pid;

	if (pipe2(word, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		close(word[1]);
		waitpid(pid, NULL, 0);
		if (read(word[0], &status, 1) != 1)
			status = 1;
		_exit(status);
	}
	close(word[0]);
	setsid();
	pid = fork();
	if (pid != 0)
		_exit(pid < 0);
	return word[1];
}

/* Tell whoever waits, and let go of what was inherited. */
static void detach(int word, unsigned char status)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
	}
	if (chdir("/") < 0)
		status = 1;
	if (write(word, &status, 1) == 1)
		close(word);
}

static void open_log(struct ismd *d)
{
	char path[RUNDIR_PATH_MAX + 16];
	FILE *f = NULL;
	int fd;

	if (!d->opt.background) {
		log_to(stderr, d->opt.debug);
		return;
	}
	if (!d->opt.log)
		return;
	snprintf(path, sizeof(path), "%s/ismd.log", d->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		f = fdopen(fd, "a");
	log_to(f, d->opt.debug);
}

static void say_hello(struct ismd *d)
{
	const struct lpar *host = lpar_find(d, d->conf->host.name);

	log_event("ismd: %s, pid %d, socket %s/ismd.sock, function of the host is %s",
	          OPENISM_VERSION, (int)getpid(), d->dir, lpar_powered(host) ? "on" : "off");
	if (d->opt.system && d->conf_path[0])
		log_event("ismd: configuration %s", d->conf_path);
	if (d->opt.system && !d->proof)
		log_event("ismd: no proof between network namespaces: %s", d->proof_missing);
}

static int run(struct ismd *d, int word)
{
	char why[160];
	int r;

	open_log(d); /* first: what is wrong at the start is said there */
	r = service_listen(d);
	if (r < 0) {
		fprintf(stderr, "ismd: %s/ismd.sock: %s\n", d->dir, strerror(-r));
		instance_leave(d->dir, d->opt.system, d->lock_fd);
		return 1;
	}
	say_hello(d);
	if (d->opt.system) {
		r = privileges_drop(d->proof, why, sizeof(why));
		if (r < 0)
			log_event("ismd: privileges stay: %s", why);
		sd_notify(0, "READY=1");
	}
	if (word >= 0)
		detach(word, 0);
	service_run(d);
	if (d->opt.system)
		sd_notify(0, "STOPPING=1");
	service_deinit(d);
	instance_leave(d->dir, d->opt.system, d->lock_fd);
	return 0;
}

/* The configuration of the box. A missing one is fine, unless it was named. */
static int load_conf(struct ismd *d)
{
	const char *path = d->opt.conf_path ? d->opt.conf_path : DEFAULT_CONF;
	int r;

	if (!d->opt.conf_path && access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	r = conf_load(path, &d->conf, stderr);
	if (r == 0)
		d->conf_path = path;
	return r;
}

/* "ismd -n" */
static int check_conf(struct ismd *d)
{
	int r = load_conf(d);

	if (r < 0)
		return 1;
	if (!d->conf)
		printf("%s: not there; the defaults are in force\n", DEFAULT_CONF);
	else
		printf("%s: ok, %u LPARs beside the host, %u policies\n", d->conf_path,
		       d->conf->nlpars, d->conf->npolicies);
	conf_free(d->conf);
	return fflush(stdout) == 0 ? 0 : 1;
}

static int clean_up(struct ismd *d)
{
	int r = service_cleanup(d);

	if (r < 0)
		fprintf(stderr, "ismd: cannot clean up: %s\n", strerror(-r));
	else
		printf("ismd: %d objects removed from the kernel\n", r);
	return r < 0;
}

/* One of them for the box: what may it do, and with what? -1: go on. */
static int prepare_system(struct ismd *d)
{
	if (geteuid() != 0) {
		fprintf(stderr, "ismd: --system takes root\n");
		return 1;
	}
	if (load_conf(d) < 0)
		return 1;
	return -1;
}

int main(int argc, char **argv)
{
	struct ismd *d = &the_daemon;
	int r, word = -1;

	shed_preload(argv);
	options_default(&d->opt);
	r = options_parse(&d->opt, argc, argv);
	if (r >= 0)
		return r;
	umask(077);
	if (d->opt.check)
		return check_conf(d);
	r = d->opt.system || d->opt.cleanup ? rundir_system(d->dir) : rundir_path(d->dir);
	if (r < 0) {
		fprintf(stderr, "ismd: the path of the runtime directory is too long\n");
		return 1;
	}
	if (d->opt.cleanup)
		return clean_up(d);
	r = d->opt.system ? prepare_system(d) : -1;
	if (r >= 0)
		return r;
	if (d->opt.background) {
		close_range(3, ~0u, 0); /* a pipe of the starter's must not stay open */
		word = daemonise();
		if (word < 0) {
			fprintf(stderr, "ismd: cannot start: %s\n", strerror(-word));
			return 1;
		}
	}
	r = service_init(d);
	if (r < 0) {
		fprintf(stderr, "ismd: cannot start: %s\n", strerror(-r));
		return 1;
	}
	r = become_the_one(d);
	if (r < 0)
		return run(d, word);
	if (word >= 0)
		detach(word, (unsigned char)r);
	return r;
}
