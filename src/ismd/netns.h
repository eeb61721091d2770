/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces that clients are in: where one of them has a powered
 * function, the SYN-option proof is on.
 */
#ifndef ISMD_NETNS_H
#define ISMD_NETNS_H

#include <stdint.h>

struct client;
struct ismd;

/* @c has an LPAR from now on, or another one; @c goes. */
void netns_join(struct ismd *d, struct client *c);
void netns_leave(struct ismd *d, struct client *c);

/* The power of some function has changed. */
void netns_power_changed(struct ismd *d);

#endif
