/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list; an unlinked element points to itself. */
#ifndef ISMD_LIST_H
#define ISMD_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define list_item(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* @next is looked up before the body, so the body may unlink @it. */
#define list_each(it, next_, head)                                            \
	for (struct list *it = (head)->next, *next_ = it->next; it != (head); \
	     it = next_, next_ = it->next)

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void list_del(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

#endif
