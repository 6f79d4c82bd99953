#include "lb/rights.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/diag.h"
#include "ctl/privileges.h"

bool rights_are_split(const struct lb_config *c)
{
	return privileges_differ(c->user) || c->chroot[0] || c->sandbox == LB_SANDBOX_ON;
}

static bool enter_sandbox(struct rights *r, int wish, char why[RIGHTS_WHY_BYTES])
{
	if (wish == LB_SANDBOX_OFF)
		return true;
	r->sandboxes = sandbox_enter(r->sandbox);
	if (r->sandboxes > 0 || wish == LB_SANDBOX_AUTO)
		return true;
	if (r->sandboxes < 0)
		snprintf(why, RIGHTS_WHY_BYTES, "sandbox: cannot enter it: %s; \"auto\" goes on without",
		        r->sandbox);
	else
		snprintf(why, RIGHTS_WHY_BYTES,
		        "sandbox: there is none in this kernel or this build; \"auto\" goes on without");
	return false;
}

bool rights_give_up(struct rights *r, const struct lb_config *c, pid_t parent, char why[RIGHTS_WHY_BYTES])
{
	struct privileges to = {.user = privileges_differ(c->user) ? c->user : "", .root = c->chroot};

	/* The terminal's signals reach the parent, which hands them on: once is enough. */
	(void)setpgid(0, 0);
	MUST(signal(SIGTTOU, SIG_IGN) != SIG_ERR);
	return privileges_drop(&to, parent, why) && enter_sandbox(r, c->sandbox, why);
}

void rights_tell(const struct rights *r, const struct lb_config *c)
{
	if (!r->is_split) {
		if (geteuid() == 0)
			diag_warning("running as root: set `user` to drop privileges after binding");
		return;
	}
	if (r->sandboxes < 0)
		diag_warning("sandbox: cannot enter it: %s", r->sandbox);
	else if (r->sandboxes == 0 && c->sandbox == LB_SANDBOX_AUTO)
		diag_warning("sandbox: there is none in this kernel or this build");
	diag_info("serving as %s%s%s%s%s, process %d has the rest", c->user[0] ? c->user : "before",
	        c->chroot[0] ? " in " : "", c->chroot, r->sandboxes > 0 ? ", with " : "",
	        r->sandboxes > 0 ? r->sandbox : "", (int)getppid());
}
