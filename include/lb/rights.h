/* What the process that serves gives up, by the configuration: user, file system, and what the sandbox takes (ctl/privileges.h, ctl/sandbox.h). */
#ifndef TPLB_LB_RIGHTS_H
#define TPLB_LB_RIGHTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "ctl/sandbox.h"
#include "lb/config.h"

enum { RIGHTS_WHY_BYTES = 512 };

struct rights {
	bool is_split; /* a parent keeps them, a child serves */
	int sandboxes; /* as sandbox_enter says */
	char sandbox[SANDBOX_TEXT_BYTES];
};

/* Whether there are to be two processes: that pays where there is something to keep from the one that serves. Before anything is given up. */
bool rights_are_split(const struct lb_config *c);

/* In the process that serves, while it has one thread: what the parent keeps is over here, for good. False: why tells, and the process is to end. */
bool rights_give_up(struct rights *r, const struct lb_config *c, pid_t parent, char why[RIGHTS_WHY_BYTES]);

/* Says in the log what holds. */
void rights_tell(const struct rights *r, const struct lb_config *c);

#endif
