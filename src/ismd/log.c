/* SPDX-License-Identifier: Apache-2.0 */
/* Lossy on purpose: a log that cannot be written is dropped, never waited for
 * longer than stdio's own write takes. */
#include "ismd/log.h"

#include <stdarg.h>
#include <time.h>

#define LINES_PER_SECOND 200
#define ALL_LINES_PER_SECOND 2000

static FILE *log_file;
static bool log_debugging;

void log_to(FILE *f, bool debug)
{
	log_file = f;
	log_debugging = debug;
}

bool log_is_on(void)
{
	return log_file != NULL;
}

/* All clients together cannot flood it either. */
static bool has_room(time_t second)
{
	static time_t now;
	static unsigned lines, lost;

	if (second != now) {
		if (lost)
			fprintf(log_file, "log: %u lines were dropped\n", lost);
		now = second;
		lines = lost = 0;
	}
	if (lines >= ALL_LINES_PER_SECOND) {
		lost++;
		return false;
	}
	lines++;
	return true;
}

static void put_line(const char *fmt, va_list ap)
{
	struct timespec ts;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	if (!log_debugging && !has_room(ts.tv_sec))
		return;
	localtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	fprintf(log_file, "%s.%03ld ", when, ts.tv_nsec / 1000000);
	vfprintf(log_file, fmt, ap);
	fputc('\n', log_file);
	fflush(log_file);
}

void log_event(const char *fmt, ...)
{
	va_list ap;

	if (!log_file)
		return;
	va_start(ap, fmt);
	put_line(fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!log_file || !log_debugging)
		return;
	va_start(ap, fmt);
	put_line(fmt, ap);
	va_end(ap);
}

bool log_allowed(struct log_budget *b)
{
	struct timespec ts;

	if (!log_file)
		return false;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	if ((uint64_t)ts.tv_sec != b->second) {
		if (b->lost)
			log_event("log: %u lines of one client were dropped", b->lost);
		b->second = (uint64_t)ts.tv_sec;
		b->lines = b->lost = 0;
	}
	if (b->lines >= LINES_PER_SECOND) {
		b->lost++;
		return false;
	}
	b->lines++;
	return true;
}
