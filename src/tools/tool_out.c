/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/tool_out.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void tool_version(const char *tool)
{
	printf("%s utility, openism-%s\n", tool, OPENISM_VERSION);
}

int tool_finish(const char *tool, int status)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "%s: cannot write the output: %s\n", tool, strerror(errno ? errno : EIO));
	return status ? status : 1;
}
