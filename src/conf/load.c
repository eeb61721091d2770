/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file. A daemon of root believes what stands in it, so nobody else may have
 * been able to write it; and it must not hang on what is no file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/parse.h"

#define FILE_MAX (1u << 20)

/* Who may write the file? */
static int check_owner(const struct stat *st, struct complaints *out)
{
	unsigned mode = st->st_mode & 07777;

	if (st->st_uid != 0 && st->st_uid != geteuid())
		complain(out, 0, "belongs to user %u, expected root or the user of ismd",
		         st->st_uid);
	if (st->st_mode & S_IWOTH)
		complain(out, 0, "may be written by everybody (mode %04o), expected chmod o-w",
		         mode);
	if ((st->st_mode & S_IWGRP) && st->st_gid != 0)
		complain(out, 0, "may be written by group %u (mode %04o), expected chmod g-w",
		         st->st_gid, mode);
	return out->n || out->no_memory ? -EPERM : 0;
}

static int check_kind(const struct stat *st, struct complaints *out)
{
	if (!S_ISREG(st->st_mode)) {
		complain(out, 0, "%s, expected a regular file",
		         S_ISDIR(st->st_mode) ? "is a directory" : "is a pipe, device or socket");
		return -EINVAL;
	}
	if (st->st_size > FILE_MAX) {
		complain(out, 0, "%lld bytes are too large, expected at most %u",
		         (long long)st->st_size, FILE_MAX);
		return -EINVAL;
	}
	return check_owner(st, out);
}

/* Up to @max bytes. The number, or -errno. */
static ssize_t read_all(int fd, char *buf, size_t max)
{
	size_t have = 0;

	while (have < max) {
		ssize_t n = read(fd, buf + have, max - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static int parse_open(int fd, struct conf **conf, struct complaints *out)
{
	struct stat st;
	ssize_t len;
	char *text;
	int r;

	if (fstat(fd, &st) < 0) {
		r = -errno;
		complain(out, 0, "cannot be looked at: %s", strerror(-r));
		return r;
	}
	r = check_kind(&st, out);
	if (r < 0)
		return r;
	text = malloc(FILE_MAX);
	if (!text) {
		out->no_memory = true;
		return -ENOMEM;
	}
	len = read_all(fd, text, FILE_MAX);
	if (len < 0)
		complain(out, 0, "cannot be read: %s", strerror((int)-len));
	r = len < 0 ? (int)len : conf_parse_text(text, (size_t)len, conf, out);
	free(text);
	return r;
}

int conf_load(const char *path, struct conf **conf, FILE *complaints)
{
	struct complaints out = { .path = path };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0) {
		r = -errno;
		complain(&out, 0, "cannot be opened: %s", strerror(-r));
	} else {
		r = parse_open(fd, conf, &out);
		close(fd);
	}
	complaints_flush(&out, complaints);
	return r;
}
