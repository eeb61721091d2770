/* SPDX-License-Identifier: Apache-2.0 */
/* A false library for the live test: speaks the wire protocol step by step. */
#ifndef ISMD_TEST_CLIENT_H
#define ISMD_TEST_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fdpass.h"
#include "fabric/layout.h"
#include "fabric/wire.h"

struct json_object;

struct tc {
	int ctl;
	int bell, vector;
	struct fab_msg_welcome welcome;
	struct fab_table *head;
	struct fab_row *rows;
};

struct tc_segment {
	struct fab_msg_segment msg;
	struct fab_segment *map;
	int memfd, vector;
};

/* The daemon under test: in its own runtime directory. */
struct tc_daemon {
	char dir[64];
	pid_t pid;
};

void tc_daemon_start(struct tc_daemon *d, const char *const *args);
int tc_daemon_stop(struct tc_daemon *d); /* SIGTERM; its exit status */
bool tc_answers(void);
int tc_run_ismd(const char *const *args); /* exit status */

int tc_connect(void);        /* a fresh channel, or -1 */
bool tc_hello(struct tc *c); /* connect, HELLO, WELCOME */
bool tc_hello_child(struct tc *c, const struct tc *parent);
struct fab_msg_hello tc_hello_message(void);
bool tc_welcome(struct tc *c); /* take it from c->ctl, on which HELLO was said */
void tc_close(struct tc *c);

/* Row @row is @fd in this process. */
void tc_claim(struct tc *c, uint32_t row, int fd, uint32_t role);
void tc_claim_as(struct tc *c, uint32_t row, pid_t pid, int fd, uint32_t role);
void tc_dirty(struct tc *c, uint32_t row);
void tc_close_row(struct tc *c, uint32_t row);

/* Wait for the state (2 s). */
bool tc_state(const struct tc *c, uint32_t row, uint32_t state);
/* It stays so for a while. */
bool tc_stays(const struct tc *c, uint32_t row, uint32_t state);

/* Next message of @type within 2 s; its length or -1. */
ssize_t tc_receive(int ctl, void *buf, size_t size, int fds[FDPASS_MAX], unsigned *nfds);
bool tc_segment(struct tc *c, struct tc_segment *s);
struct fab_dmb *tc_dmb(const struct tc_segment *s, unsigned slot, unsigned side);

/* A tool's request; the caller puts the answer. */
struct json_object *tc_request(const char *text);
long tc_num(struct json_object *o, const char *key);

/* A connected pair over loopback TCP. */
int tc_listen(uint16_t *port);
int tc_dial(uint16_t port);
void tc_pair(int *client, int *server);

#endif
