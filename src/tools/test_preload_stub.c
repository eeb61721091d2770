/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libsmc-preload.so in smc_run's tests: says that it is loaded. */
#include <stdlib.h>

__attribute__((constructor)) static void loaded(void)
{
	setenv("STUB_LOADED", "yes", 1);
}
