/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's state from start to end: set up, run, take down. */
#ifndef ISMD_SERVICE_H
#define ISMD_SERVICE_H

struct ismd;

/* Everything that needs no runtime directory; d->conf, if it is NULL, becomes the
 * default one. 0 or -errno. */
int service_init(struct ismd *d);

/* Begin to listen in d->dir, whose lock is ours, and load the SYN-option proof. 0 or
 * -errno. */
int service_listen(struct ismd *d);

/* SIGHUP: read the configuration again. Faults in it leave everything as it is. */
void service_reload(struct ismd *d);

/* Remove what a killed ismd of d->dir left in the kernel: how much, or -errno. */
int service_cleanup(const struct ismd *d);

/* Until SIGTERM, SIGINT or, with a grace time, nobody is there. */
void service_run(struct ismd *d);

/* Run what is due, once (service_run() does this; tests and fuzzers too). */
void service_work(struct ismd *d);

void service_deinit(struct ismd *d);

#endif
