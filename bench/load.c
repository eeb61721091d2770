/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On the wire: a struct load from the client, one byte back (both ends let openism
 * settle in between, so that a connection is measured on the path it will keep),
 * then the messages. A stream ends with a struct stream_report from the server.
 */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SETTLE_MS 2000
/* Between two looks at the clock a stream moves about this many bytes. */
#define CLOCK_BYTES (64u * 1024)
/* The sender goes on a little, so that the receiver's time ends under full load. */
#define STREAM_TAIL_NS 20000000u

struct stream_report {
	uint64_t total; /* messages received in all */
	uint64_t bytes; /* in the timed part */
	uint64_t ns;
	uint64_t wrong; /* messages whose number was not the next one */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void stamp(unsigned char *msg, uint32_t size, uint64_t number)
{
	memcpy(msg, &number, size < sizeof(number) ? size : sizeof(number));
}

static int is_stamped(const unsigned char *msg, uint32_t size, uint64_t number)
{
	return memcmp(msg, &number, size < sizeof(number) ? size : sizeof(number)) == 0;
}

static int pingpong_client(struct link *l, const struct load *load, unsigned char *msg,
                           struct load_result *res)
{
	uint64_t start = now_ns(), begin = start + load->warmup_ns, end = begin + load->run_ns;
	uint64_t last = start, now;
	int r;

	for (uint64_t number = 0; last < end; number++, last = now) {
		stamp(msg, load->size, number);
		r = link_write(l, msg, load->size);
		if (r < 0)
			return r;
		r = link_read(l, msg, load->size);
		if (r <= 0)
			return r ? r : -ECONNRESET;
		if (!is_stamped(msg, load->size, number))
			return -EBADMSG;
		now = now_ns();
		if (last < begin)
			continue;
		hist_add(&res->rtt, now - last);
		res->ns += now - last;
	}
	res->messages = res->rtt.count;
	res->bytes = res->messages * load->size;
	return 0;
}

static int pingpong_server(struct link *l, const struct load *load, unsigned char *msg)
{
	int r;

	while ((r = link_read(l, msg, load->size)) > 0) {
		r = link_write(l, msg, load->size);
		if (r < 0)
			break;
	}
	return r;
}

static int stream_client(struct link *l, const struct load *load, unsigned char *msg,
                         struct load_result *res)
{
	uint64_t end = now_ns() + load->warmup_ns + load->run_ns + STREAM_TAIL_NS;
	unsigned burst = load->size < CLOCK_BYTES ? CLOCK_BYTES / load->size : 1;
	struct stream_report rep;
	uint64_t number = 0;
	int r;

	while (now_ns() < end) {
		for (unsigned i = 0; i < burst; i++, number++) {
			stamp(msg, load->size, number);
			r = link_write(l, msg, load->size);
			if (r < 0)
				return r;
		}
	}
	link_finish(l);
	r = link_read(l, &rep, sizeof(rep));
	if (r <= 0)
		return r ? r : -ECONNRESET;
	if (rep.wrong || rep.total != number)
		return -EBADMSG;
	res->bytes = rep.bytes;
	res->messages = rep.bytes / load->size;
	res->ns = rep.ns;
	return 0;
}

static int stream_server(struct link *l, const struct load *load, unsigned char *msg)
{
	unsigned burst = load->size < CLOCK_BYTES ? CLOCK_BYTES / load->size : 1;
	uint64_t begin = now_ns() + load->warmup_ns, from = 0, counted = 0, now;
	struct stream_report rep = { 0 };
	int r;

	while ((r = link_read(l, msg, load->size)) > 0) {
		rep.wrong += !is_stamped(msg, load->size, rep.total);
		rep.total++;
		if (rep.ns || rep.total % burst)
			continue;
		now = now_ns();
		if (from && now >= from + load->run_ns) {
			rep.ns = now - from;
			rep.bytes = (rep.total - counted) * load->size;
		} else if (!from && now >= begin) {
			from = now;
			counted = rep.total;
		}
	}
	if (r < 0)
		return r;
	if (from && !rep.ns) { /* the stream ended early: take what there is */
		rep.ns = now_ns() - from;
		rep.bytes = (rep.total - counted) * load->size;
	}
	return link_write(l, &rep, sizeof(rep));
}

static unsigned char *new_message(uint32_t size)
{
	unsigned char *msg = malloc(size);

	if (msg)
		memset(msg, 0x5a, size);
	return msg;
}

int load_client(struct link *l, const struct load *load, struct load_result *res)
{
	unsigned char *msg = new_message(load->size);
	char ready;
	int r;

	memset(res, 0, sizeof(*res));
	hist_init(&res->rtt);
	if (!msg)
		return -ENOMEM;
	if (load->mode == LOAD_PINGPONG)
		link_no_delay(l);
	r = link_write(l, load, sizeof(*load));
	if (r == 0) {
		link_settle(l, SETTLE_MS);
		r = link_read(l, &ready, 1);
		r = r > 0 ? 0 : r ? r : -ECONNRESET;
	}
	if (r == 0 && load->mode == LOAD_PINGPONG) {
		r = pingpong_client(l, load, msg, res);
		link_finish(l);
	} else if (r == 0) {
		r = stream_client(l, load, msg, res);
	}
	free(msg);
	return r;
}

int load_server(struct link *l)
{
	struct load load;
	unsigned char *msg;
	int r = link_read(l, &load, sizeof(load));

	if (r <= 0)
		return r;
	if (load.mode > LOAD_STREAM || load.size == 0 || load.size > LOAD_MAX_SIZE)
		return -EPROTO;
	msg = new_message(load.size);
	if (!msg)
		return -ENOMEM;
	if (load.mode == LOAD_PINGPONG)
		link_no_delay(l);
	link_settle(l, SETTLE_MS);
	r = link_write(l, "!", 1);
	if (r == 0)
		r = load.mode == LOAD_PINGPONG ? pingpong_server(l, &load, msg)
		                               : stream_server(l, &load, msg);
	free(msg);
	return r;
}
