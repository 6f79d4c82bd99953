/*
 * What a configuration needs of the system at most, resource by resource, as a sum whose terms can be shown, against what the system
 * grants. `tplb -t` prints it; a start raises what can be raised, and says what is short.
 */
#ifndef TPLB_LB_NEEDS_H
#define TPLB_LB_NEEDS_H

#include <stdio.h>

#include "lb/config.h"
#include "lb/grants.h"

enum { LB_BACKLOG = 4096 /* of each listener */ };

struct needs_term {
	uint64_t count, each;
	const char *what; /* static */
};
enum { NEEDS_TERMS_MAX = 16 };

/* Of one resource: the sum of its terms. */
struct need {
	uint64_t amount;
	unsigned term_count;
	struct needs_term terms[NEEDS_TERMS_MAX];
};

struct needs {
	struct need of[RESOURCE_COUNT];
	const struct lb_config *config;
	const struct grants *grants;
	bool uring;
};

/* How many loops this configuration has on so many cores; 0: none. */
unsigned needs_loops(const struct lb_config *c, unsigned cores);

/* Adds up. The configuration is without faults and resolved. uring: what drives its loops. All that is pointed to must outlive *n. */
void needs_sum(struct needs *n, const struct lb_config *c, bool uring, const struct grants *g);

/* Whether the system grants less than is needed. */
bool needs_is_short(const struct needs *n, enum resource r);

/* A key, and the largest value of it with which there is enough of a resource, all else left as it is. */
struct needs_remedy {
	const void *place; /* for conf_warning */
	const char *key;   /* in the item at `place` */
	const char *path;  /* "limits.connections"; NULL: no key has a say */
	int64_t value;     /* 0: this key alone cannot do it */
};

/* Of the keys that could make it enough, the one that would have to change the least. */
struct needs_remedy needs_remedy(const struct needs *n, enum resource r);

enum { NEEDS_TEXT_MAX = 512 };
/* "N descriptors are needed at most, and LIMIT grants M: raise ..., or set KEY to ...", of what is short. Returns out. */
const char *needs_text(const struct needs *n, enum resource r, char out[NEEDS_TEXT_MAX]);

/* Adds a warning to the configuration's faults for each resource that is short. */
void needs_warn(const struct needs *n);

/* The table: of each resource what is needed, with its arithmetic, what is granted, by which limit, and what to do where it is short. */
void needs_print(const struct needs *n, FILE *out);

/*
 * At a start, before privileges are dropped: raises the descriptor limit as far as needed and possible, logs a warning for what is short,
 * and lowers limits.connections to what the descriptors suffice for. Of memory it does not tell: that all of it is used at once is too
 * unlikely for a warning at every start. *g is changed to what is granted then.
 */
/* Raises this process's limit of descriptors to what is needed, as far as the system lets it; says nothing. needs_fit does so too: this is for who has the right to, before. */
void needs_raise(const struct lb_config *c, bool uring, const struct grants *g);
void needs_fit(struct lb_config *c, bool uring, struct grants *g);

#endif
