/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "proof/test_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int root_dir(char *dir, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	int err = -ENOENT;

	while (mounts && err && (m = getmntent(mounts)))
		if (strcmp(m->mnt_type, "cgroup2") == 0) {
			snprintf(dir, size, "%s", m->mnt_dir);
			err = 0;
		}
	if (mounts)
		endmntent(mounts);
	return err;
}

static int place(struct cgroup *c, const char *path)
{
	char root[64];
	int err = root_dir(root, sizeof(root));

	snprintf(c->path, sizeof(c->path), "%s", path);
	snprintf(c->dir, sizeof(c->dir), "%s%s", root, c->path);
	return err;
}

int cgroup_own(struct cgroup *c)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[400];
	int err = -ENOENT;

	while (f && err && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0)
			err = place(c, line + 3);
	}
	if (f)
		fclose(f);
	return err;
}

int cgroup_new(struct cgroup *c, const struct cgroup *parent, const char *name)
{
	char path[sizeof(c->path)];
	int err;

	snprintf(path, sizeof(path), "%.200s/%.64s", parent ? parent->path : "", name);
	err = place(c, path);
	if (err)
		return err;
	return mkdir(c->dir, 0755) ? -errno : 0;
}

int cgroup_enter(const struct cgroup *c)
{
	char path[sizeof(c->dir) + 16];
	int fd;
	int err;

	snprintf(path, sizeof(path), "%s/cgroup.procs", c->dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write(fd, "0", 1) == 1 ? 0 : -errno;
	close(fd);
	return err;
}

int cgroup_remove(const struct cgroup *c)
{
	return rmdir(c->dir) ? -errno : 0;
}
