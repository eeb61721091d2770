/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that is cancelled in a call of ours is unwound through our frames, for which
 * the compiler refers to two functions of libgcc_s. That library is there whenever
 * somebody unwinds (pthread_cancel() loads it), and on small systems it is there for
 * nothing else, so it is not linked but asked for at that moment, as libc does it. A copy
 * of our own would not do: both ends of an unwinding must be of one library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

/* As the processor's ABI for exceptions has them, under names that only we see. */
#define NAMED(name) __asm__(name) __attribute__((visibility("hidden")))

void unwind_resume(void *exception) NAMED("_Unwind_Resume");
int unwind_personality(int version, int actions, uint64_t class, void *exception, void *context)
	NAMED("__gcc_personality_v0");

static void *from_libgcc(const char *name)
{
	void *lib = dlopen("libgcc_s.so.1", RTLD_NOW);
	void *fn = lib ? dlsym(lib, name) : NULL;

	if (!fn)
		abort(); /* whoever unwinds has come from there */
	return fn;
}

void unwind_resume(void *exception)
{
	void (*resume)(void *) = (void (*)(void *))from_libgcc("_Unwind_Resume");

	resume(exception);
	abort();
}

int unwind_personality(int version, int actions, uint64_t class, void *exception, void *context)
{
	int (*personality)(int, int, uint64_t, void *, void *) =
		(int (*)(int, int, uint64_t, void *, void *))from_libgcc("__gcc_personality_v0");

	return personality(version, actions, class, exception, context);
}
