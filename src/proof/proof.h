/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SYN-option proof (ARCHITECTURE.md, "Proofs"): a BPF sockops program puts an
 * experimental TCP option with a random nonce on the SYN and the SYN-ACK of marked
 * sockets, and records at each end the nonce that was sent and the one that came.
 * Two sockets whose records agree are the two ends of one connection. They agree if
 * both have PROOF_F_LOCAL and PROOF_F_PEER, one and only one is the client's, and each
 * one's local is the other's peer. Less is no proof: a server that says LOCAL may have
 * sent nothing (power came late, the SYN-ACK had no room), but then its client says
 * PLAIN. PLAIN also comes of SYN cookies, TCP Fast Open with data, a socket connected
 * to itself, and whatever on the way strips options or ends the connection.
 *
 * Visible to programs: a marked listener has TCP_SAVE_SYN on, so TCP_SAVED_SYN answers
 * on what it accepts.
 *
 * One owner, one thread (ismd's). All int functions: 0 or -errno.
 */
#ifndef OPENISM_PROOF_PROOF_H
#define OPENISM_PROOF_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proof;

#define PROOF_F_LOCAL 0x1u /* our nonce was sent: local is valid */
#define PROOF_F_PEER 0x2u  /* the peer's nonce came: peer is valid */
#define PROOF_F_PLAIN 0x4u /* the handshake is over and the peer sent no nonce */

struct proof_record {
	uint64_t local;
	uint64_t peer;
	uint32_t flags; /* PROOF_F_* */
	bool is_client; /* local went with the SYN */
};

/*
 * Load, or adopt what an earlier ismd of the same @name left behind (marks and records
 * of running sockets stay valid; clients and powered namespaces are forgotten and have
 * to be told again). @name: letters, digits, - and _. On failure @why says in one line
 * what is missing and what to do. This takes CAP_NET_ADMIN and CAP_BPF; for all below,
 * CAP_BPF is enough.
 */
int proof_open(struct proof **out, const char *name, char *why, size_t size);

/* Detach and remove everything; @p is gone. */
void proof_close(struct proof *p);

/* Remove what an ismd of that @name left behind, if anything; no ismd of that name may
 * run. Returns how many objects were removed, or -errno. */
int proof_cleanup(const char *name);

/*
 * Process @tgid (initial pid namespace) is a client: the TCP sockets that it makes from
 * now on, while in @cgroup or below, are marked. Counted: as many dels as adds end it.
 *
 * @cgroup: its cgroup v2 path as /proc/PID/cgroup shows it, "" as good as "/". The
 * programs are attached there and stay as long as one of the clients, and some seconds
 * more. One that has moved is asked for in the cgroup of the latest add. Errors: -ENOENT
 * (the cgroup is gone), -ENOSPC (too many cgroups), -E2BIG (too many clients), or what
 * the kernel says; it is no client then.
 *
 * Of sockets that outlive the last client of their cgroup: an established one does not
 * notice; a listener answers without the option, and what it accepts says PLAIN once the
 * programs are back, if they ever are.
 */
int proof_client_add(struct proof *p, pid_t tgid, const char *cgroup);
void proof_client_del(struct proof *p, pid_t tgid);

/* When proof_tick() has something to do (CLOCK_MONOTONIC), UINT64_MAX: never. */
uint64_t proof_due_ns(const struct proof *p);

/* Detach where nobody was for some seconds. Call it any time after proof_due_ns(). */
void proof_tick(struct proof *p, uint64_t now_ns);

/* Is there a powered function in the network namespace with this cookie? Only then
 * are options sent and answered there. */
int proof_netns_power(struct proof *p, uint64_t netns_cookie, bool on);

/*
 * What is recorded for TCP socket @fd (a descriptor of ours). -ENOENT: nothing, as it is
 * not marked or not yet connected. Of use only for a socket that is established now: the
 * record stays when a connection ends, until the socket's next connect(). One system call.
 */
int proof_read(struct proof *p, int fd, struct proof_record *out);

#endif
