/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's link to our executable is the one name that does not depend on
 * PATH, on argv[0] or on where the tree was unpacked.
 */
#define _GNU_SOURCE
#include "tools/tool_paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tool_self(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	return 0;
}

int tool_find(const char *const *places, int mode, char path[PATH_MAX])
{
	char self[PATH_MAX], name[PATH_MAX];
	int r = tool_self(self);
	char *slash;

	if (r < 0)
		return r;
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	for (; *places; places++) {
		int n = **places == '/' ? snprintf(name, sizeof(name), "%s", *places)
		                        : snprintf(name, sizeof(name), "%s/%s", self, *places);

		if (n < 0 || (size_t)n >= sizeof(name))
			continue;
		if (access(name, mode) == 0 && realpath(name, path))
			return 0;
	}
	return -ENOENT;
}
