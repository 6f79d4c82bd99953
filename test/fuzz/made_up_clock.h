/* The time that clock_now and clock_coarse tell where made_up_clock.c is linked. */
#ifndef TPLB_TEST_MADE_UP_CLOCK_H
#define TPLB_TEST_MADE_UP_CLOCK_H

#include <stdint.h>

extern int64_t made_up_now;

#endif
