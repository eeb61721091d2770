/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine must offer for the proof, and where its objects stay. */
#ifndef OPENISM_PROOF_ENV_H
#define OPENISM_PROOF_ENV_H

#include <stdbool.h>
#include <stddef.h>

/* One line for whoever must mend it. */
struct why {
	char *text;
	size_t size;
};

/* Writes the line and returns @err. */
int why_set(struct why *w, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The directory of the pins. */
struct pins {
	char path[128];
};

/* Capabilities, namespaces. 0 or -errno with @w set. */
int env_check(struct why *w);

/* A descriptor of the root of the cgroup2 hierarchy, or -errno with @w set. */
int env_cgroup_open(struct why *w);

bool env_name_is_good(const char *name);

/*
 * Make the directory for the pins of @name: /sys/fs/bpf/openism-NAME, or where that is
 * no bpffs, one that is mounted for it at /run/openism-bpf-NAME.
 */
int env_pins_make(const char *name, struct pins *pins, struct why *w);

/* Remove that directory, wherever it is, with all in it. Returns how many pins were
 * there, or -errno. Without CAP_SYS_ADMIN a mount of our own stays, empty. */
int env_pins_remove(const char *name);

#endif
