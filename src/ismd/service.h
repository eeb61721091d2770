/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's state from start to end: set up, run, take down. */
#ifndef ISMD_SERVICE_H
#define ISMD_SERVICE_H

struct ismd;

/* Everything that needs no runtime directory. 0 or -errno. */
int service_init(struct ismd *d);

/* Begin to listen in d->dir, whose lock is ours. 0 or -errno. */
int service_listen(struct ismd *d);

/* Until SIGTERM, SIGINT or, with a grace time, nobody is there. */
void service_run(struct ismd *d);

/* Run what is due, once (service_run() does this; tests and fuzzers too). */
void service_work(struct ismd *d);

void service_deinit(struct ismd *d);

#endif
