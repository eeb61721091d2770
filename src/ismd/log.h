/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line per event, object first, with a time stamp. It goes to one
 * stdio stream or nowhere, and a client cannot flood it.
 */
#ifndef ISMD_LOG_H
#define ISMD_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Budget of one client's lines: a burst, refilled every second. */
struct log_budget {
	uint64_t second;
	unsigned lines;
	unsigned lost;
};

void log_to(FILE *f, bool debug); /* f NULL: nowhere */
bool log_is_on(void);
void log_event(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* May a line be written for this budget's owner? Says how many were lost. */
bool log_allowed(struct log_budget *b);

#endif
