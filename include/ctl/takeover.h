/*
 * One process takes the place of another: the old one starts the new program with one end of a socket, its *channel*, passes its listening sockets over it, and goes on as before until
 * the new one says that it serves; only then it drains. The new one's standard error is the channel until it is about to serve, so that the old one can tell why it did not come to that.
 *
 *	old                                       new
 *	── a message a socket, the descriptor along ──>     listens on none of its own where one was passed
 *	── end ──>
 *	<── lines of its standard error ──
 *	<── a message a socket that it has no use for ──
 *	<── ready ──                              all of it runs, and requests are answered by both
 *	── go ──>                                 it is in office: it hears commands, and tells the service manager
 *
 * An end of stream is the end of the other one. Without a "go" the new one takes over all the same: there is nobody else any more. (Sockets are passed over a socket as Envoy's hot restart
 * does; that the new one confirms before the old one drains is HAProxy's and systemd's habit, and not nginx's, where the operator sees to it.)
 */
#ifndef TPLB_CTL_TAKEOVER_H
#define TPLB_CTL_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/activation.h"

enum { TAKEOVER_VARIABLE_BYTES = 64, TAKEOVER_MESSAGE_BYTES = 8192 };

/* NAME=VALUE for the new one's environment: numbers of its descriptors, -1: none. */
void takeover_variable(char text[TAKEOVER_VARIABLE_BYTES], int channel, int errors, int caretaker);

/* The old one's side -------------------------------------------------------------------------------------------*/

/* A socket that listens, for the new one: its role, its name there, the address that it was asked to listen at, whether a service manager has opened it. */
struct takeover_socket {
	const char *role;
	const char *name;
	const struct addr *at;
	bool managed;
	int fd; /* stays the caller's */
};

/* A pair of ends, close-on-exec; sending on `ours` waits for so long at most (ns). 0 or -errno. */
int takeover_open(int *ours, int *theirs, int64_t patience);
/* 0 or -errno: -EPIPE: it has ended. */
int takeover_pass(int channel, const struct takeover_socket *s);
int takeover_pass_end(int channel);
int takeover_go(int channel);

/* What it says. text: a line or more of its standard error. role, at: the socket that it has no use for. */
enum takeover_word { TAKEOVER_ENDED, TAKEOVER_TEXT, TAKEOVER_UNUSED, TAKEOVER_READY };
struct takeover_said {
	enum takeover_word word;
	char role[ACTIVATION_ROLE_BYTES];
	struct addr at;
	char text[TAKEOVER_MESSAGE_BYTES];
};
void takeover_hear(int channel, struct takeover_said *said);

/* The new one's side -------------------------------------------------------------------------------------------*/

struct takeover {
	int channel;   /* -1: this process takes nobody's place, or is in office */
	int errors;    /* what standard error is to be; -1 */
	int caretaker; /* for office_init, whose it is then; -1 */
};

/* Takes what is passed. False: the old one has ended amid it, or is no tplb. First thing in main, before descriptors are opened. */
bool takeover_begin(struct takeover *t, struct activation *given);
/* Standard error is what it is to be from now on. */
void takeover_errors(struct takeover *t);
/* What is wrong, for the old one, once standard error is not the channel any more. */
void takeover_say(const struct takeover *t, const char *text);
/* Closes inherited sockets that nobody has asked for, and tells the old one. */
void takeover_leave_rest(const struct takeover *t, struct activation *given);
/* Says that this process serves, and waits for the word to go on. False: the old one is gone. The channel is closed. */
bool takeover_ready(struct takeover *t);
/* For a process that has forked another one to serve, or that does not come to serve. */
void takeover_end(struct takeover *t);

#endif
