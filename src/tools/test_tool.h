/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a tool against an ismd that is not one: a child process that answers
 * each operation with a text prepared by the test.
 */
#ifndef OPENISM_TOOLS_TEST_TOOL_H
#define OPENISM_TOOLS_TEST_TOOL_H

#include <stddef.h>

/* What the false ismd does instead of answering. */
enum fake_mood { FAKE_ANSWERS, FAKE_SILENT, FAKE_HANGS_UP, FAKE_OTHER_VERSION };

/* The last one that fits a request answers it. */
struct canned {
	const char *op, *answer; /* op NULL ends the list */
	const char *request;     /* NULL, or the request must be this text exactly */
};

/* An empty private runtime directory becomes $ISM_RUNTIME_DIR. */
void world_begin(void);
/* Stops the false ismd if there is one, and removes the directory. */
void world_end(void);
const char *world_dir(void);

/*
 * Start the false ismd. "@PORT" in an answer, and in the request that it is for,
 * becomes the local port of the connection of this host to the port @fake_peer_port,
 * 0 while there is none. "@MODE" becomes "TCP" and, @fake_mode_late_ms after the
 * first time that it was asked for, "SMCD".
 */
void fake_start(const struct canned *answers, enum fake_mood mood);
extern unsigned fake_peer_port;
extern long fake_mode_late_ms;

struct outcome {
	int status; /* exit status, 128 + signal where it was killed */
	char *out, *err;
};

/* Run the tool of that name (built beside this test) with the arguments up to
 * NULL, wait, keep what it said until the next run. */
const struct outcome *run_tool(const char *name, ...) __attribute__((sentinel));
/* The same for any program, by its path. */
const struct outcome *run_program(const char *path, char *const argv[]);

/* The path of what is built beside this test. */
const char *beside(const char *name);

#endif
