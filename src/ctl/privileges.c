#include "ctl/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

bool privileges_differ(const char *user)
{
	const struct passwd *entry = user[0] ? getpwnam(user) : NULL;

	return user[0] && (!entry || geteuid() != entry->pw_uid);
}

static bool fail(char why[PRIVILEGES_WHY_BYTES], const char *what, const char *name, const char *remedy)
{
	int error = errno;

	snprintf(why, PRIVILEGES_WHY_BYTES, "%s %s: %s%s", what, name, strerror(error), remedy);
	return false;
}

static bool lock_in(const char *root, char why[PRIVILEGES_WHY_BYTES])
{
	if (chdir(root) != 0 || chroot(".") != 0 || chdir("/") != 0)
		return fail(
		        why, "chroot: cannot be locked into", root, errno == EPERM ? " (only root can)" : "");
	return true;
}

/* The user database is out of sight after lock_in, hence the order. */
static bool become(const struct privileges *p, char why[PRIVILEGES_WHY_BYTES])
{
	const struct passwd *entry = getpwnam(p->user);

	if (!entry) {
		snprintf(why, PRIVILEGES_WHY_BYTES, "user: there is no user %s", p->user);
		return false;
	}
	uid_t uid = entry->pw_uid;
	gid_t gid = entry->pw_gid;
	if (initgroups(p->user, gid) != 0)
		return fail(why, "user: cannot take the groups of", p->user,
		        errno == EPERM ? " (only root can)" : "");
	if (p->root[0] && !lock_in(p->root, why))
		return false;
	if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		return fail(why, "user: cannot become", p->user, errno == EPERM ? " (only root can)" : "");
	if (uid != 0 && (setuid(0) == 0 || setgid(0) == 0)) {
		snprintf(why, PRIVILEGES_WHY_BYTES,
		        "user: having become %s, this process could be root again", p->user);
		return false;
	}
	return true;
}

bool privileges_drop(const struct privileges *p, pid_t parent, char why[PRIVILEGES_WHY_BYTES])
{
	if (p->user[0] ? !become(p, why) : p->root[0] && !lock_in(p->root, why))
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(why, "user: cannot set", "no_new_privs", "");
	(void)prctl(PR_SET_DUMPABLE, 1); /* core files, as before the change of user; not essential */
	if (parent == 0)
		return true;
	/* A change of user has forgotten it, so it comes last; the parent may have ended before. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		return fail(why, "user: cannot ask for the signal of", "the parent's end", "");
	if (getppid() != parent) {
		snprintf(why, PRIVILEGES_WHY_BYTES, "the parent process has ended");
		return false;
	}
	return true;
}
