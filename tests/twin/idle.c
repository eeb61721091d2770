/* SPDX-License-Identifier: Apache-2.0 */
/* Not a twin test by itself: idle N, for idle.sh. Two processes with N settled
 * connections between them, one sleeping in epoll_wait, the other in recv, until
 * standard input ends. Prints the pid of the second when all is quiet. */
#include "twin.h"

#include <sys/epoll.h>

static struct sockaddr_storage srv_sa;
static socklen_t srv_len;
static int count = 8;

static void sleep_in_recv(void *arg)
{
	int fd = -1;

	for (int i = 0; i < count; i++) {
		fd = twin_connect(FAM_4, &srv_sa, srv_len);
		twin_settle(fd);
		put_pat(fd, 1, 0, 1000, 0);
		get_pat(fd, 2, 0, 1000, 0);
	}
	get_pat(fd, 3, 0, 10, 0);
}

CASE_T(idle, 60)
{
	int l = twin_listen(FAM_4, &srv_sa, &srv_len), ep = epoll_create1(0), s = -1;
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = 0 };
	pid_t pid = twin_fork(sleep_in_recv, NULL);

	for (int i = 0; i < count; i++) {
		s = accept(l, NULL, NULL);
		twin_settle(s);
		get_pat(s, 1, 0, 1000, 0);
		put_pat(s, 2, 0, 1000, 0);
		PROVE_SMC(s, 1000, 1000);
		ev.events = EPOLLIN;
		ev.data.fd = s;
		REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, s, &ev) == 0);
	}
	ev.events = EPOLLIN;
	ev.data.fd = 0;
	REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, 0, &ev) == 0);
	printf("quiet %d %d\n", (int)getpid(), (int)pid);
	fflush(stdout);
	EXPECT_EQ(epoll_wait(ep, &ev, 1, -1), 1);
	EXPECT_EQ(ev.data.fd, 0); /* standard input has ended */
	put_pat(s, 3, 0, 10, 0);
	twin_wait(pid);
	_exit(0); /* with descriptors open */
}
