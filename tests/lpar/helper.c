/* SPDX-License-Identifier: Apache-2.0 */
/* helper ADDRESS PORT: the program that is set-uid. Connects, by descriptor 100, says
 * so with one byte, and stays until its standard input ends or 10 s have gone by. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct pollfd p = { 0, POLLIN, 0 };
	int fd;

	if (argc != 3 || inet_pton(AF_INET, argv[1], &sa.sin_addr) != 1)
		return 2;
	sa.sin_port = htons((uint16_t)atoi(argv[2]));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || dup2(fd, 100) < 0)
		return 2;
	close(fd);
	if (write(1, "x", 1) != 1)
		return 2;
	poll(&p, 1, 10000);
	return 0;
}
