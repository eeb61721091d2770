/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tools/ismd_client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "base/rundir.h"
#include "fabric/wire.h"
#include "tools/ismd_conn.h"
#include "tools/ismd_start.h"
#include "tools/json_get.h"

enum { ANSWER_LIMIT_MS = 2000, ANSWER_MAX_BYTES = 256 << 20 };

static void *fail(struct ismd_error *err, enum ismd_fail kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void *fail(struct ismd_error *err, enum ismd_fail kind, const char *fmt, ...)
{
	va_list ap;

	err->kind = kind;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return NULL;
}

static void explain_connect(struct ismd_error *err, int r)
{
	char dir[RUNDIR_PATH_MAX];

	if (rundir_path(dir) < 0)
		snprintf(dir, sizeof(dir), "?");
	if (ismd_is_absent(r))
		fail(err, ISMD_ABSENT, "no ismd is running (runtime directory %s)", dir);
	else if (r == -ETIMEDOUT)
		fail(err, ISMD_SILENT, "ismd is busy and takes no connection");
	else if (r == -EPERM)
		fail(err, ISMD_FAILED, "%s is not a private directory of this user", dir);
	else
		fail(err, ISMD_FAILED, "cannot connect to ismd in %s: %s", dir, strerror(-r));
}

static int open_channel(unsigned flags, struct ismd_error *err)
{
	int sock = ismd_connect(ANSWER_LIMIT_MS);

	if (sock >= 0)
		return sock;
	if (ismd_is_absent(sock) && (flags & ISMD_START)) {
		char why[200];

		if (ismd_ensure(why, sizeof(why)) < 0) {
			fail(err, ISMD_FAILED, "%s", why);
			return -1;
		}
		sock = ismd_connect(ANSWER_LIMIT_MS);
		if (sock >= 0)
			return sock;
	}
	explain_connect(err, sock);
	return -1;
}

static int send_request(int sock, const char *request)
{
	struct fab_msg_head head = { FAB_WIRE_MAGIC, FAB_WIRE_VERSION, FAB_MSG_REQUEST };
	char packet[FAB_WIRE_MAX];
	size_t len = strlen(request);

	if (len > sizeof(packet) - sizeof(head))
		return -EMSGSIZE;
	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), request, len);
	return fdpass_send(sock, packet, sizeof(head) + len, NULL, 0);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
}

/* Wait for one packet. Its length, 0 when ismd hung up, or -errno. */
static ssize_t await_packet(int sock, void *buf, size_t size, int fds[FDPASS_MAX], unsigned *nfds)
{
	long end = now_ms() + ANSWER_LIMIT_MS;

	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		long left = end - now_ms();
		ssize_t n;

		if (left < 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		n = fdpass_recv(sock, buf, size, fds, nfds, NULL, MSG_DONTWAIT);
		if (n != -EAGAIN)
			return n;
	}
}

/* The reply's memfd (owned by the caller), or -1 with *err filled in. */
static int receive_reply(int sock, struct ismd_error *err)
{
	struct fab_msg_head head;
	int fds[FDPASS_MAX];
	unsigned nfds = 0;
	ssize_t n = await_packet(sock, &head, sizeof(head), fds, &nfds);

	if (n == (ssize_t)sizeof(head) && head.magic == FAB_WIRE_MAGIC &&
	    head.version == FAB_WIRE_VERSION && head.type == FAB_MSG_REPLY && nfds == 1)
		return fds[0];
	while (nfds)
		close(fds[--nfds]);
	if (n == -ETIMEDOUT)
		fail(err, ISMD_SILENT, "ismd does not answer (waited %d s)",
		     ANSWER_LIMIT_MS / 1000);
	else if (n == (ssize_t)sizeof(head) && head.magic == FAB_WIRE_MAGIC &&
	         head.version != FAB_WIRE_VERSION)
		fail(err, ISMD_VERSION, "ismd speaks version %u of the protocol, this tool %u",
		     head.version, FAB_WIRE_VERSION);
	else if (n == 0)
		fail(err, ISMD_VERSION, "ismd hung up: it went down, or it is of another version");
	else if (n < 0)
		fail(err, ISMD_FAILED, "no answer from ismd: %s", strerror((int)-n));
	else
		fail(err, ISMD_GARBLED, "ismd sent an answer that this tool cannot read");
	return -1;
}

static char *read_text(int fd, size_t *len)
{
	struct stat st;
	size_t have = 0;
	char *text;

	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > ANSWER_MAX_BYTES)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	while (text && have < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + have, (size_t)st.st_size - have, (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (text)
		text[have] = '\0';
	*len = have;
	return text;
}

static struct json_object *parse_answer(int fd, struct ismd_error *err)
{
	struct json_object *obj = NULL;
	size_t len = 0;
	char *text = read_text(fd, &len);

	if (text)
		obj = json_tokener_parse(text);
	free(text);
	if (obj && json_object_is_type(obj, json_type_object))
		return obj;
	json_object_put(obj);
	return fail(err, ISMD_GARBLED, "ismd's answer is not a JSON object");
}

struct json_object *ismd_ask(const char *request, unsigned flags, struct ismd_error *err)
{
	struct json_object *obj = NULL;
	int sock, fd, r;

	err->kind = ISMD_ANSWERED;
	err->text[0] = err->code[0] = '\0';
	sock = open_channel(flags, err);
	if (sock < 0)
		return NULL;
	r = send_request(sock, request);
	if (r < 0 && r != -EPIPE) {
		fail(err, ISMD_FAILED, "cannot ask ismd: %s", strerror(-r));
	} else {
		/* Also after EPIPE: a farewell may be waiting to be read. */
		fd = receive_reply(sock, err);
		if (fd >= 0) {
			obj = parse_answer(fd, err);
			close(fd);
		}
	}
	close(sock);
	return obj;
}

struct json_object *ismd_request(const char *op, const char *lpar)
{
	struct json_object *request = json_object_new_object();

	jadd_str(request, "op", op);
	if (lpar)
		jadd_str(request, "lpar", strcmp(lpar, ".") == 0 ? "" : lpar);
	return request;
}

struct json_object *ismd_do(struct json_object *request, unsigned flags, struct ismd_error *err)
{
	struct json_object *answer =
		ismd_ask(json_object_to_json_string_ext(
				 request, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
	                 flags, err);

	json_object_put(request);
	if (answer && jget_has(answer, "error")) {
		snprintf(err->code, sizeof(err->code), "%s", jget_str(answer, "code"));
		fail(err, ISMD_REFUSED, "%s", jget_str(answer, "error"));
		json_object_put(answer);
		return NULL;
	}
	return answer;
}

struct json_object *ismd_get(const char *op, const char *lpar, unsigned flags,
                             struct ismd_error *err)
{
	return ismd_do(ismd_request(op, lpar), flags, err);
}

bool ismd_refused_with(const struct ismd_error *err, const char *code)
{
	return err->kind == ISMD_REFUSED && strcmp(err->code, code) == 0;
}

const char *ismd_error_nl(const struct ismd_error *err)
{
	static const struct {
		const char *code, *text;
	} texts[] = {
		{ "perm", "Operation not permitted" },
		{ "noent", "Object not found" },
		{ "exists", "Object exists" },
		{ "nodev", "No such device" },
		{ "pnetid", "Invalid input data or parameter" },
		{ "eid", "Invalid input data or parameter" },
		{ "usage", "Invalid input data or parameter" },
		{ "full", "Input data out of range" },
		{ "op", "Operation not supported" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (ismd_refused_with(err, texts[i].code))
			return texts[i].text;
	return err->text;
}
