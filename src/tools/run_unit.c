/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a drop-in cannot say is left out: systemd has no "append to LD_PRELOAD", so
 * a unit that sets one of its own is told so. The file is made under another name
 * and renamed, so that systemd sees all of it or nothing. It is ours if its first
 * line says so; a file of that name without it is left alone.
 */
#define _GNU_SOURCE
#include "tools/run_unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rundir.h"

#define NAME "50-openism.conf"
#define MARK "# Written by smc_run --enable; smc_run --disable removes it.\n"
#define UNIT_MAX 256 /* systemd's own limit */
#define DIR_MAX 512
#define CONF_MAX 16384 /* of a unit's file; what is behind is not looked at */

extern char **environ;

/* Where systemd looks, the strongest first; the first is the one for changes. */
static const char *const system_dirs[] = {
	"/etc/systemd/system",           "/run/systemd/system",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/lib/systemd/system",           "/run/systemd/generator",
	"/run/systemd/generator.late",   NULL
};

static const char *test_dir(void)
{
	const char *dir = getenv("OPENISM_UNIT_DIR");

	return dir && dir[0] == '/' && strlen(dir) < DIR_MAX / 2 ? dir : NULL;
}

static const char *unit_dir(unsigned n)
{
	if (!test_dir())
		return system_dirs[n];
	return n == 0 ? test_dir() : NULL;
}

static int complain(const char *object, const char *what)
{
	fprintf(stderr, "smc_run: Error: %s: %s\n", object, what);
	return 1;
}

/* ------------------------------------------------------------------- names */

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), s = strlen(suffix);

	return n > s && !strcmp(name + n - s, suffix);
}

/* The full name of a service, or NULL after a complaint. */
static const char *service_name(const char *arg, char unit[UNIT_MAX])
{
	static const char *const others[] = { ".socket",    ".target", ".timer", ".mount",
		                              ".path",      ".slice",  ".scope", ".swap",
		                              ".automount", ".device" };
	size_t n = strspn(arg, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                       "0123456789:-_.\\@");

	if (!n || arg[n] || arg[0] == '.' || arg[0] == '-' || arg[0] == '@' ||
	    n + sizeof(".service") > UNIT_MAX) {
		complain(arg, "not the name of a unit");
		return NULL;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (has_suffix(arg, others[i])) {
			complain(arg, "only a service runs a program");
			return NULL;
		}
	}
	snprintf(unit, UNIT_MAX, "%s%s", arg, has_suffix(arg, ".service") ? "" : ".service");
	return unit;
}

/* "foo@bar.service" comes from "foo@.service"; false if it is no instance. */
static bool template_of(const char *unit, char name[UNIT_MAX])
{
	const char *at = strchr(unit, '@');

	if (!at || !strcmp(at, "@.service"))
		return false;
	snprintf(name, UNIT_MAX, "%.*s@.service", (int)(at - unit), unit);
	return true;
}

/* The file of exactly that unit. 0, -ENOENT, or -EACCES: it is masked. */
static int find_file(const char *unit, char path[DIR_MAX])
{
	char real[PATH_MAX];

	for (unsigned i = 0; unit_dir(i); i++) {
		snprintf(path, DIR_MAX, "%s/%s", unit_dir(i), unit);
		if (access(path, F_OK) == 0)
			return realpath(path, real) && !strcmp(real, "/dev/null") ? -EACCES : 0;
	}
	return -ENOENT;
}

static int find_unit(const char *unit, char path[DIR_MAX])
{
	char name[UNIT_MAX];
	int r = find_file(unit, path);

	if (r == -ENOENT && template_of(unit, name))
		r = find_file(name, path);
	return r;
}

static bool may_change(void)
{
	return test_dir() || geteuid() == 0;
}

/* ------------------------------------------------------------- the drop-in */

/* One assignment, quoted as systemd.syntax(7) and its specifiers want it. */
static void put_variable(FILE *f, const char *name, const char *value)
{
	fprintf(f, "Environment=\"%s=", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', f);
		else if (*value == '%')
			fputc('%', f);
		fputc(*value, f);
	}
	fputs("\"\n", f);
}

static void put_from_environment(FILE *f, const char *name)
{
	const char *value = getenv(name);

	if (value && *value && !strchr(value, '\n'))
		put_variable(f, name, value);
}

/* As smc_run does it: a blank in the path takes the search path's help. */
static void put_library(FILE *f, const char *library)
{
	const char *slash = strrchr(library, '/');
	char dir[PATH_MAX];

	if (!strchr(library, ' ') || !slash) {
		put_variable(f, "LD_PRELOAD", library);
		return;
	}
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - library), library);
	put_variable(f, "LD_LIBRARY_PATH", dir);
	put_variable(f, "LD_PRELOAD", slash + 1);
}

/* The text of the drop-in, the caller's to free; NULL without memory. */
static char *make_text(const char *library)
{
	const char *debug = getenv("SMC_DEBUG");
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputs(MARK "[Unit]\nWants=ismd.service\nAfter=ismd.service\n\n[Service]\n", f);
	put_library(f, library);
	if (debug && !strcmp(debug, "1"))
		put_variable(f, "SMC_DEBUG", debug);
	put_from_environment(f, "SMC_RCVBUF");
	put_from_environment(f, "SMC_SNDBUF");
	put_from_environment(f, "ISM_RUNTIME_DIR");
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* What is in @path, at most @size - 1 bytes, as a string. false: not there. */
static bool read_text(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	text[0] = 0;
	if (!f)
		return false;
	n = fread(text, 1, size - 1, f);
	text[n] = 0;
	fclose(f);
	return true;
}

static bool is_ours(const char *text)
{
	return !strncmp(text, MARK, sizeof(MARK) - 1);
}

/* 0 or -errno; @tmp is gone afterwards either way. */
static int fill(int fd, const char *tmp, const char *path, const char *text)
{
	size_t len = strlen(text);
	int r = 0;

	if (write(fd, text, len) != (ssize_t)len)
		r = errno ? -errno : -ENOSPC;
	else if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(tmp);
	return r;
}

static int write_file(const char *dir, const char *path, const char *text)
{
	char tmp[DIR_MAX + 32];
	int fd;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(tmp, sizeof(tmp), "%s/.openism.XXXXXX", dir);
	fd = mkostemp(tmp, O_CLOEXEC);
	return fd < 0 ? -errno : fill(fd, tmp, path, text);
}

/* ----------------------------------------------------------------- systemd */

static bool has_systemd(void)
{
	return !test_dir() && access("/run/systemd/system", F_OK) == 0;
}

/* systemd shall read its units again. It is told where it runs. */
static void reload(void)
{
	char *const argv[] = { (char *)"systemctl", (char *)"daemon-reload", NULL };
	pid_t pid;
	int status = 1, r;

	if (!has_systemd())
		return;
	r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (r == 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	if (r != 0 || status != 0)
		fputs("smc_run: Warning: \"systemctl daemon-reload\" failed; systemd does not know "
		      "the change yet\n",
		      stderr);
}

static void say_next(const char *unit)
{
	if (!has_systemd())
		puts("systemd does not run here; it will find this when it starts");
	else if (strstr(unit, "@.service"))
		puts("Next: restart the instances of this unit");
	else
		printf("Next: systemctl restart %s\n", unit);
}

/* ------------------------------------------------------------------- notes */

/* Walks over "NAME=value" lines; the value of the next one, or NULL. Continued
 * lines and comments need no care here: this serves for notes only. */
static const char *next_value(const char **text, const char *name, char value[256])
{
	size_t n = strlen(name);

	while (**text) {
		const char *line = *text;
		size_t len = strcspn(line, "\n");

		*text += len + (line[len] == '\n');
		if (len <= n || strncmp(line, name, n) != 0 || line[n] != '=')
			continue;
		snprintf(value, 256, "%.*s", (int)(len - n - 1), line + n + 1);
		return value;
	}
	return NULL;
}

static bool any_value(const char *text, const char *name, const char *part)
{
	char value[256];

	while (next_value(&text, name, value))
		if (strstr(value, part))
			return true;
	return false;
}

/* The last assignment counts. */
static bool is_switched_on(const char *text, const char *name)
{
	char value[256];
	bool on = false;

	while (next_value(&text, name, value))
		on = !strchr("n0f", tolower(value[0])) && strcasecmp(value, "off") != 0;
	return on;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

/* Lists add up; "~" before one turns it into what is forbidden. */
static bool forbids_unix(const char *text)
{
	bool restricted = false, named = false;
	char value[256];

	while (next_value(&text, "RestrictAddressFamilies", value)) {
		if (value[0] == '~') {
			if (strstr(value, "AF_UNIX"))
				return true;
			continue;
		}
		restricted = value[0];
		named = value[0] && (named || strstr(value, "AF_UNIX"));
	}
	return restricted && !named;
}

static void note_paths(const char *text, const char *library)
{
	bool home = is_switched_on(text, "ProtectHome") &&
	            (is_below(library, "/home") || is_below(library, "/root"));
	bool tmp = is_switched_on(text, "PrivateTmp") &&
	           (is_below(library, "/tmp") || is_below(library, "/var/tmp"));

	if (any_value(text, "RootDirectory", "/") || any_value(text, "RootImage", "/"))
		printf("Note: the unit has a root of its own; it has to find %s and %s there\n"
		       "      (BindReadOnlyPaths=)\n",
		       library, RUNDIR_SYSTEM);
	if (home || tmp)
		printf("Note: the unit cannot see %s (%s=); install the library elsewhere\n",
		       library, home ? "ProtectHome" : "PrivateTmp");
	if (any_value(text, "InaccessiblePaths", "/run") ||
	    any_value(text, "TemporaryFileSystem", "/run"))
		printf("Note: the unit hides /run; it has to see %s (BindReadOnlyPaths=)\n",
		       RUNDIR_SYSTEM);
}

/* What in the unit's own file stands between the service and ismd. */
static void give_notes(const char *file, const char *library)
{
	static char text[CONF_MAX];

	if (read_text(file, text, sizeof(text))) {
		note_paths(text, library);
		if (forbids_unix(text))
			puts("Note: RestrictAddressFamilies= of the unit lacks AF_UNIX, without "
			     "which it stays on TCP");
		if (any_value(text, "Environment", "LD_PRELOAD="))
			puts("Note: the unit sets LD_PRELOAD, which this replaces");
	}
	if (!test_dir() && !getenv("ISM_RUNTIME_DIR") &&
	    access(RUNDIR_SYSTEM "/ismd.sock", F_OK) < 0)
		puts("Note: the ismd of this box does not run: systemctl enable --now ismd");
}

/* ---------------------------------------------------------------- commands */

struct place {
	char unit[UNIT_MAX];
	char dir[DIR_MAX], path[DIR_MAX + 32];
	char old[CONF_MAX]; /* what the drop-in says; "" */
	bool exists;
};

/* 0, or the exit status after a complaint. */
static int find_place(const char *arg, struct place *p)
{
	if (!service_name(arg, p->unit))
		return 1;
	snprintf(p->dir, sizeof(p->dir), "%s/%s.d", unit_dir(0), p->unit);
	snprintf(p->path, sizeof(p->path), "%s/" NAME, p->dir);
	p->exists = read_text(p->path, p->old, sizeof(p->old));
	if (!may_change())
		return complain(p->unit, "changing a unit takes root");
	if (p->exists && !is_ours(p->old))
		return complain(p->path, "was not written by smc_run and stays as it is");
	return 0;
}

int run_unit_enable(const char *arg, const char *library)
{
	static struct place p;
	char file[DIR_MAX];
	char *text;
	int r = find_place(arg, &p);

	if (r)
		return r;
	if (strpbrk(library, ":;\n"))
		return complain(library, "cannot be preloaded from a folder of that name");
	r = find_unit(p.unit, file);
	if (r < 0)
		return complain(p.unit, r == -EACCES ? "is masked" : "there is no such unit");
	text = make_text(library);
	if (!text)
		return complain(p.unit, strerror(ENOMEM));
	if (p.exists && !strcmp(text, p.old)) {
		printf("%s: already enabled\n", p.unit);
	} else {
		r = write_file(p.dir, p.path, text);
		if (r == 0)
			printf("%s: enabled (%s)\n", p.unit, p.path);
	}
	free(text);
	if (r < 0)
		return complain(p.path, strerror(-r));
	reload();
	give_notes(file, library);
	say_next(p.unit);
	return 0;
}

int run_unit_disable(const char *arg)
{
	static struct place p;
	int r = find_place(arg, &p);

	if (r)
		return r;
	if (!p.exists) {
		printf("%s: not enabled\n", p.unit);
		return 0;
	}
	if (unlink(p.path) < 0)
		return complain(p.path, strerror(errno));
	rmdir(p.dir); /* unless there are others in it */
	printf("%s: disabled\n", p.unit);
	reload();
	say_next(p.unit);
	return 0;
}
