/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the ism layer: the control channel's state. */
#ifndef OPENISM_ISM_CLIENT_H
#define OPENISM_ISM_CLIENT_H

#include <pthread.h>

#include "fabric/wire.h"
#include "ism/ism.h"

struct ism_client {
	pthread_mutex_t lock;
	privfd_t ctl;                    /* control channel, -1 = none */
	bool hello_sent;                 /* WELCOME is under way */
	bool refused;                    /* ismd does not want us: plain TCP from now on */
	_Atomic bool of_box;             /* that of the box: not the user's own */
	bool inherited;                  /* ctl is the parent's: a child must say HELLO_CHILD */
	uint64_t retry_ns;               /* do not look for an ismd before this time */
	struct ism_table *_Atomic table; /* NULL = not registered */
	uint32_t family_id;              /* table of the family the channel belongs to, 0 = none */
};

extern struct ism_client ism_client;

/* Take in what ismd has sent. Call with the lock held. */
void client_drain(void);

/* Register with ismd, if one is there and it was not tried just now. Lock held. */
void client_register(void);

/* Is it as long as it is said to be, and can nobody make it shorter? */
bool client_memfd_ok(int memfd, uint64_t bytes);

/* Send a message; drops the channel when ismd is gone. Lock held. 0 or -errno. */
int client_send(const void *msg, unsigned len, const int *fds, unsigned nfds);

/* A SEGMENT message arrived; takes the descriptors. Lock held. */
void segment_arrived(const struct fab_msg_segment *m, int memfd, int vector, int own_vector);

/* The ismd behind the channel is gone: what another one says is not about its link
 * groups. Lock held. */
void segments_of_the_past(void);

/* A FORGET arrived. Lock held. */
void segment_forget(uint32_t lgr_id);

/* One more vector to sleep on; takes it over. Its place, or -1: no room. Lock held. */
int vector_add(int vector);
/* Not any more. Lock held. */
void vector_drop(int place);

/* A WELCOME arrived; takes the descriptors. Lock held. */
void table_arrived(const struct fab_msg_welcome *m, int memfd, int bell, int vector);

#endif
