/* SPDX-License-Identifier: Apache-2.0 */
/* What the users of an LPAR hold, and the limits of that. */
#include <stdlib.h>

#include "ismd/ismd.h"
#include "ismd/lpar.h"

#define WORK_BURST_NS 50000000 /* without a break */

static struct user *find(struct lpar *l, uid_t uid)
{
	list_each(it, next, &l->users)
	{
		struct user *u = list_item(it, struct user, link);

		if (u->uid == uid)
			return u;
	}
	return NULL;
}

struct user *user_get(struct ismd *d, struct lpar *l, uid_t uid)
{
	struct user *u = find(l, uid);

	if (u) {
		u->refs++;
		return u;
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->lpar = l;
	u->uid = uid;
	u->refs = 1;
	u->claims = (double)l->quota.claims_per_s;
	u->claims_ns = u->work_at_ns = loop_now_ns();
	u->work_ns = WORK_BURST_NS;
	if (l->automatic && uid != 0 && l != d->pool) {
		u->pool = user_get(d, d->pool, uid);
		if (!u->pool) {
			free(u);
			return NULL;
		}
	}
	lpar_hold(l);
	list_add_tail(&l->users, &u->link);
	return u;
}

void user_hold(struct user *u)
{
	u->refs++;
}

void user_put(struct ismd *d, struct user *u)
{
	if (!u || --u->refs)
		return;
	list_del(&u->link);
	user_put(d, u->pool);
	lpar_release(d, u->lpar);
	free(u);
}

static bool take_claim(struct user *u)
{
	double rate = (double)u->lpar->quota.claims_per_s;
	uint64_t now = loop_now_ns();

	if (rate <= 0)
		return true;
	u->claims += rate * (double)(now - u->claims_ns) / 1e9;
	u->claims_ns = now;
	if (u->claims > rate) /* a second's worth may come at once */
		u->claims = rate;
	if (u->claims < 1)
		return false;
	u->claims -= 1;
	return true;
}

bool user_take_claim(struct user *u)
{
	return take_claim(u) && (!u->pool || take_claim(u->pool));
}

static uint64_t waits_until(struct user *u, uint64_t now_ns)
{
	u->work_ns += (int64_t)((now_ns - u->work_at_ns) / 2);
	u->work_at_ns = now_ns;
	if (u->work_ns > WORK_BURST_NS)
		u->work_ns = WORK_BURST_NS;
	return u->work_ns >= 0 ? 0 : now_ns + 2 * (uint64_t)-u->work_ns;
}

uint64_t user_waits_until(struct user *u, uint64_t now_ns)
{
	uint64_t own = waits_until(u, now_ns), pool = u->pool ? waits_until(u->pool, now_ns) : 0;

	return own > pool ? own : pool;
}

void user_worked(struct user *u, uint64_t ns)
{
	u->work_ns -= (int64_t)ns;
	if (u->pool)
		u->pool->work_ns -= (int64_t)ns;
}

static bool fits(uint64_t limit, uint64_t now, uint64_t more)
{
	return !limit || !more || (more <= limit && now <= limit - more);
}

bool user_may(const struct user *u, uint64_t processes, uint64_t segments, uint64_t bytes)
{
	const struct conf_quota *q = &u->lpar->quota;

	return fits(q->processes, u->processes, processes) &&
	       fits(q->segments, u->segments, segments) && fits(q->bytes, u->bytes, bytes) &&
	       (!u->pool || user_may(u->pool, processes, segments, bytes));
}

void user_charge(struct user *u, int64_t processes, int64_t segments, int64_t bytes)
{
	u->processes += (uint64_t)processes;
	u->segments += (uint64_t)segments;
	u->bytes += (uint64_t)bytes;
	if (u->pool)
		user_charge(u->pool, processes, segments, bytes);
}

void user_refused(struct user *u, const char *what)
{
	u->refused++;
	if (log_allowed(&u->log))
		log_event("LPAR %s, uid %u: refused, %s", u->lpar->name, (unsigned)u->uid, what);
}
