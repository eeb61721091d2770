/* SPDX-License-Identifier: Apache-2.0 */
/* A counted pattern through the bench's own ring, in pieces of random size. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "ring.h"

#define TOTAL (8u * 1024 * 1024)
#define PIECE (48u * 1024)

static struct ring ring;

static unsigned char byte_at(uint64_t pos)
{
	return (unsigned char)(pos * 31 + (pos >> 13));
}

static void *producer(void *arg)
{
	static unsigned char buf[PIECE];
	unsigned seed = 1;
	uint64_t pos = 0;

	(void)arg;
	while (pos < TOTAL) {
		size_t len = (size_t)rand_r(&seed) % PIECE + 1;

		if (len > TOTAL - pos)
			len = TOTAL - pos;
		for (size_t i = 0; i < len; i++)
			buf[i] = byte_at(pos + i);
		for (size_t done = 0; done < len;)
			done += ring_write(&ring, buf + done, len - done);
		pos += len;
	}
	ring_close(&ring);
	return NULL;
}

int main(void)
{
	static unsigned char buf[PIECE];
	unsigned seed = 2;
	uint64_t pos = 0;
	pthread_t thread;
	size_t n;

	if (pthread_create(&thread, NULL, producer, NULL))
		return 1;
	while ((n = ring_read(&ring, buf, (size_t)rand_r(&seed) % PIECE + 1)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (buf[i] != byte_at(pos + i)) {
				printf("wrong byte at %llu\n", (unsigned long long)(pos + i));
				return 1;
			}
		}
		pos += n;
	}
	pthread_join(thread, NULL);
	printf("%llu bytes\n", (unsigned long long)pos);
	return pos != TOTAL;
}
