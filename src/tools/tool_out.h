/* SPDX-License-Identifier: Apache-2.0 */
/* What every tool's output has in common. */
#ifndef OPENISM_TOOLS_TOOL_OUT_H
#define OPENISM_TOOLS_TOOL_OUT_H

/* The version line, on stdout. */
void tool_version(const char *tool);

/* Flush stdout. @status, or 1 with a message if the output got lost (a full
 * disk must not look like an empty list). */
int tool_finish(const char *tool, int status);

#endif
