/*
 * Telling a service manager how the program fares: datagrams to $NOTIFY_SOCKET, as sd_notify(3) documents the protocol for those who go without libsystemd. Nothing happens where
 * that variable is not set.
 */
#ifndef TPLB_CTL_NOTIFY_H
#define TPLB_CTL_NOTIFY_H

#include <stdint.h>
#include <sys/types.h>

enum notice {
	NOTICE_READY, /* it serves */
	NOTICE_RELOADING, /* the configuration is being read; NOTICE_READY follows, whether it was taken in or not */
	NOTICE_STOPPING, /* it drains */
	NOTICE_ALIVE,    /* the watchdog may be quiet */
	NOTICE_COUNT
};

/*
 * Sends it from this process, which must be the one that was started (NotifyAccess=main); where the manager has no room, all but NOTICE_ALIVE wait for it, for two seconds at most. Returns 0 or -errno;
 * nobody need look.
 */
int notify_send(enum notice notice);

/* Likewise: another process is the main one from now on, and ready and alive. Whoever is told hears this process no more. */
int notify_send_main(pid_t pid);

/* How often NOTICE_ALIVE is expected, ns: half of $WATCHDOG_USEC; 0: not at all, or not of this process. */
int64_t notify_interval(void);

#endif
