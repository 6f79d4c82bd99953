/*
 * A thread for what must hold up neither a request nor who reads the signals: reloads by HUP, which may wait for a name server, upgrades by USR2, and the end of configurations
 * that were replaced.
 */
#ifndef TPLB_LB_RELOADER_H
#define TPLB_LB_RELOADER_H

#include "lb/control.h"

struct reloader;

/* NULL: *error is an errno. control outlives it. */
struct reloader *reloader_start(struct control *control, int *error);

/* A reload is wanted: by and by, once for several that are wanted meanwhile. Any thread; never waits. */
void reloader_reload(struct reloader *k);
/* The program that stands at its path is to take this one's place: likewise, after a reload that is under way. */
void reloader_upgrade(struct reloader *k);
/* A reload was made elsewhere: there may be something to see to. Likewise. */
void reloader_wake(struct reloader *k);

/* Ends it. False: it is in a reload that waits for something, and goes on with all it stands on: the process is to end. */
bool reloader_stop(struct reloader *k);

#endif
