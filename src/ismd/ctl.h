/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to the tools; docs/tools-protocol.md describes them. */
#ifndef ISMD_CTL_H
#define ISMD_CTL_H

#include <stddef.h>

struct client;
struct ismd;
struct jsonout;

/* REQUEST: @text is @len bytes of anything. Sends a REPLY. */
void ctl_request(struct ismd *d, struct client *c, const char *text, size_t len);

/* The answer of one operation each (ctl_sockets.c, ctl_stats.c). */
void ctl_sockets(struct ismd *d, struct jsonout *j);
void ctl_stats(struct ismd *d, struct jsonout *j);

#endif
