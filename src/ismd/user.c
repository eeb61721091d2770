/* SPDX-License-Identifier: Apache-2.0 */
/* What the users of an LPAR hold, and the limits of that. */
#include <stdlib.h>

#include "ismd/ismd.h"
#include "ismd/lpar.h"

#define WORK_BURST_NS 50000000 /* without a break */

struct user *user_get(struct lpar *l, uid_t uid)
{
	struct user *u;

	list_each(it, next, &l->users)
	{
		u = list_item(it, struct user, link);
		if (u->uid == uid) {
			u->refs++;
			return u;
		}
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
	lpar_release(d, u->lpar);
	free(u);
}

bool user_take_claim(struct user *u)
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

uint64_t user_waits_until(struct user *u, uint64_t now_ns)
{
	u->work_ns += (int64_t)((now_ns - u->work_at_ns) / 2);
	u->work_at_ns = now_ns;
	if (u->work_ns > WORK_BURST_NS)
		u->work_ns = WORK_BURST_NS;
	return u->work_ns >= 0 ? 0 : now_ns + 2 * (uint64_t)-u->work_ns;
}

void user_worked(struct user *u, uint64_t ns)
{
	u->work_ns -= (int64_t)ns;
}

bool user_exceeds(uint64_t limit, uint64_t now, uint64_t more)
{
	return limit && (more > limit || now > limit - more);
}

void user_refused(struct user *u, const char *what)
{
	u->refused++;
	if (log_allowed(&u->log))
		log_event("LPAR %s, uid %u: refused, %s", u->lpar->name, (unsigned)u->uid, what);
}
