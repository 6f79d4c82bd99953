/*
 * The pages of a running program over HTTP/1.1: a few of them, known by their path, for GET and HEAD; only to look. A thread of its own serves them (ctl/desk.h), so no request that
 * is balanced waits for one. What another method would do is refused (405); what is malformed is refused by the parser that the balancer has, and the connection closed.
 *
 * Browsers let any web page ask any address. Ours cannot be read by others that way, for nothing here says that they may (no CORS field), and:
 * - DNS rebinding, a name of the attacker's that turns into our address, so that the browser takes our pages for the attacker's (Jackson, Barth, Bortz, Shao and Boneh, "Protecting
 *   Browsers from DNS Rebinding Attacks", CCS 2007): the attacker's name stands in Host then. So Host must be an address, "localhost" or below it, the machine's name, or one of those that
 *   the operator names; else 421. Over a Unix socket, which no browser reaches, any will do. A request without Host is refused.
 * - Answers say nosniff, no-store, no-referrer, same-origin (Cross-Origin-Resource-Policy), and a Content-Security-Policy that allows only what comes from here: scripts and styles are pages
 *   of their own, not within a page.
 *
 * Whoever is silent for 30 s, does not end a head or does not take an answer in that time, is dropped. A further connection than WEB_CONNECTIONS takes the place of another one.
 */
#ifndef TPLB_CTL_WEB_H
#define TPLB_CTL_WEB_H

#include <stdbool.h>
#include <stdio.h>

#include "net/addr.h"

enum { WEB_CONNECTIONS = 32, WEB_HEAD_MAX = 8192 /* bytes of a request's head */, WEB_BACKLOG = 128 };

struct web_page {
	const char *path; /* such as "/metrics"; a query behind it is not looked at */
	const char *type; /* of its content, such as "text/html; charset=utf-8" */
	/* Writes the page. In the web's thread; may take its time, others who look wait for it. False: it could not be made, what was written is thrown away (500). */
	bool (*write)(void *arg, FILE *out);
};

struct web;

/*
 * At a socket that listens, non-blocking, the web's from now on, also when it returns NULL: memory or descriptors are out, *error is an errno. at: its address; its socket file is removed at
 * the end, unless file_stays. hosts: names that Host may have besides, in any case, `count` of them; they are copied.
 */
struct web *web_open(int listener, const struct addr *at, bool file_stays, const char *const *hosts,
        size_t count, int *error);

/* Starts the thread, called "NAME-web", which calls the pages' functions with arg. pages: ended by a row whose path is NULL. Both must outlive it. Returns 0 or an errno. */
int web_start(struct web *w, const char *name, const struct web_page *pages, void *arg);

/* What talks with its peers, the web's. NULL is allowed. */
struct desk *web_desk(const struct web *w);

/* For a process that has forked another one to serve: closes and frees what there is of it here, and leaves the socket file. Before web_start. NULL is allowed. */
void web_leave(struct web *w);

/*
 * Removes the socket file unless another one is in its place, waits for a page that is being made, for half a second at most, closes all connections and frees. False: the page is still
 * being made, and all is left as it is for the process's end. NULL is allowed.
 */
bool web_stop(struct web *w);

/* Whether the host of a request, with or without a port, is one of ours: see above. own: the machine's name, hosts: further ones. */
bool web_host_is_ours(struct str host, const char *own, const char *const *hosts, size_t count);

#endif
