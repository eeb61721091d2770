/* SPDX-License-Identifier: Apache-2.0 */
/* Finding what belongs to a tool, installed or in the build folder. */
#ifndef OPENISM_TOOLS_TOOL_PATHS_H
#define OPENISM_TOOLS_TOOL_PATHS_H

#include <limits.h>

/*
 * The first of @places (NULL ends the list; relative ones start at the folder
 * of the running executable) that access(2) grants @mode for. @path gets its
 * canonical name. 0, or -ENOENT, or another -errno.
 */
int tool_find(const char *const *places, int mode, char path[PATH_MAX]);

/* The running executable's own name. 0 or -errno. */
int tool_self(char path[PATH_MAX]);

#endif
